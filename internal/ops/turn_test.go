package ops

import (
	"math/rand/v2"
	"runtime"
	"testing"

	"plumb/internal/kernels"
)

// TestTurns: tapes that run at once leave the gradients of running one after the other, bit for bit, also when one of them does
// not run at all.
func TestTurns(t *testing.T) {
	defer kernels.SetThreads(0)
	const parts, in, out, deep = 7, 40, 24, 5
	grads := func(threads int) [][]float32 {
		kernels.SetThreads(threads)
		r := rand.New(rand.NewPCG(1, 2))
		draw := func(n int) []float32 {
			x := make([]float32, n)
			for i := range x {
				x[i] = r.Float32() - 0.5
			}
			return x
		}
		var layers []*Linear
		for i := range deep {
			w := in
			if i == deep-1 {
				w = out
			}
			layers = append(layers, &Linear{W: Weight{Param: NewParam(w, in, draw(w*in))}, Bias: NewParam(1, w, draw(w))})
		}
		var xs, seeds [][]float32
		for i := range parts {
			rows := 3 + 50*(i%3)
			xs, seeds = append(xs, draw(rows*in)), append(seeds, draw(rows*out))
		}
		turns := Turns(parts)
		kernels.Lanes(parts, threads, func(i int) {
			defer turns[i].Finish()
			if i == 3 {
				return
			}
			tape := NewTape()
			tape.Turn = turns[i]
			x := Const(xs[i], len(xs[i])/in, in)
			for _, l := range layers {
				x = l.Apply(tape, x, nil)
				runtime.Gosched()
			}
			tape.Backward(x, seeds[i])
		})
		var all [][]float32
		for _, l := range layers {
			all = append(all, append([]float32{}, Grad(l.W.Param)...), append([]float32{}, Grad(l.Bias)...))
		}
		return all
	}
	want := grads(1)
	for _, threads := range []int{2, 3, 7} {
		for range 10 {
			for i, g := range grads(threads) {
				for j, v := range g {
					if v != want[i][j] {
						t.Fatalf("%d threads: gradient %d, element %d is %v, want %v", threads, i, j, v, want[i][j])
					}
				}
			}
		}
	}
}
