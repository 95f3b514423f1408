package model

import (
	"fmt"
	"math"
	"os"
	"path/filepath"

	"plumb/adapters"
	"plumb/internal/batch"
	"plumb/internal/kernels"
	"plumb/internal/ops"
	"plumb/internal/tokenizer"
	"plumb/internal/weights"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// Encoder is a bidirectional encoder with the pooling, and the classifier if any, that its files describe.
type Encoder struct {
	nn.Module
	Config            EncoderConfig
	Tokenizer         *tokenizer.Tokenizer
	Compute           kernels.Compute
	Path              string
	Words, Pos, Types *ops.Embedding
	EmbNorm           *ops.Norm
	Blocks            []*encoderBlock
	Dense, Out        *ops.Linear // pooler or classifier's hidden layer, and its output; nil without
	MaxLen            int         // tokens, special ones included
	pool              pooling
	relBias           []float32 // MPNet: (buckets, heads)
	*checkpoint
}

// encoderBlock is a post-norm transformer layer (Devlin et al., 2018, arXiv:1810.04805).
type encoderBlock struct {
	nn.Module
	Q, K, V, O    *ops.Linear
	AttnNorm      *ops.Norm
	Inter, Output *ops.Linear
	OutNorm       *ops.Norm
}

// OpenEncoder reads an encoder folder: config.json, model.safetensors, tokenizer.json, and where present the
// modules of sentence-transformers or a classifier of a cross-encoder.
func OpenEncoder(path string, opt Options) (*Encoder, error) {
	e, err := loadEncoder(path, opt)
	if err == nil {
		e.Tokenizer, err = tokenizer.Load(path)
	}
	if err != nil {
		return nil, fmt.Errorf("encoder %s: %w", path, err)
	}
	if n := e.Tokenizer.VocabSize(); n > e.Config.Vocab {
		return nil, fmt.Errorf("encoder %s: the tokenizer has %d tokens, the model's vocabulary only %d", path, n, e.Config.Vocab)
	}
	return e, nil
}

// loadEncoder reads all but the tokenizer.
func loadEncoder(path string, opt Options) (*Encoder, error) {
	src, err := os.ReadFile(filepath.Join(path, "config.json"))
	if err != nil {
		return nil, err
	}
	e := &Encoder{Path: path, Compute: opt.Compute}
	if e.Config, err = parseEncoderConfig(src); err != nil {
		return nil, err
	}
	if e.pool, err = readPooling(path); err != nil {
		return nil, err
	}
	e.MaxLen = e.Config.MaxPositions - e.Config.firstPosition()
	if e.pool.maxLen > 0 {
		e.MaxLen = min(e.MaxLen, e.pool.maxLen)
	}
	set, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	s := opt.source(set)
	e.build(s)
	return e, s.finish()
}

// encoderNames are the parts of tensor names in which the families differ.
type encoderNames struct{ q, k, v, o, attnNorm, pooler string }

func (e *Encoder) build(s *source) {
	c := &e.Config
	s.checkpoint = &checkpoint{names: map[*nn.Param]string{}}
	e.checkpoint = s.checkpoint
	s.eps, s.initRange = c.Eps, c.InitRange
	prefix := c.Type + "."
	if !s.has(prefix + "embeddings.word_embeddings.weight") {
		s.prefix = prefix
	}
	s.ignore("*position_ids")
	e.Words = s.table(prefix+"embeddings.word_embeddings.weight", c.Vocab, c.Hidden)
	e.Pos = s.table(prefix+"embeddings.position_embeddings.weight", c.MaxPositions, c.Hidden)
	n := encoderNames{"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "attention.output.LayerNorm", "pooler.dense"}
	if c.Type == "mpnet" {
		n = encoderNames{"attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o", "attention.LayerNorm", "pooler.dense"}
		if t := s.take(prefix+"encoder.relative_attention_bias.weight", c.Buckets, c.Heads); t != nil {
			e.relBias = t.Float32()
		}
	} else {
		e.Types = s.table(prefix+"embeddings.token_type_embeddings.weight", c.TypeVocab, c.Hidden)
	}
	e.EmbNorm = s.norm(prefix+"embeddings.LayerNorm", c.Hidden, false)
	for i := range c.Layers {
		at := func(name string) string { return fmt.Sprintf("%sencoder.layer.%d.%s", prefix, i, name) }
		e.Blocks = append(e.Blocks, &encoderBlock{
			Q: s.linear(at(n.q), c.Hidden, c.Hidden, true), K: s.linear(at(n.k), c.Hidden, c.Hidden, true),
			V: s.linear(at(n.v), c.Hidden, c.Hidden, true), O: s.linear(at(n.o), c.Hidden, c.Hidden, true),
			AttnNorm: s.norm(at(n.attnNorm), c.Hidden, false),
			Inter:    s.linear(at("intermediate.dense"), c.Hidden, c.Intermediate, true),
			Output:   s.linear(at("output.dense"), c.Intermediate, c.Hidden, true),
			OutNorm:  s.norm(at("output.LayerNorm"), c.Hidden, false),
		})
	}
	linears := s.linears // heads are not for adapters
	e.buildHead(s, prefix)
	s.linears = linears
}

func (e *Encoder) buildHead(s *source, prefix string) {
	c := &e.Config
	classifier := func(path string) *ops.Linear {
		labels := 1
		if s.set == nil {
			return s.linear(path, c.Hidden, labels, true)
		}
		if sh := s.set.Shape(path + ".weight"); len(sh) == 2 {
			labels = sh[0]
		}
		return s.linear(path, c.Hidden, labels, true)
	}
	switch {
	case s.set != nil && s.set.Has("classifier.out_proj.weight"):
		e.Dense = s.linear("classifier.dense", c.Hidden, c.Hidden, true)
		e.Out = classifier("classifier.out_proj")
	case s.has("classifier.weight"):
		e.Dense = s.linear(prefix+"pooler.dense", c.Hidden, c.Hidden, true)
		e.Out = classifier("classifier")
	default:
		s.ignore("*pooler.dense.*")
		s.ignore("lm_head.*")
		s.ignore("cls.*")
	}
}

// Linears lists the layers that an adapter may target.
func (e *Encoder) Linears() []adapters.Shape { return e.shapes(false) }

// Forward returns the states of the last layer, (T, hidden). Each root of b is one input; b.Types holds the
// token types, or nothing for all zero.
func (e *Encoder) Forward(t *ops.Tape, b *batch.Tree, a *adapters.Adapter) mat.Tensor {
	b.Bidirectional = true
	if t != nil && t.Train {
		t.Drop = t.Drop.For(b)
	}
	c := &e.Config
	p := &pass{t: t, a: a, plan: ops.Plan(b)}
	p.heads = ops.Heads{Q: c.Heads, KV: c.Heads, Dim: c.Hidden / c.Heads, Scale: float32(1 / math.Sqrt(float64(c.Hidden/c.Heads))), Compute: e.Compute}
	pos := make([]int32, len(b.Pos))
	for i, v := range b.Pos {
		pos[i] = v + int32(c.firstPosition())
	}
	x := ops.Add(t, e.Pos.Apply(t, pos), e.Words.Apply(t, b.Tokens))
	if e.Types != nil {
		types := b.Types
		if types == nil {
			types = make([]int32, b.Rows())
		}
		x = ops.Add(t, e.Types.Apply(t, types), x)
	}
	y := e.EmbNorm.Apply(t, x)
	ops.Release(t, x)
	bias := e.bias()
	for _, blk := range e.Blocks {
		y = p.block(y, func(p *pass, x mat.Tensor) mat.Tensor { return blk.forward(p, x, bias, c.Act == "gelu_new") })
	}
	return y
}

func (b *encoderBlock) forward(p *pass, x mat.Tensor, bias ops.PathBias, tanh bool) mat.Tensor {
	t := p.t
	half := p.heads.Halves()
	qkv := ops.Together(t, x, p.call(b.Q, half), p.call(b.K, half), p.call(b.V, half))
	q, k, v := qkv[0], qkv[1], qkv[2]
	o := ops.Attention(t, q, k, v, p.plan, p.heads, bias)
	ops.Release(t, q, k, v)
	s := p.plus(b.O, o, x)
	ops.Release(t, o, x)
	y := b.AttnNorm.Apply(t, s)
	ops.Release(t, s)
	g, h := b.Inter.ApplyGELU(t, y, p.a.LoRA(b.Inter.Path), tanh)
	s = p.plus(b.Output, g, y)
	ops.Release(t, g, h, y)
	z := b.OutNorm.Apply(t, s)
	ops.Release(t, s)
	return z
}

// bias is MPNet's bias by the bucketed distance of positions (Raffel et al., 2019, arXiv:1910.10683), nil for the others.
func (e *Encoder) bias() ops.PathBias {
	if e.relBias == nil {
		return nil
	}
	half := e.Config.Buckets / 2
	exact := half / 2
	heads := e.Config.Heads
	return func(head, i, j int) float32 {
		bucket, n := 0, i-j
		if n < 0 {
			bucket, n = half, -n
		}
		if n < exact {
			bucket += n
		} else {
			large := float32(math.Log(float64(float32(n)/float32(exact)))) / float32(math.Log(128/float64(exact))) * float32(half-exact)
			bucket += min(exact+int(large), half-1)
		}
		return e.relBias[bucket*heads+head]
	}
}
