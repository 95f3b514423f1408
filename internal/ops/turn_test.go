package ops

import (
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"

	"plumb/internal/kernels"
)

// TestTurns: tapes that run at once leave the gradients of running one after the other, bit for bit, be parameters thin or not, also when one of them
// does not run at all, and when they do not all belong together.
func TestTurns(t *testing.T) {
	defer kernels.SetThreads(0)
	const parts, in, inner, out, deep = 7, 40, thinSide + 8, 24, 5
	grads := func(threads, together int) [][]float32 {
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
			from, to := inner, inner
			if i == 0 {
				from = in
			}
			if i == deep-1 {
				to = out
			}
			layers = append(layers, &Linear{W: Weight{Param: NewParam(to, from, draw(to*from))}, Bias: NewParam(1, to, draw(to))})
		}
		var xs, seeds [][]float32
		for i := range parts {
			rows := 3 + 50*((parts-i)%3) // the second is ready before the first
			xs, seeds = append(xs, draw(rows*in)), append(seeds, draw(rows*out))
		}
		twice := layers[deep-1] // its thin parameters are read by two operators
		for first := 0; first < parts; first += together {
			turns := Turns(min(together, parts-first))
			kernels.Lanes(len(turns), threads, func(i int) {
				defer turns[i].Finish()
				if first+i == 3 {
					return
				}
				tape := NewTape()
				tape.Turn = turns[i]
				x := Const(xs[first+i], len(xs[first+i])/in, in)
				for _, l := range layers[:deep-1] {
					x = l.Apply(tape, x, nil)
					runtime.Gosched()
				}
				tape.Backward(Add(tape, twice.Apply(tape, x, nil), twice.Apply(tape, x, nil)), seeds[first+i])
			})
		}
		var all [][]float32
		for _, l := range layers {
			all = append(all, append([]float32{}, Grad(l.W.Param)...), append([]float32{}, Grad(l.Bias)...))
		}
		return all
	}
	want := grads(1, parts)
	for _, c := range []struct{ threads, together int }{{1, 3}, {2, parts}, {3, parts}, {7, parts}, {3, 2}} {
		for range 10 {
			for i, g := range grads(c.threads, c.together) {
				for j, v := range g {
					if v != want[i][j] {
						t.Fatalf("%+v: gradient %d, element %d is %v, want %v", c, i, j, v, want[i][j])
					}
				}
			}
		}
	}
}

// However slow the first tape is, no more than mostSums have sums of their own.
func TestTurnsKeepFew(t *testing.T) {
	defer kernels.SetThreads(0)
	kernels.SetThreads(2)
	const parts = mostSums + 3
	l := &Linear{W: Weight{Param: NewParam(3, 5, nil)}}
	turns := Turns(parts)
	var ran atomic.Int32
	kernels.Lanes(parts, 2, func(i int) {
		defer turns[i].Finish()
		if i == 0 {
			for ran.Load() < mostSums-1 {
				runtime.Gosched()
			}
			for range 10000 {
				runtime.Gosched()
			}
			if n := ran.Load(); n != mostSums-1 {
				t.Errorf("%d have run", n)
			}
		}
		tape := NewTape()
		tape.Turn = turns[i]
		tape.Backward(l.Apply(tape, Const([]float32{1, 2, 3, 4, 5}, 1, 5), nil), []float32{1, 0, 2})
		ran.Add(1)
	})
	if got := Grad(l.W.Param); got[0] != parts || got[4] != 5*parts || got[14] != 10*parts {
		t.Errorf("%v", got)
	}
}
