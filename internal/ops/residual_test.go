package ops

import (
	"slices"
	"testing"

	"plumb/internal/batch"
	"plumb/internal/kernels"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// residual is two steps of a residual stream, each x + down(up(norm(x))), with LoRAs.
type residual struct {
	x     *nn.Param
	steps [2]struct {
		norm     *Norm
		up, down Call
	}
}

func newResidual(rows, cols int) *residual {
	layer := func(seed uint64) Call {
		w := kernels.NewPanels(cols, cols, kernels.PanelBF16)
		data := random(seed, cols*cols)
		kernels.Scale(0.1, data)
		w.Fill(func(n int, dst []float32) { copy(dst, data[n*cols:]) })
		lora := &LoRA{A: param(seed+1, 8, cols), B: param(seed+2, cols, 8), Scale: 0.1}
		return Call{Linear: &Linear{W: Weight{Frozen: w}, Compute: kernels.BF16}, LoRA: lora}
	}
	r := &residual{x: param(1, rows, cols)}
	for i := range r.steps {
		gain := param(uint64(5+i), 1, cols)
		for j := range F32(gain) {
			F32(gain)[j] += 1.5
		}
		s := &r.steps[i]
		s.norm, s.up, s.down = &Norm{Gain: gain, Eps: 1e-5, RMS: true}, layer(uint64(10+20*i)), layer(uint64(20+20*i))
		gain.SetRequiresGrad(false)
	}
	return r
}

// run returns the sum, whether each step wrote over what it added to, and the gradients of x and of all factors.
func (r *residual) run(tape *Tape) (sum []float32, over [2]bool, grads [][]float32) {
	params := []*nn.Param{r.x}
	x := leaf(tape, r.x)
	for i, s := range r.steps {
		params = append(params, s.up.LoRA.A, s.up.LoRA.B, s.down.LoRA.A, s.down.LoRA.B)
		at := &F32(x)[0]
		h := s.norm.Lazy(tape, x)
		y := Together(tape, h, s.up)[0]
		z := s.down.Linear.ApplyAdd(tape, y, s.down.LoRA, x)
		over[i] = &F32(z)[0] == at
		Release(tape, h, y, x)
		x = z
	}
	sum = slices.Clone(F32(x))
	if tape == nil {
		return sum, over, nil
	}
	for _, p := range params {
		ZeroGrad(p)
	}
	tape.Backward(x, random(40, len(sum)))
	for _, p := range params {
		grads = append(grads, slices.Clone(Grad(p)))
	}
	return sum, over, grads
}

// exact lets gains be trained, so that norms keep their input.
func (r *residual) exact(is bool) {
	for _, s := range r.steps {
		s.norm.Gain.SetRequiresGrad(is)
	}
}

// The residual stream is written over where the backward pass can do without it: the sum has the same bits, and gradients are off by the rounding of
// the norm's result.
func TestResidualInPlace(t *testing.T) {
	pairLevels(t, func(t *testing.T) {
		r := newResidual(50, 64)
		r.exact(true)
		want, over, wantGrads := r.run(NewTape())
		if over != [2]bool{} {
			t.Error("wrote over what the gradient of a gain reads")
		}
		r.exact(false)
		got, over, grads := r.run(NewTape())
		if over != [2]bool{true, true} {
			t.Errorf("did not write over the residual stream: %v", over)
		}
		alone, over, _ := r.run(nil)
		if over != [2]bool{true, true} {
			t.Errorf("without a tape, did not write over the residual stream: %v", over)
		}
		if !slices.Equal(got, want) || !slices.Equal(alone, want) {
			t.Error("sums differ")
		}
		for i, w := range wantGrads {
			if off := relative(grads[i], w); off > 3e-3 {
				t.Errorf("gradient %d is off by %.2g", i, off)
			}
		}
	})
}

// Gains too small to divide by, a norm whose result nobody keeps, and a second one that needs its input, keep the residual stream.
func TestResidualKept(t *testing.T) {
	pairLevels(t, func(t *testing.T) {
		r := newResidual(20, 64)
		first := &r.steps[0]
		F32(first.norm.Gain)[3] = 1e-9
		if _, over, _ := r.run(NewTape()); over != [2]bool{false, true} {
			t.Errorf("a gain of nearly 0: %v", over)
		}
		F32(first.norm.Gain)[3] = 1
		lora := first.up.LoRA
		first.up.LoRA = &LoRA{A: param(7, 8, 64), B: param(8, 64, 8), Scale: 0.1, Dropout: 0.5}
		rows := &batch.Tree{}
		rows.Add(-1, make([]int32, 20), 1)
		tape := TrainingTape(0.5, Dropout{Seed: 1}.For(rows), false)
		if _, over, _ := r.run(tape); over != [2]bool{false, true} {
			t.Errorf("dropout, which reads another form of a norm's result: %v", over)
		}
		first.up.LoRA = lora

		tape = NewTape()
		x := leaf(tape, r.x)
		h := r.steps[1].norm.Lazy(tape, x) // read as float32, of no gradient of A
		y := Together(tape, first.norm.Lazy(tape, x), first.up)[0]
		before := slices.Clone(F32(x))
		first.down.Linear.ApplyAdd(tape, y, first.down.LoRA, x)
		if F32(h); !slices.Equal(F32(x), before) {
			t.Error("wrote over what another norm reads")
		}
	})
}

// A block's input, from which it is computed again, stays, and gradients are the same floats as without that.
func TestResidualRecomputed(t *testing.T) {
	pairLevels(t, func(t *testing.T) {
		r := newResidual(20, 64)
		want, _, wantGrads := r.run(NewTape())
		params := []*nn.Param{r.x}
		tape := NewTape()
		x := leaf(tape, r.x)
		for _, s := range r.steps {
			params = append(params, s.up.LoRA.A, s.up.LoRA.B, s.down.LoRA.A, s.down.LoRA.B)
			before := slices.Clone(F32(x))
			z := Checkpoint(tape, x, func(t *Tape, x mat.Tensor) mat.Tensor {
				return s.down.Linear.ApplyAdd(t, Together(t, s.norm.Lazy(t, x), s.up)[0], s.down.LoRA, x)
			})
			if !slices.Equal(before, F32(x)) {
				t.Error("wrote over a block's input")
			}
			x = z
		}
		if !slices.Equal(F32(x), want) {
			t.Error("sums differ")
		}
		for _, p := range params {
			ZeroGrad(p)
		}
		tape.Backward(x, random(40, len(want)))
		for i, p := range params {
			if !slices.Equal(Grad(p), wantGrads[i]) {
				t.Errorf("gradient %d differs", i)
			}
		}
	})
}
