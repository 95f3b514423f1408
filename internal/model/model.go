// Package model owns the families of decoders and encoders as spago modules: loading, the forward
// pass over prefix trees, and generation. There is one forward implementation: with a tape it
// trains, without one it scores, and over a cache it generates, with the same floats.
//
// It knows nothing of losses, records or run directories.
package model

import (
	"fmt"
	"math"
	"strings"

	"plumb/adapters"
	"plumb/internal/batch"
	"plumb/internal/kernels"
	"plumb/internal/ops"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// Model is a decoder. Its weights are frozen (panels, no gradient) or parameters; an adapter is
// an argument of Forward, so that any number of roles share one Model.
type Model struct {
	nn.Module
	Config    Config
	Compute   kernels.Compute
	Embed     *ops.Embedding
	Positions *ops.Embedding // learned positions (GPT-2), nil otherwise
	Blocks    []Block
	Norm      *ops.Norm
	Head      *ops.Weight // nil when tied to Embed

	*checkpoint
}

// Block is one layer of a decoder.
type Block interface {
	nn.Model
	// forward maps the residual stream x (T, hidden) to the next one.
	forward(p *pass, layer int, x mat.Tensor) mat.Tensor
}

// pass is what the layers of one forward pass share.
type pass struct {
	t     *ops.Tape
	a     *adapters.Adapter
	plan  *ops.AttnPlan
	rot   *ops.Rotary
	heads ops.Heads
	cache kvStore // nil: keys and values are those of the batch
	rows  []int   // the rows that are wanted, nil for all
	last  int     // the last layer
}

// kvStore keeps keys and values across passes.
type kvStore interface {
	// put stores the rows of k and v (T, KV*Dim) of a layer and returns the buffers that the plan's spans name.
	put(layer int, k, v []float32) (kb, vb [][]float32)
}

// block runs a block, keeping what its backward pass needs or, where the tape says so, only its input.
func (p *pass) block(x mat.Tensor, f func(p *pass, x mat.Tensor) mat.Tensor) mat.Tensor {
	if p.t == nil || !p.t.Recompute {
		return f(p, x)
	}
	return ops.Checkpoint(p.t, x, func(t *ops.Tape, x mat.Tensor) mat.Tensor {
		inner := *p
		inner.t = t
		return f(&inner, x)
	})
}

func (p *pass) linear(l *ops.Linear, x mat.Tensor) mat.Tensor {
	return l.Apply(p.t, x, p.a.LoRA(l.Path))
}

// plus is x added to linear.
func (p *pass) plus(l *ops.Linear, o, x mat.Tensor) mat.Tensor {
	return l.ApplyAdd(p.t, o, p.a.LoRA(l.Path), x)
}

// call is one of several calls with the same input; half says that the result is read in bf16, or once.
func (p *pass) call(l *ops.Linear, half bool) ops.Call {
	return ops.Call{Linear: l, LoRA: p.a.LoRA(l.Path), Half: half}
}

// narrow leaves only the wanted rows of the residual stream and of attention's output: after the last attention no row reads another.
func (p *pass) narrow(layer int, x, o mat.Tensor) (xr, or mat.Tensor) {
	if p.rows == nil || layer < p.last {
		return x, o
	}
	xr, or = ops.Gather(p.t, x, p.rows), ops.Gather(p.t, o, p.rows)
	ops.Release(p.t, x, o)
	if p.t != nil && p.t.Train {
		p.t.Drop = p.t.Drop.Rows(p.rows)
	}
	return xr, or
}

func (p *pass) attend(layer int, q, k, v mat.Tensor) mat.Tensor {
	if p.cache == nil {
		return ops.Attention(p.t, q, k, v, p.plan, p.heads, nil)
	}
	kb, vb := p.cache.put(layer, ops.F32(k), ops.F32(v))
	return ops.AttendCached(q, kb, vb, p.plan, p.heads)
}

// Forward returns the hidden states after the last norm, (T, hidden), for the rows of b, with the
// weights of a (nil: the base). Rows attend along their path only, so a row's value does not depend on
// what else is in b. A tape with Train set applies the adapter's dropout.
func (m *Model) Forward(t *ops.Tape, b *batch.Tree, a *adapters.Adapter) mat.Tensor {
	return m.ForwardRows(t, b, a, nil)
}

// ForwardRows is Forward for the given rows of b only, (len(rows), hidden): the same floats for less work. nil means all.
func (m *Model) ForwardRows(t *ops.Tape, b *batch.Tree, a *adapters.Adapter, rows []int) mat.Tensor {
	if t != nil && t.Train {
		t.Drop = t.Drop.For(b)
	}
	plan := ops.Plan(b)
	plan.Window = m.Config.Window
	return m.forward(&pass{t: t, a: a, plan: plan, rows: rows}, b.Tokens, b.Pos)
}

func (m *Model) forward(p *pass, tokens, pos []int32) mat.Tensor {
	p.heads, p.last = m.heads(), len(m.Blocks)-1
	x := m.Embed.Apply(p.t, tokens)
	if m.Positions != nil {
		at := m.Positions.Apply(p.t, pos)
		x = ops.Add(p.t, at, x)
		ops.Release(p.t, at)
	} else {
		p.rot = rotary(&m.Config, pos)
	}
	for i, b := range m.Blocks {
		x = p.block(x, func(p *pass, x mat.Tensor) mat.Tensor { return b.forward(p, i, x) })
	}
	y := m.Norm.Apply(p.t, x)
	ops.Release(p.t, x)
	return y
}

func (m *Model) heads() ops.Heads {
	c := m.Config
	return ops.Heads{Q: c.Heads, KV: c.KVHeads, Dim: c.HeadDim, Scale: float32(1 / math.Sqrt(float64(c.HeadDim))), Compute: m.Compute}
}

// head is the matrix (vocabulary, hidden) that turns hidden states into logits.
func (m *Model) head() *ops.Weight {
	if m.Head != nil {
		return m.Head
	}
	return &m.Embed.W
}

// Score returns log p(token | path) of each target of b at a temperature, (len(targets), 1), under adapter a.
func (m *Model) Score(t *ops.Tape, b *batch.Tree, a *adapters.Adapter, targets []batch.Target, temperature float64, stats *ops.TokenStats) mat.Tensor {
	rows, targets := batch.TargetRows(targets)
	hidden := m.ForwardRows(t, b, a, rows)
	lp := m.LogProbs(t, hidden, targets, temperature, stats)
	ops.Release(t, hidden)
	return lp
}

// LogProbs is Score for targets in rows of hidden, the result of Forward or ForwardRows.
func (m *Model) LogProbs(t *ops.Tape, hidden mat.Tensor, targets []batch.Target, temperature float64, stats *ops.TokenStats) mat.Tensor {
	return ops.LogProbs(t, hidden, m.head(), targets, temperature, stats, m.Compute)
}

// Logits returns the logits of the given rows of hidden, (len(rows), vocabulary), row-major.
func (m *Model) Logits(hidden mat.Tensor, rows []int) []float32 {
	x := ops.Gather(nil, hidden, rows)
	v := m.Config.Vocab
	out := make([]float32, len(rows)*v)
	ops.Logits(out, v, ops.F32(x), m.head(), len(rows), 0, v, 1, m.Compute)
	ops.Release(nil, x)
	return out
}

// TokenKL returns the exact KL(p || q) in nats over the vocabulary at each row, where p and q (rows, hidden) are hidden
// states of two adapters over this model's weights for the same batch.
func (m *Model) TokenKL(p, q mat.Tensor, temperature float64) []float64 {
	n, _ := ops.Dims(p)
	out, rows := make([]float64, n), make([]int, n)
	for i := range rows {
		rows[i] = i
	}
	v := m.Config.Vocab
	const tile = 32
	for lo := 0; lo < len(rows); lo += tile {
		part := rows[lo:min(lo+tile, len(rows))]
		lp, lq := m.Logits(p, part), m.Logits(q, part)
		kernels.Parallel(len(part), func(i int) {
			a, b := lp[i*v:(i+1)*v], lq[i*v:(i+1)*v]
			kernels.Scale(float32(1/temperature), a)
			kernels.Scale(float32(1/temperature), b)
			za, zb := ops.LogSumExpRow(a), ops.LogSumExpRow(b)
			var kl float64
			for j := range a {
				l := float64(a[j]) - za
				kl += math.Exp(l) * (l - (float64(b[j]) - zb))
			}
			out[lo+i] = kl
		})
	}
	return out
}

// Linears lists the layers that an adapter may target: all linear layers but the head.
func (m *Model) Linears() []adapters.Shape { return m.shapes(m.Config.Type == "gpt2") }

func (c *checkpoint) shapes(fanInFanOut bool) []adapters.Shape {
	var out []adapters.Shape
	for _, l := range c.linears {
		o, in := l.W.Dims()
		out = append(out, adapters.Shape{Path: l.Path, In: in, Out: o, FanInFanOut: fanInFanOut})
	}
	return out
}

// KeepBackward makes what backward passes read of frozen bf16 weights once for all, in as much memory again (kernels.Panels.KeepBackward):
// for a training of many such passes, until drop is
// called. No result depends on it.
func (m *Model) KeepBackward() (drop func()) {
	var kept []*kernels.Panels
	for _, l := range m.linears {
		if p := l.W.Frozen; p != nil {
			p.KeepBackward(l.Compute)
			kept = append(kept, p)
		}
	}
	return func() {
		for _, p := range kept {
			p.DropBackward()
		}
	}
}

// Params lists the trainable weights in the order of the module tree; none when the model is frozen.
func (m *Model) Params() []adapters.Param {
	return m.params(m)
}

func (c *checkpoint) params(module nn.Model) []adapters.Param {
	var out []adapters.Param
	seen := map[*nn.Param]bool{}
	nn.ForEachParam(module, func(p *nn.Param) {
		if p.RequiresGrad() && !seen[p] {
			seen[p] = true
			out = append(out, adapters.Param{Name: c.names[p], Param: p})
		}
	})
	return out
}

// MaxLen is the longest path the model accepts, in tokens.
func (m *Model) MaxLen() int { return m.Config.MaxPositions }

// Bytes is the memory of the frozen weights, or of the parameters without their gradients.
func (m *Model) Bytes() int {
	n := 0
	for _, t := range m.order {
		if t.w != nil && t.w.Frozen != nil {
			n += t.w.Frozen.Bytes()
		} else {
			n += 4 * t.rows * t.cols
		}
	}
	return n
}

// String describes the model in a line.
func (m *Model) String() string {
	var n int
	for _, t := range m.order {
		n += t.rows * t.cols
	}
	return fmt.Sprintf("%s, %d layers, hidden %d, vocabulary %d, %.1fM parameters",
		strings.ToLower(m.Config.Type), m.Config.Layers, m.Config.Hidden, m.Config.Vocab, float64(n)/1e6)
}

// rotary returns the angles of each position (transformers computes them in f32; so do we).
func rotary(c *Config, pos []int32) *ops.Rotary {
	half := c.HeadDim / 2
	inv := make([]float32, half)
	for i := range inv {
		f := 1 / math.Pow(c.RopeTheta, float64(2*i)/float64(c.HeadDim))
		inv[i] = float32(scaleFreq(f, c.Rope))
	}
	r := &ops.Rotary{Cos: make([]float32, len(pos)*half), Sin: make([]float32, len(pos)*half), Dim: c.HeadDim}
	for i, p := range pos {
		for j, f := range inv {
			angle := float64(float32(p) * f)
			r.Cos[i*half+j] = float32(math.Cos(angle))
			r.Sin[i*half+j] = float32(math.Sin(angle))
		}
	}
	return r
}

// scaleFreq applies Llama 3.1's scaling by wavelength, or the linear one.
func scaleFreq(f float64, r *RopeScaling) float64 {
	if r == nil {
		return f
	}
	if r.Type == "linear" {
		return f / r.Factor
	}
	wave := 2 * math.Pi / f
	low, high := float64(r.Original)/r.Low, float64(r.Original)/r.High
	switch {
	case wave < high:
		return f
	case wave > low:
		return f / r.Factor
	}
	smooth := (float64(r.Original)/wave - r.Low) / (r.High - r.Low)
	return (1-smooth)*f/r.Factor + smooth*f
}
