package ops

import (
	"fmt"
	"slices"
	"testing"

	"plumb/internal/kernels"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// Layers that share a low rank give the bits that each gives alone, and its gradients but for rounding, also where a result is not read.
func TestTogether(t *testing.T) {
	const rows, in = 50, 64
	outs, ranks := []int{96, 32, 64}, []int{3, 8, 5}
	pairLevels(t, func(t *testing.T) {
		for _, unread := range []int{-1, 0, 1, 2} {
			t.Run(fmt.Sprintf("unread %d", unread), func(t *testing.T) {
				x := param(1, rows, in)
				params := []*nn.Param{x}
				var calls []Call
				for i, out := range outs {
					w := kernels.NewPanels(out, in, kernels.PanelBF16)
					data := random(uint64(10+i), out*in)
					w.Fill(func(n int, dst []float32) { copy(dst, data[n*in:]) })
					lora := &LoRA{A: param(uint64(20+i), ranks[i], in), B: param(uint64(30+i), out, ranks[i]), Scale: 0.5}
					params = append(params, lora.A, lora.B)
					calls = append(calls, Call{Linear: &Linear{W: Weight{Frozen: w}, Compute: kernels.BF16}, LoRA: lora, Half: i == 2})
				}
				run := func(together bool, calls []Call) (results [][]float32, grads [][]float32) {
					for _, p := range params {
						ZeroGrad(p)
					}
					tape := NewTape()
					h := leaf(tape, x)
					var ys []mat.Tensor
					if together {
						ys = Together(tape, h, calls...)
					} else {
						for _, c := range calls {
							ys = append(ys, Together(tape, h, c)[0])
						}
					}
					for i, y := range ys {
						results = append(results, slices.Clone(F32(y)))
						if i != unread {
							tape.Seed(y, random(uint64(40+i), rows*outs[i]))
						}
					}
					tape.Run()
					for _, p := range params {
						grads = append(grads, slices.Clone(Grad(p)))
					}
					return results, grads
				}
				want, wantGrads := run(false, calls)
				fixed := slices.Clone(calls)
				for i, c := range fixed {
					fixed[i].LoRA = c.LoRA.Fixed()
				}
				for name, calls := range map[string][]Call{"": calls, "fixed": fixed, "fixed again": fixed} {
					got, grads := run(true, calls)
					for i := range want {
						if !slices.Equal(got[i], want[i]) {
							t.Errorf("%s: result %d differs", name, i)
						}
					}
					for i, w := range wantGrads {
						if off := relative(grads[i], w); off > 0.01 {
							t.Errorf("%s: gradient %d is off by %.2g", name, i, off)
						}
					}
				}
				for _, c := range fixed {
					c.LoRA.Unfix()
				}
				without := Together(nil, Const(F32(x), rows, in), calls...)
				for i, y := range without {
					if !slices.Equal(F32(y), want[i]) {
						t.Errorf("result %d differs without a tape", i)
					}
				}
				Release(nil, without...)
			})
		}
	})
}
