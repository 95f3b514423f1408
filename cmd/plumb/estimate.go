package main

import (
	"plumb/adapters"
	"plumb/internal/batch"
	"plumb/internal/model"
	"plumb/internal/train"
	"plumb/sft"
)

// shape is what the cost of a decoder depends on.
type shape struct {
	params, linear int64 // all parameters; those of the linear layers in the blocks
	head           int64 // the matrix that makes logits
	hidden, inter  int64
	layers         int64
	bytesOfText    bool // byte-level vocabulary: a character is a token
}

func shapeOf(c model.Config) shape {
	h, d := int64(c.Hidden), int64(c.HeadDim)
	attn := h*d*int64(c.Heads) + 2*h*d*int64(c.KVHeads) + d*int64(c.Heads)*h
	mlp := 3 * h * int64(c.Intermediate)
	if c.Type == "gpt2" {
		mlp = 2 * h * int64(c.Intermediate)
	}
	s := shape{hidden: h, inter: int64(c.Intermediate), layers: int64(c.Layers), head: int64(c.Vocab) * h, bytesOfText: c.Vocab < 1000}
	s.linear = s.layers * (attn + mlp)
	s.params = s.linear + s.head + s.layers*2*h
	if !c.Tied {
		s.params += s.head
	}
	return s
}

// lora counts the parameters of an adapter on all linear layers: rank times the sum of each layer's sides.
func (s shape) lora(c adapters.Config) int64 {
	return int64(c.R) * s.layers * (4*2*s.hidden + 3*(s.hidden+s.inter))
}

// activations is the memory of one training pass over so many rows: per layer the residual stream, the norms' inputs, q, k, v, the
// attention's result and the three of the MLP, each with its gradient.
func (s shape) activations(rows int64) int64 {
	return 2 * 4 * rows * s.layers * (6*s.hidden + 3*s.inter)
}

const (
	stateBytes  = 16 // of a trained parameter: value, gradient and two moments in f32
	sumBytes    = 4  // of an adapter's, for each pass side by side: its share of the gradient
	frozenBytes = 4  // of a frozen one, in f32
)

// common fills in what all trainers share. passes is how many forward-and-backward passes an example's tokens cost, in units of one
// forward pass: a frozen weight's forward is 1, the gradient through it 1, its own gradient 1.
func (e *estimator) common(p *plan, o train.Options, s shape, trained int64, sides, passes float64) stagePlan {
	v := e.volume(firstOf(p.inputs, roleData))
	tokens := v.tokens
	if !s.bytesOfText {
		tokens /= charsPerToken
	}
	tokens *= sides
	out := stagePlan{Base: s.params, Trained: trained, Examples: v.records, Tokens: tokens}
	_, out.Steps = o.Steps(int(max(v.records, 1)))
	rows := int64(min(float64(o.MicroBatchTokens), tokens*float64(o.BatchSize)))
	out.Memory = frozenBytes*s.params + stateBytes*trained + s.activations(rows)
	if trained < s.params {
		out.Memory += sumBytes * trained * int64(batch.Lanes(o.MicroBatchTokens))
	}
	if o.GradientCheckpointing { // the residual stream of each block, and one block whole
		out.Memory += 2*4*rows*s.layers*s.hidden - s.activations(rows) + s.activations(rows)/s.layers
		passes++
	}
	perToken := 2 * float64(s.linear+s.head) * passes
	out.Seconds = float64(out.Steps) * float64(o.BatchSize*o.GradAccumulation) * tokens * perToken / e.rate
	if v.guessed {
		out.Uncertain = "the number of records and their length, from what earlier stages are told to make"
	}
	return out
}

func (s *sftStage) estimate(e *estimator, p *plan) (stagePlan, error) {
	var base shape
	var err error
	switch n := s.Config.NewModel; s.Config.Mode {
	case sft.Scratch:
		base = shapeOf(model.Config{Type: "llama", Hidden: n.Hidden, Layers: n.Layers, Heads: n.Heads, KVHeads: n.KVHeads,
			HeadDim: n.Hidden / n.Heads, Intermediate: n.Intermediate, Vocab: 260, Tied: !n.Untied})
		e.made[p.name] = base
	default:
		if base, err = e.modelOf(p.inputs[0]); err != nil {
			return stagePlan{}, err
		}
	}
	if s.Config.Mode == sft.LoRA {
		return e.common(p, s.Config.Options, base, base.lora(s.Config.Lora), 1, 2), nil
	}
	e.made[p.name] = base
	return e.common(p, s.Config.Options, base, base.params, 1, 3), nil
}

func (s *rewardStage) estimate(e *estimator, p *plan) (stagePlan, error) {
	base, err := e.modelOf(p.inputs[0])
	base.head = 0 // no logits
	return e.common(p, s.Config.Options, base, base.lora(s.Config.Lora), 2, 2), err
}

func (s *dpoStage) estimate(e *estimator, p *plan) (stagePlan, error) {
	base, err := e.modelOf(p.inputs[0])
	return e.common(p, s.Config.Options, base, base.lora(s.Config.Lora), 2, 3), err // and the reference's forward
}

func (s *ppoStage) estimate(e *estimator, p *plan) (stagePlan, error) {
	base, err := e.modelOf(p.inputs[0])
	// Policy and critic: two adapters. Sampling, reference, reward and values are forward passes, then each epoch trains both.
	passes := 4 + 2*2*float64(s.Config.NumPPOEpochs)
	out := e.common(p, s.Config.Options, base, 2*base.lora(s.Config.Lora), 1, passes)
	out.Steps = s.Config.Updates(int(max(out.Examples, 1)))
	tokens := out.Tokens/2 + float64(s.Config.ResponseLength)
	out.Seconds = float64(out.Steps) * float64(s.Config.Episodes()) * tokens * 2 * float64(base.linear+base.head) * passes / e.rate
	out.Tokens = tokens
	return out, err
}
