package model

import (
	"fmt"

	"plumb/internal/ops"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// llamaBlock is a layer of Llama, Mistral, Qwen2 and Qwen3: pre-norm attention with rotary positions
// and grouped queries, then a gated MLP (Touvron et al., 2023, arXiv:2302.13971).
type llamaBlock struct {
	nn.Module
	AttnNorm, MLPNorm *ops.Norm
	Q, K, V, O        *ops.Linear
	QNorm, KNorm      *ops.Norm // Qwen3: a norm over each head, nil otherwise
	Gate, Up, Down    *ops.Linear
}

func (b *llamaBlock) forward(p *pass, layer int, x mat.Tensor) mat.Tensor {
	h := b.AttnNorm.Lazy(p.t, x)
	qkv := ops.Together(p.t, h, p.call(b.Q, false), p.call(b.K, false), p.call(b.V, p.heads.Halves()))
	q, k, v := qkv[0], qkv[1], qkv[2]
	ops.Release(p.t, h)
	if b.QNorm != nil {
		qn, kn := b.QNorm.Apply(p.t, q), b.KNorm.Apply(p.t, k)
		ops.Release(p.t, q, k)
		q, k = qn, kn
	}
	q, k = ops.RoPE(p.t, q, p.rot, p.heads), ops.RoPE(p.t, k, p.rot, p.heads)
	o := p.attend(layer, q, k, v)
	ops.Release(p.t, q, k, v)
	x, o = p.narrow(layer, x, o)
	y := p.plus(b.O, o, x)
	ops.Release(p.t, o, x)

	h = b.MLPNorm.Lazy(p.t, y)
	mlp := ops.Together(p.t, h, p.call(b.Gate, true), p.call(b.Up, true))
	gate, up := mlp[0], mlp[1]
	ops.Release(p.t, h)
	act := ops.SiLUMul(p.t, gate, up)
	z := p.plus(b.Down, act, y)
	ops.Release(p.t, act, gate, up, y)
	return z
}

// llama builds the module tree from a source of tensors.
func (m *Model) llama(s *source) {
	c := &m.Config
	m.Embed = s.embedding("model.embed_tokens.weight", c.Vocab, c.Hidden)
	for i := range c.Layers {
		at := func(name string) string { return fmt.Sprintf("model.layers.%d.%s", i, name) }
		q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
		oBias := c.AttnBias && c.Type != "qwen2"
		b := &llamaBlock{
			AttnNorm: s.norm(at("input_layernorm"), c.Hidden, true),
			Q:        s.linear(at("self_attn.q_proj"), c.Hidden, q, c.AttnBias),
			K:        s.linear(at("self_attn.k_proj"), c.Hidden, kv, c.AttnBias),
			V:        s.linear(at("self_attn.v_proj"), c.Hidden, kv, c.AttnBias),
			O:        s.linear(at("self_attn.o_proj"), q, c.Hidden, oBias),
			MLPNorm:  s.norm(at("post_attention_layernorm"), c.Hidden, true),
			Gate:     s.linear(at("mlp.gate_proj"), c.Hidden, c.Intermediate, c.MLPBias),
			Up:       s.linear(at("mlp.up_proj"), c.Hidden, c.Intermediate, c.MLPBias),
			Down:     s.linear(at("mlp.down_proj"), c.Intermediate, c.Hidden, c.MLPBias),
		}
		if c.Type == "qwen3" {
			b.QNorm = s.norm(at("self_attn.q_norm"), c.HeadDim, true)
			b.KNorm = s.norm(at("self_attn.k_norm"), c.HeadDim, true)
		}
		m.Blocks = append(m.Blocks, b)
	}
	m.Norm = s.norm("model.norm", c.Hidden, true)
	m.Head = s.head("lm_head.weight", c.Vocab, c.Hidden, c.Tied)
}
