package ops

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"plumb/internal/kernels"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// residual is a step of a residual stream, x + down(up(norm(x))), with LoRAs.
type residual struct {
	x        *nn.Param
	norm     *Norm
	up, down Call
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
	gain := param(5, 1, cols)
	for i, g := range F32(gain) {
		F32(gain)[i] = 1.5 + g
	}
	return &residual{param(1, rows, cols), &Norm{Gain: gain, Eps: 1e-5, RMS: true}, layer(10), layer(20)}
}

// run returns the sum, whether it has x's memory, and the gradients of x and of both layers' factors.
func (r *residual) run(tape *Tape) (sum []float32, over bool, grads [][]float32) {
	params := []*nn.Param{r.x, r.up.LoRA.A, r.up.LoRA.B, r.down.LoRA.A, r.down.LoRA.B}
	for _, p := range params {
		ZeroGrad(p)
	}
	x := leaf(tape, r.x)
	at := &F32(x)[0]
	y := Together(tape, r.norm.Lazy(tape, x), r.up)[0]
	z := r.down.Linear.ApplyAdd(tape, y, r.down.LoRA, x)
	sum, over = slices.Clone(F32(z)), &F32(z)[0] == at
	if tape == nil {
		return sum, over, nil
	}
	tape.Backward(z, random(40, len(sum)))
	for _, p := range params {
		grads = append(grads, slices.Clone(Grad(p)))
	}
	return sum, over, grads
}

// The residual stream is written over where the backward pass can do without it: the sum has the same bits, and gradients are off by the rounding of
// the norm's result.
func TestResidualInPlace(t *testing.T) {
	for _, level := range kernels.Available() {
		t.Run(fmt.Sprint(level), func(t *testing.T) {
			defer kernels.Force(level)()
			if !kernels.DotsPairs() {
				t.Skip("no pairs")
			}
			r := newResidual(50, 64)
			r.norm.Gain.SetRequiresGrad(true)
			want, over, wantGrads := r.run(NewTape())
			if over {
				t.Error("wrote over what the gradient of a gain reads")
			}
			r.norm.Gain.SetRequiresGrad(false)
			got, over, grads := r.run(NewTape())
			if !over {
				t.Error("did not write over the residual stream")
			}
			alone, over, _ := r.run(nil)
			if !over {
				t.Error("without a tape, did not write over the residual stream")
			}
			if !slices.Equal(got, want) || !slices.Equal(alone, want) {
				t.Error("sums differ")
			}
			for i, w := range wantGrads {
				var d, n float64
				for j := range w {
					d += math.Pow(float64(grads[i][j]-w[j]), 2)
					n += math.Pow(float64(w[j]), 2)
				}
				if d > 1e-5*n {
					t.Errorf("gradient %d is off by %.2g", i, math.Sqrt(d/n))
				}
			}
		})
	}
}

// What others read, or gains too small to divide by, keep the residual stream.
func TestResidualKept(t *testing.T) {
	if !kernels.DotsPairs() {
		t.Skip("no pairs")
	}
	r := newResidual(20, 64)
	r.norm.Gain.SetRequiresGrad(false)
	F32(r.norm.Gain)[3] = 1e-9
	if _, over, _ := r.run(NewTape()); over {
		t.Error("wrote over the input of a norm with a gain of nearly 0")
	}
	F32(r.norm.Gain)[3] = 1
	r.up.LoRA = nil // nobody keeps the norm's result for the backward pass
	tape := NewTape()
	x := leaf(tape, r.x)
	y := Together(tape, r.norm.Lazy(tape, x), r.up)[0]
	if z := r.down.Linear.ApplyAdd(tape, y, r.down.LoRA, x); &F32(z)[0] == &F32(x)[0] {
		t.Error("wrote over what the norm's gradient needs")
	}
	tape = NewTape()
	tape.Recompute = true
	var inner mat.Tensor
	x = leaf(tape, r.x)
	before := slices.Clone(F32(x))
	Checkpoint(tape, x, func(t *Tape, x mat.Tensor) mat.Tensor {
		y := Together(t, r.norm.Lazy(t, x), r.down)[0]
		inner = r.down.Linear.ApplyAdd(t, y, r.down.LoRA, x)
		return inner
	})
	if !slices.Equal(before, F32(x)) {
		t.Error("wrote over a block's input, from which it is computed again")
	}
}
