package ops

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"plumb/internal/batch"
	"plumb/internal/kernels"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// TestAttentionInPlace: operands in bf16, which are read where they are, give the bits of the same numbers in float32, which are gathered, in
// the output and in all gradients.
func TestAttentionInPlace(t *testing.T) {
	trees := []func(b *batch.Tree){
		func(b *batch.Tree) { b.Add(-1, make([]int32, 1), 0) },
		func(b *batch.Tree) { b.Add(-1, make([]int32, 128), 0) }, // whole bands
		func(b *batch.Tree) {
			long := b.Add(-1, make([]int32, 300), 0)
			b.Add(long, make([]int32, 41), 0)
			b.Add(b.Add(long, make([]int32, 1), 0), make([]int32, 7), 0)
			b.Add(-1, make([]int32, 33), 0)
		},
	}
	pairLevels(t, func(t *testing.T) {
		for i, dim := range []int{32, 64, 96, 128} {
			for j, grow := range trees {
				b := &batch.Tree{Bidirectional: i == 1}
				grow(b)
				h := Heads{Q: 3 + 3*(i%2), KV: 3, Dim: dim, Scale: 0.1, Compute: kernels.BF16}
				n, plan := b.Rows(), Plan(b)
				if i == 2 {
					plan.Window = 20
				}
				var bias PathBias
				if i == 3 {
					bias = func(head, i, j int) float32 { return 0.01 * float32(head) * float32(i-j) }
				}
				still := &Rotary{Dim: dim, Cos: slices.Repeat([]float32{1}, n*dim/2), Sin: make([]float32, n*dim/2)}
				params := []*nn.Param{param(1, n, h.Q*dim), param(2, n, h.KV*dim), param(3, n, h.KV*dim)}
				for _, p := range params {
					for k, x := range F32(p) {
						F32(p)[k] = math.Float32frombits(math.Float32bits(x) &^ 0xffff) // a number of bf16
					}
				}
				run := func(half bool) (out [][]float32) {
					tape := NewTape()
					var of []mat.Tensor
					for _, p := range params {
						x := leaf(tape, p)
						if half {
							x = RoPE(tape, Add(tape, x, Const(make([]float32, p.Size()), n, p.Size()/n)), still, h)
						}
						of = append(of, x)
					}
					y := Attention(tape, of[0], of[1], of[2], plan, h, bias)
					out = append(out, slices.Clone(F32(y)))
					tape.Backward(y, random(4, n*h.Q*dim))
					for _, p := range params {
						out = append(out, slices.Clone(Grad(p)))
						ZeroGrad(p)
					}
					return out
				}
				got, want := run(true), run(false)
				for k, name := range []string{"output", "dq", "dk", "dv"} {
					if !slices.Equal(got[k], want[k]) {
						t.Errorf("%s: %s of other bits", fmt.Sprint("dim ", dim, " tree ", j), name)
					}
				}
			}
		}
	})
}
