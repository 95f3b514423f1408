package train

import (
	"fmt"
	"math"
	"regexp"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"

	"plumb/internal/kernels"
	"plumb/internal/weights"
)

// Param is a trainable tensor and the name it has in checkpoints.
type Param struct {
	Name string
	*nn.Param
}

// Params converts the parameters of an adapter or a model, which this package must not import.
func Params[P ~struct {
	Name string
	*nn.Param
}](ps []P) []Param {
	out := make([]Param, len(ps))
	for i, p := range ps {
		out[i] = Param(p)
	}
	return out
}

// values is the parameter's own memory.
func (p Param) values() []float32 { return mat.Data[float32](p.Matrix) }

// grad is the gradient's own memory, nil when there is none.
func (p Param) grad() []float32 {
	if !p.HasGrad() {
		return nil
	}
	return mat.Data[float32](p.Grad())
}

// AdamW is torch's AdamW: decoupled weight decay lr*wd*w, bias correction of both moments, eps
// outside the root. Loshchilov and Hutter 2019. Norm gains and biases do not decay, as in
// transformers. spago's own AdamW scales the decay by the corrected step size; it is not used.
type AdamW struct {
	name   string
	opt    Options
	params []Param
	m, v   [][]float32
	step   int
	saved  *snapshot
}

// NewAdamW returns an optimiser of params, whose order is that of every sum over them. The name
// tells the tensors of several optimisers in one checkpoint apart.
func NewAdamW(name string, params []Param, opt Options) *AdamW {
	a := &AdamW{name: name, opt: opt, params: params}
	for _, p := range params {
		n := len(p.values())
		a.m = append(a.m, make([]float32, n))
		a.v = append(a.v, make([]float32, n))
	}
	return a
}

// undecayed matches the names of norm gains and biases.
var undecayed = regexp.MustCompile(`bias|norm|(^|\.)ln_`)

// Step updates every parameter that has a gradient with learning rate lr and clears the gradients.
func (a *AdamW) Step(lr float64) {
	a.step++
	c1 := float32(1 - math.Pow(a.opt.AdamBeta1, float64(a.step)))
	c2 := float32(1 - math.Pow(a.opt.AdamBeta2, float64(a.step)))
	kernels.Parallel(len(a.params), func(i int) {
		p := a.params[i]
		g := p.grad()
		if g == nil {
			return
		}
		wd := a.opt.WeightDecay
		if undecayed.MatchString(p.Name) {
			wd = 0
		}
		kernels.AdamW(p.values(), g, a.m[i], a.v[i], float32(lr), float32(a.opt.AdamBeta1), float32(a.opt.AdamBeta2),
			float32(a.opt.AdamEps), float32(wd), c1, c2)
		clear(g)
	})
}

// ZeroGrad clears the gradients, as after a step that is given up.
func (a *AdamW) ZeroGrad() {
	for _, p := range a.params {
		clear(p.grad())
	}
}

// GradNorm returns the global norm of the gradients: squares summed in float64, in the order of
// the parameters. It is NaN or infinite when any gradient is.
func (a *AdamW) GradNorm() float64 {
	sums := make([]float64, len(a.params))
	kernels.Parallel(len(a.params), func(i int) { sums[i] = kernels.SumSquares(a.params[i].grad()) })
	total := 0.0
	for _, s := range sums {
		total += s
	}
	return math.Sqrt(total)
}

// Clip scales the gradients to a global norm of at most limit, given their norm: by
// limit/(norm + 1e-6) where that is below 1, as torch's clip_grad_norm_ does. Limit 0 is no limit.
func (a *AdamW) Clip(norm, limit float64) {
	if limit <= 0 {
		return
	}
	coef := limit / (norm + 1e-6)
	if coef >= 1 {
		return
	}
	for _, p := range a.params {
		if g := p.grad(); g != nil {
			kernels.Scale(float32(coef), g)
		}
	}
}

// snapshot is a copy of an optimiser's parameters and state.
type snapshot struct {
	step    int
	p, m, v [][]float32
}

// Snapshot remembers parameters and state for Restore, as before an update of several steps that
// may be interrupted.
func (a *AdamW) Snapshot() {
	if a.saved == nil {
		a.saved = &snapshot{}
		for i := range a.params {
			n := len(a.m[i])
			a.saved.p = append(a.saved.p, make([]float32, n))
			a.saved.m = append(a.saved.m, make([]float32, n))
			a.saved.v = append(a.saved.v, make([]float32, n))
		}
	}
	a.saved.step = a.step
	for i, p := range a.params {
		copy(a.saved.p[i], p.values())
		copy(a.saved.m[i], a.m[i])
		copy(a.saved.v[i], a.v[i])
	}
}

// Restore goes back to the last Snapshot and clears the gradients.
func (a *AdamW) Restore() {
	a.ZeroGrad()
	if a.saved == nil {
		return
	}
	a.step = a.saved.step
	for i, p := range a.params {
		copy(p.values(), a.saved.p[i])
		copy(a.m[i], a.saved.m[i])
		copy(a.v[i], a.saved.v[i])
	}
}

// tensors lists parameters and moments for a checkpoint.
func (a *AdamW) tensors() []weights.Named {
	var out []weights.Named
	for i, p := range a.params {
		shape := []int{len(a.m[i])}
		out = append(out,
			weights.Named{Name: a.name + "." + p.Name, Shape: shape, F32: p.values()},
			weights.Named{Name: a.name + ".exp_avg." + p.Name, Shape: shape, F32: a.m[i]},
			weights.Named{Name: a.name + ".exp_avg_sq." + p.Name, Shape: shape, F32: a.v[i]})
	}
	return out
}

// load fills parameters and moments from a checkpoint.
func (a *AdamW) load(set *weights.Set) error {
	for i, p := range a.params {
		for _, dst := range []struct {
			prefix string
			data   []float32
		}{{".", p.values()}, {".exp_avg.", a.m[i]}, {".exp_avg_sq.", a.v[i]}} {
			t, err := set.Take(a.name+dst.prefix+p.Name, len(dst.data))
			if err != nil {
				return fmt.Errorf("checkpoint: %w", err)
			}
			copy(dst.data, t.Float32())
		}
	}
	return nil
}
