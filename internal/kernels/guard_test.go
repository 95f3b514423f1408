package kernels

import (
	"math"
	"math/rand/v2"
	"testing"
)

// guards are slices with cells around them that nothing may touch.
type guards struct {
	t    *testing.T
	full [][]float32
}

const guardCells = 40

var guardBits = math.Float32frombits(0x7fa5a5a5) // a NaN: reading it shows in a result, writing shows in check

func (g *guards) make(n int) []float32 {
	x := make([]float32, n+2*guardCells)
	for i := range x {
		x[i] = guardBits
	}
	g.full = append(g.full, x)
	x = x[guardCells : guardCells+n : guardCells+n]
	clear(x)
	return x
}

func (g *guards) copy(x []float32) []float32 {
	y := g.make(len(x))
	copy(y, x)
	return y
}

func (g *guards) check(what string) {
	g.t.Helper()
	for _, x := range g.full {
		for i := range guardCells {
			for _, v := range []float32{x[i], x[len(x)-1-i]} {
				if math.Float32bits(v) != math.Float32bits(guardBits) {
					g.t.Fatalf("%s: wrote outside of its slice", what)
				}
			}
		}
	}
	g.full = g.full[:0]
}

// levels runs one test body on every level that the processor has.
func levels(t *testing.T, f func(t *testing.T)) {
	for _, l := range Available() {
		t.Run(l.String(), func(t *testing.T) {
			defer Force(l)()
			f(t)
		})
	}
}

func random(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func equalBits(a, b []float32) int {
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return i
		}
	}
	return -1
}
