package adapters

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"plumb/internal/ops"

	"github.com/nlpodyssey/spago/nn"
)

// Shape is a linear layer that can be adapted.
type Shape struct {
	Path        string // as in the checkpoint: model.layers.0.self_attn.q_proj
	In, Out     int
	FanInFanOut bool // stored (in, out), as GPT-2's Conv1D; LoRA's own orientation does not change
}

// Layer is the update of one linear layer.
type Layer struct {
	nn.Module
	Shape Shape
	LoRA  *ops.LoRA
}

// Adapter is a set of low-rank updates and, for reward models and critics, a head. A nil *Adapter is
// the base itself.
type Adapter struct {
	nn.Module
	Config    Config
	BaseModel string // base_model_name_or_path
	TaskType  string // CAUSAL_LM or SEQ_CLS
	Layers    []*Layer
	Head      *nn.Param // (1, hidden) score head, or nil
	index     map[string]*Layer
}

// Param is a trainable tensor and its name in the adapter's file, without PEFT's prefix.
type Param struct {
	Name string
	*nn.Param
}

// New returns an adapter for those of linears that cfg targets: A uniform in ±1/sqrt(in) (PEFT's
// Kaiming initialisation with a = sqrt 5), B zero, so that it starts as the base itself.
// The same seed gives the same adapter whatever else is adapted.
func New(cfg Config, linears []Shape, seed uint64) (*Adapter, error) {
	if faults := cfg.Validate(); len(faults) > 0 {
		return nil, faults[0]
	}
	a := &Adapter{Config: cfg, TaskType: "CAUSAL_LM"}
	for _, s := range linears {
		if !cfg.targets(s.Path) {
			continue
		}
		r := lookup(cfg.RankPattern, s.Path, cfg.R)
		rng := stream(seed, s.Path)
		bound := 1 / math.Sqrt(float64(s.In))
		data := make([]float32, r*s.In)
		for i := range data {
			data[i] = float32((2*rng.Float64() - 1) * bound)
		}
		a.add(s, ops.NewParam(r, s.In, data), ops.NewParam(s.Out, r, nil))
	}
	if len(a.Layers) == 0 {
		var have []string
		for _, s := range linears {
			have = append(have, s.Path)
		}
		return nil, fmt.Errorf("adapters: target_modules %v match none of the %d linear layers (%s)", cfg.Targets, len(have), sample(have))
	}
	for _, t := range cfg.Targets {
		if t != AllLinear && !matchesAny(t, linears) {
			return nil, fmt.Errorf("adapters: target module %q matches no linear layer", t)
		}
	}
	return a, a.patternsMatch()
}

// patternsMatch is an error for a key of a rank or alpha pattern that is about no layer: it would change nothing.
func (a *Adapter) patternsMatch() error {
	match := func(name string, keys []string) error {
		for _, k := range keys {
			re, err := pattern(k)
			if err != nil || !slices.ContainsFunc(a.Layers, func(l *Layer) bool { return re.MatchString(l.Shape.Path) }) {
				return fmt.Errorf("adapters: %s: %q matches none of the %d adapted layers", name, k, len(a.Layers))
			}
		}
		return nil
	}
	return errors.Join(match("rank_pattern", slices.Sorted(maps.Keys(a.Config.RankPattern))),
		match("alpha_pattern", slices.Sorted(maps.Keys(a.Config.AlphaPattern))))
}

func matchesAny(target string, linears []Shape) bool {
	c := Config{Targets: []string{target}}
	for _, s := range linears {
		if c.targets(s.Path) {
			return true
		}
	}
	return false
}

func sample(paths []string) string {
	if len(paths) > 8 {
		paths = append(paths[:7:7], "...")
	}
	return strings.Join(paths, ", ")
}

func (a *Adapter) add(s Shape, wa, wb *nn.Param) {
	r := wa.Shape()[0]
	if a.index == nil {
		a.index = map[string]*Layer{}
	}
	l := &Layer{Shape: s, LoRA: &ops.LoRA{
		A: wa, B: wb, Scale: a.scale(s.Path, r), Dropout: float32(a.Config.Dropout), ID: hash(s.Path),
	}}
	a.Layers = append(a.Layers, l)
	a.index[s.Path] = l
}

