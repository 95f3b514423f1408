package model

import (
	"context"
	"errors"
	"math"

	"plumb/adapters"
	"plumb/internal/batch"
	"plumb/internal/kernels"
	"plumb/internal/ops"

	"github.com/nlpodyssey/spago/mat"
)

// encoderRows is how many tokens are encoded in one pass, at least, unless there are no more: half as many cost a tenth more time.
const encoderRows = 384

// inPasses packs inputs (ids and types of each) into trees of about encoderRows rows, and hands each tree's
// states to use with the index of the first input and the root segments. Each thread takes a tree of its own. use may be called from several goroutines at once.
func (e *Encoder) inPasses(ctx context.Context, n int, input func(i int) (ids, types []int32), a *adapters.Adapter,
	use func(first int, b *batch.Tree, hidden mat.Tensor)) error {
	var trees []*batch.Tree
	var firsts []int
	for i := 0; i < n; {
		b := &batch.Tree{}
		firsts = append(firsts, i)
		for i < n && b.Rows() < encoderRows {
			ids, types := input(i)
			e.AddInput(b, ids, types, 0)
			i++
		}
		trees = append(trees, b)
	}
	pass := func(i int) {
		if ctx.Err() != nil {
			return
		}
		h := e.Forward(nil, trees[i], a)
		use(firsts[i], trees[i], h)
		ops.Release(nil, h)
		trees[i] = nil
	}
	kernels.Lanes(len(trees), kernels.Threads(), pass)
	return ctx.Err()
}

// Dim is the length of an embedding.
func (e *Encoder) Dim() int { return e.Config.Hidden }

// Embed returns one vector a text, pooled and normalised as the encoder's files say. Texts beyond MaxLen
// tokens are cut. A text's vector does not depend on the others.
func (e *Encoder) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	out := make([][]float32, len(texts))
	ids := make([][]int32, len(texts))
	kernels.Parallel(len(texts), func(i int) { ids[i] = e.Tokenizer.EncodeSpecial(texts[i], e.MaxLen) })
	err := e.inPasses(ctx, len(texts), func(i int) ([]int32, []int32) { return ids[i], make([]int32, len(ids[i])) }, nil,
		func(first int, b *batch.Tree, hidden mat.Tensor) {
			kernels.Parallel(len(b.Segs), func(i int) { out[first+i] = e.poolRows(b.Segs[i], ops.F32(hidden)) })
		})
	return out, err
}

// poolRows pools the rows of one input: the first, or the mean.
func (e *Encoder) poolRows(s batch.Segment, h []float32) []float32 {
	d := e.Config.Hidden
	v := make([]float32, d)
	if s.Len == 0 {
		return v
	}
	if e.pool.CLS {
		copy(v, h[s.Start*d:])
	} else {
		for r := s.Start; r < s.Start+s.Len; r++ {
			kernels.Add(v, h[r*d:(r+1)*d])
		}
		kernels.Scale(1/float32(s.Len), v)
	}
	if e.pool.normalize {
		if n := math.Sqrt(kernels.SumSquares(v)); n > 1e-12 {
			kernels.Scale(float32(1/n), v)
		}
	}
	return v
}

// PairTree packs pairs of texts for Forward, a root each.
func (e *Encoder) PairTree(pairs [][2]string) *batch.Tree {
	b := &batch.Tree{}
	for i, p := range pairs {
		ids, types := e.Tokenizer.EncodePair(p[0], p[1], e.MaxLen)
		e.AddInput(b, ids, types, uint64(i))
	}
	return b
}

// AddInput adds one input, of ids and their types, to b as a root. Where the encoder restarts positions, the second text
// counts from 1 as the first does, whose [CLS] is 0.
func (e *Encoder) AddInput(b *batch.Tree, ids, types []int32, key uint64) {
	start := len(b.Pos)
	b.Add(-1, ids, key)
	b.Types = append(b.Types, types...)
	if !e.Config.Restart {
		return
	}
	for i := range ids {
		if types[i] == 1 {
			if i > 0 && types[i-1] == 1 {
				b.Pos[start+i] = b.Pos[start+i-1] + 1
			} else {
				b.Pos[start+i] = 1
			}
		}
	}
}

// Firsts lists the row of each root's first token, where classifiers read.
func Firsts(b *batch.Tree) []int {
	rows := make([]int, len(b.Segs))
	for i, s := range b.Segs {
		rows[i] = s.Start
	}
	return rows
}

// Logits returns the classifier's output for each root of b, (roots, labels), from the states that Forward returned: the
// head of a when it has one, else the encoder's own classifier, which must be there.
func (e *Encoder) Logits(t *ops.Tape, b *batch.Tree, hidden mat.Tensor, a *adapters.Adapter) mat.Tensor {
	x := ops.Gather(t, hidden, Firsts(b))
	if a != nil && a.Head != nil {
		return ops.Project(t, x, a.Head, nil)
	}
	return e.Out.Apply(t, ops.Tanh(t, e.Dense.Apply(t, x, nil)), nil)
}

// Score returns the logit of each pair from a cross-encoder's own classifier, or from the head of a when a has
// one. A sigmoid of it is the probability that a single-label cross-encoder reports.
func (e *Encoder) Score(ctx context.Context, pairs [][2]string, a *adapters.Adapter) ([]float64, error) {
	own := a == nil || a.Head == nil
	if own && e.Out == nil {
		return nil, errors.New("encoder " + e.Path + ": it has no classifier: give an adapter with a head, or a cross-encoder")
	}
	if own {
		if labels, _ := e.Out.W.Dims(); labels != 1 {
			return nil, errors.New("encoder " + e.Path + ": a cross-encoder with exactly one label is wanted")
		}
	}
	out := make([]float64, len(pairs))
	err := e.inPasses(ctx, len(pairs), func(i int) ([]int32, []int32) {
		return e.Tokenizer.EncodePair(pairs[i][0], pairs[i][1], e.MaxLen)
	}, a, func(first int, b *batch.Tree, hidden mat.Tensor) {
		y := e.Logits(nil, b, hidden, a)
		for i, v := range ops.F32(y) {
			out[first+i] = float64(v)
		}
	})
	return out, err
}
