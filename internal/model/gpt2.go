package model

import (
	"fmt"

	"plumb/internal/ops"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// gpt2Block is a layer of GPT-2 (Radford et al., 2019): learned positions, one matrix for queries, keys
// and values, weights stored (in, out).
type gpt2Block struct {
	nn.Module
	AttnNorm, MLPNorm   *ops.Norm
	QKV, Out, Fc, FcOut *ops.Linear
	hidden              int
	tanh                bool
}

func (b *gpt2Block) forward(p *pass, layer int, x mat.Tensor) mat.Tensor {
	h := b.AttnNorm.Apply(p.t, x)
	qkv := p.linear(b.QKV, h)
	ops.Release(p.t, h)
	q := ops.Columns(p.t, qkv, 0, b.hidden)
	k := ops.Columns(p.t, qkv, b.hidden, 2*b.hidden)
	v := ops.Columns(p.t, qkv, 2*b.hidden, 3*b.hidden)
	ops.Release(p.t, qkv)
	o := p.attend(layer, q, k, v)
	ops.Release(p.t, q, k, v)
	x, o = p.narrow(layer, x, o)
	y := p.plus(b.Out, o, x)
	ops.Release(p.t, o, x)

	h = b.MLPNorm.Apply(p.t, y)
	act, fc := b.Fc.ApplyGELU(p.t, h, p.a.LoRA(b.Fc.Path), b.tanh)
	ops.Release(p.t, h)
	z := p.plus(b.FcOut, act, y)
	ops.Release(p.t, act, fc, y)
	return z
}

func (m *Model) gpt2(s *source) {
	c := &m.Config
	s.transposed = true
	if !s.has("transformer.wte.weight") { // the published checkpoint has no prefix
		s.prefix = "transformer."
	}
	m.Embed = s.embedding("transformer.wte.weight", c.Vocab, c.Hidden)
	m.Positions = s.table("transformer.wpe.weight", c.MaxPositions, c.Hidden)
	for i := range c.Layers {
		at := func(name string) string { return fmt.Sprintf("transformer.h.%d.%s", i, name) }
		m.Blocks = append(m.Blocks, &gpt2Block{
			AttnNorm: s.norm(at("ln_1"), c.Hidden, false),
			QKV:      s.linear(at("attn.c_attn"), c.Hidden, 3*c.Hidden, true),
			Out:      s.linear(at("attn.c_proj"), c.Hidden, c.Hidden, true),
			MLPNorm:  s.norm(at("ln_2"), c.Hidden, false),
			Fc:       s.linear(at("mlp.c_fc"), c.Hidden, c.Intermediate, true),
			FcOut:    s.linear(at("mlp.c_proj"), c.Intermediate, c.Hidden, true),
			hidden:   c.Hidden,
			tanh:     c.Act != "gelu",
		})
	}
	m.Norm = s.norm("transformer.ln_f", c.Hidden, false)
	s.transposed = false
	m.Head = s.head("lm_head.weight", c.Vocab, c.Hidden, c.Tied)
	s.ignore("*.attn.bias") // buffers that old checkpoints hold
	s.ignore("*.attn.masked_bias")
}
