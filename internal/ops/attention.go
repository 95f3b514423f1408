package ops

import (
	"plumb/internal/batch"
	"plumb/internal/kernels"

	"github.com/nlpodyssey/spago/mat"
)

// Span is a run of rows of one key/value buffer. Buffer 0 is the batch's own keys and values, the
// others are caches.
type Span struct{ Buf, Lo, Hi int }

func (s Span) len() int { return s.Hi - s.Lo }

// AttnItem is a run of query rows that attend to all of Path and then to Own: causally (query i sees
// the first i+1 rows of Own) or to all of it.
type AttnItem struct {
	QLo, QHi int
	Path     []Span // ancestors, root first; together they hold the path's positions in order
	Own      Span
}

// AttnPlan says who attends to whom. Items of one group (a root and what hangs below it) share keys;
// groups are independent of each other.
type AttnPlan struct {
	Groups [][]AttnItem
	Causal bool
	Window int // 0, or how many positions back a query sees, itself included
	// Packed says that buffers are caches (Heads.Store); their spans start at row 0 and all but the last are whole blocks.
	Packed bool
}

// Plan returns the plan of a prefix tree. A segment that is the only one to follow another, in the rows behind it, continues its item:
// causal rows see the same either way.
func Plan(b *batch.Tree) *AttnPlan {
	p := &AttnPlan{Causal: !b.Bidirectional}
	group, item := make([]int, len(b.Segs)), make([]int, len(b.Segs)) // of each segment
	paths := make([][]Span, len(b.Segs))
	children := make([]int, len(b.Segs))
	for _, s := range b.Segs {
		if s.Parent >= 0 {
			children[s.Parent]++
		}
	}
	for i, s := range b.Segs {
		own := Span{0, s.Start, s.Start + s.Len}
		if s.Parent < 0 {
			group[i] = len(p.Groups)
			p.Groups = append(p.Groups, nil)
		} else {
			group[i] = group[s.Parent]
			ps := b.Segs[s.Parent]
			paths[i] = joined(paths[s.Parent], Span{0, ps.Start, ps.Start + ps.Len})
			if p.Causal && children[s.Parent] == 1 && ps.Len > 0 && ps.Start+ps.Len == s.Start {
				item[i] = item[s.Parent]
				it := &p.Groups[group[i]][item[i]]
				it.QHi, it.Own.Hi = own.Hi, own.Hi
				continue
			}
		}
		if s.Len > 0 {
			item[i] = len(p.Groups[group[i]])
			p.Groups[group[i]] = append(p.Groups[group[i]], AttnItem{QLo: own.Lo, QHi: own.Hi, Path: paths[i], Own: own})
		}
	}
	return p
}

// joined is path and then s, in one span with its last where that ends where s begins.
func joined(path []Span, s Span) []Span {
	if s.len() == 0 {
		return path
	}
	out := append([]Span{}, path...)
	if last := len(out) - 1; last >= 0 && out[last].Buf == s.Buf && out[last].Hi == s.Lo {
		out[last].Hi = s.Hi
		return out
	}
	return append(out, s)
}

// Heads is the shape of an attention: Q query heads share KV key/value heads of Dim columns.
type Heads struct {
	Q, KV, Dim int
	Scale      float32
	Compute    kernels.Compute
}

// pairs reports whether this attention multiplies bf16: its queries, keys, values and probabilities are then rounded to it,
// sums and the softmax stay in float32.
func (h Heads) pairs() bool {
	return h.Compute == kernels.BF16 && h.Dim%kernels.PairBlock == 0 && kernels.DotsPairs()
}

// Halves reports whether attention reads its operands in bf16 only, so that they need no other form.
func (h Heads) Halves() bool { return h.pairs() }

// matrix is a tensor (T, heads*Dim) in float32 or in bf16, rows ld apart.
type matrix struct {
	f  []float32
	b  []uint16
	ld int
}

func (h Heads) matrix(x mat.Tensor) matrix {
	_, cols := Dims(x)
	if v := valueOf(x); v.born && h.pairs() {
		return matrix{b: v.half, ld: kernels.HalfLen(1, cols)}
	}
	return matrix{f: F32(x), ld: cols}
}

// half writes n numbers from the at-th in bf16.
func (x matrix) half(dst []uint16, at, n int) {
	if x.b != nil {
		copy(dst[:n], x.b[at:])
		return
	}
	kernels.F32ToBF16(dst[:n], x.f[at:at+n])
}

type attention struct {
	q, k, v mat.Tensor
	plan    *AttnPlan
	h       Heads
	bias    PathBias
	keep    bool
	lse     []float32 // (T, Q heads): log of the sum of exponentials of each row's scores
}

// PathBias adds to the score of query position i and key position j of head h, as the relative
// position bias of MPNet does; nil means none. It has no gradient.
type PathBias func(head, i, j int) float32

// Attention returns softmax(q·kᵀ·scale + mask)·v along the paths of the plan: q (T, Q*Dim), k and v
// (T, KV*Dim) -> (T, Q*Dim) (Vaswani et al., 2017, arXiv:1706.03762; grouped queries: Ainslie et
// al., 2023, arXiv:2305.13245). Keys are visited in the order of their positions and every sum
// runs in that order, so that a row's result has the same bits however the path is cut up.
func Attention(t *Tape, q, k, v mat.Tensor, plan *AttnPlan, h Heads, bias PathBias) mat.Tensor {
	return t.apply(&attention{q: q, k: k, v: v, plan: plan, h: h, bias: bias, keep: t != nil})
}

func (f *attention) Operands() []mat.Tensor { return []mat.Tensor{f.q, f.k, f.v} }

func (f *attention) Forward() (mat.Tensor, error) {
	rows, _ := Dims(f.q)
	if f.keep {
		f.lse = alloc(rows * f.h.Q)
	}
	return attend(f.inputs(), f.lse), nil
}

func (f *attention) inputs() inputs {
	return inputs{h: f.h, plan: f.plan, bias: f.bias, q: f.h.matrix(f.q),
		from: [2][]matrix{{f.h.matrix(f.k)}, {f.h.matrix(f.v)}}}
}

func (f *attention) Backward(gy mat.Tensor) error {
	gradAssign(func(g [][]float32) {
		clear(g[1]) // those of keys and values are added to
		clear(g[2])
		groups, in, dy := f.plan.Groups, f.inputs(), f.h.matrix(gy)
		dq := matrix{f: g[0], ld: f.h.Q * f.h.Dim}
		// A group's keys take gradients from all of its queries: one job does them all, in order.
		kernels.Parallel(len(groups)*f.h.KV, func(i int) {
			in.backward(groups[i/f.h.KV], i%f.h.KV, f.lse, dy, dq, g[1], g[2])
		})
	}, f.q, f.k, f.v)
	return nil
}

func (f *attention) releaseSaved() {
	if f.lse != nil {
		free(f.lse)
	}
	f.lse = nil
}

// AttendCached is Attention without a tape, over keys and values in buffers (caches) that the plan's spans
// name. q (T, Q*Dim) -> (T, Q*Dim).
func AttendCached(q mat.Tensor, k, v [][]float32, plan *AttnPlan, h Heads) mat.Tensor {
	in := inputs{h: h, plan: plan, q: h.matrix(q)}
	for i, bufs := range [][][]float32{k, v} {
		for _, b := range bufs {
			in.from[i] = append(in.from[i], matrix{f: b, ld: h.KV * h.Dim})
		}
	}
	return attend(in, nil)
}