// scale is alpha/r, or alpha/sqrt(r) for rsLoRA (Kalajdzievski, 2023, arXiv:2312.03732).
func (a *Adapter) scale(path string, r int) float32 {
	alpha := lookup(a.Config.AlphaPattern, path, a.Config.Alpha)
	if a.Config.RSLoRA {
		return float32(alpha / math.Sqrt(float64(r)))
	}
	return float32(alpha / float64(r))
}

// LoRA returns the update of the layer at path, nil if it has none.
func (a *Adapter) LoRA(path string) *ops.LoRA {
	if a == nil {
		return nil
	}
	if l := a.index[path]; l != nil {
		return l.LoRA
	}
	return nil
}

// Dropout is the probability of dropping an input in training, 0 without an adapter.
func (a *Adapter) Dropout() float64 {
	if a == nil {
		return 0
	}
	return a.Config.Dropout
}

// Fixed returns a view of a for many passes during which its weights do not change; release it afterwards. Gradients go to a's.
func (a *Adapter) Fixed() (view *Adapter, release func()) {
	if a == nil {
		return nil, func() {}
	}
	view = &Adapter{Config: a.Config, BaseModel: a.BaseModel, TaskType: a.TaskType, Head: a.Head, index: map[string]*Layer{}}
	for _, l := range a.Layers {
		fixed := &Layer{Shape: l.Shape, LoRA: l.LoRA.Fixed()}
		view.Layers = append(view.Layers, fixed)
		view.index[l.Shape.Path] = fixed
	}
	return view, func() {
		for _, l := range view.Layers {
			l.LoRA.Unfix()
		}
	}
}

// WithHead gives the adapter a score head (1, hidden) drawn from N(0, std²) and makes it a sequence
// classifier in PEFT's terms. It returns the adapter.
func (a *Adapter) WithHead(hidden int, std float64, seed uint64) *Adapter {
	rng := stream(seed, "score")
	w := make([]float32, hidden)
	for i := range w {
		w[i] = float32(rng.NormFloat64() * std)
	}
	a.Head = ops.NewParam(1, hidden, w)
	a.TaskType = "SEQ_CLS"
	return a
}

// Params lists the trainable tensors in the order of the model's layers, A before B, the head last.
func (a *Adapter) Params() []Param {
	var out []Param
	for _, l := range a.Layers {
		out = append(out,
			Param{l.Shape.Path + ".lora_A.weight", l.LoRA.A},
			Param{l.Shape.Path + ".lora_B.weight", l.LoRA.B})
	}
	if a.Head != nil {
		out = append(out, Param{"score.weight", a.Head})
	}
	return out
}

// Clone returns a copy that shares nothing with a.
func (a *Adapter) Clone() *Adapter {
	if a == nil {
		return nil
	}
	c := &Adapter{Config: a.Config, BaseModel: a.BaseModel, TaskType: a.TaskType}
	c.Config.Targets = slices.Clone(a.Config.Targets)
	c.Config.RankPattern, c.Config.AlphaPattern = maps.Clone(a.Config.RankPattern), maps.Clone(a.Config.AlphaPattern)
	for _, l := range a.Layers {
		c.add(l.Shape, copyParam(l.LoRA.A), copyParam(l.LoRA.B))
		*c.Layers[len(c.Layers)-1].LoRA = ops.LoRA{
			A: c.index[l.Shape.Path].LoRA.A, B: c.index[l.Shape.Path].LoRA.B,
			Scale: l.LoRA.Scale, Dropout: l.LoRA.Dropout, ID: l.LoRA.ID,
		}
	}
	if a.Head != nil {
		c.Head = copyParam(a.Head)
	}
	return c
}

func copyParam(p *nn.Param) *nn.Param {
	s := p.Shape()
	return ops.NewParam(s[0], s[1], ops.F32(p))
}

// SetDropout makes p the probability of dropping an input in training, whatever a file said.
func (a *Adapter) SetDropout(p float64) {
	a.Config.Dropout = p
	for _, l := range a.Layers {
		l.LoRA.Dropout = float32(p)
	}
}

// SetTrainable turns the gradients of every tensor on or off: a reference is a frozen value.
func (a *Adapter) SetTrainable(on bool) {
	if a == nil {
		return
	}
	nn.ForEachParam(a, func(p *nn.Param) { p.SetRequiresGrad(on) })
}

func hash(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

func stream(seed uint64, name string) *rand.Rand {
	b := binary.LittleEndian.AppendUint64(nil, seed)
	return rand.New(rand.NewChaCha8(sha256.Sum256(append(b, "adapter:"+name...))))
}
