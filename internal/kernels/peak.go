package kernels

import (
	"sync/atomic"
	"time"
)

const peakScalarFlops = 16

var peakSink atomic.Uint32

// peakScalar runs n rounds of 8 independent multiplications and additions.
func peakScalar(n int) {
	var a, b, c, d, e, f, g, h float32
	x, y := float32(n)*1e-30, float32(0.5)
	for range n {
		a += float32(x * y)
		b += float32(x * y)
		c += float32(x * y)
		d += float32(x * y)
		e += float32(x * y)
		f += float32(x * y)
		g += float32(x * y)
		h += float32(x * y)
		x += a
	}
	peakSink.Store(uint32(a + b + c + d + e + f + g + h))
}

// Peak measures what one core can do with the instructions of a level, in GFLOP/s: multiply-adds of float32 and, where the
// level has them, dot products of bfloat16 and of 16-bit integers (else 0). Nothing touches memory; the best of several short
// tries counts.
func Peak(l Level) (f32, bf16, int16 float64) {
	rates := [...]*float64{F32: &f32, BF16: &bf16, I16: &int16}
	for c, rate := range rates {
		if loop, flops := PeakLoop(l, Compute(c)); loop != nil {
			*rate = best(loop, flops)
		}
	}
	return f32, bf16, int16
}

// PeakLoop is what Peak runs of an arithmetic, and its operations a round; nil where the level has none.
func PeakLoop(l Level, c Compute) (loop func(n int), flops int) {
	switch c {
	case I16:
		return peakIntLoop(l)
	case BF16:
		_, _, loop, flops = peakLoops(l)
		return loop, flops
	}
	loop, flops, _, _ = peakLoops(l)
	return loop, flops
}

// best is the highest rate of f over ten tries of a few milliseconds, in units of 1e9 a second.
func best(f func(n int), units int) float64 {
	n := 1 << 12
	for {
		t := time.Now()
		f(n)
		if time.Since(t) > 2*time.Millisecond {
			break
		}
		n *= 2
	}
	rate := 0.0
	for range 10 {
		t := time.Now()
		f(n)
		rate = max(rate, float64(n)*float64(units)/float64(time.Since(t).Nanoseconds()))
	}
	return rate
}

// Bandwidth measures how fast all threads together read memory that no cache holds, in GB/s: the limit of decoding.
func Bandwidth() float64 {
	const size, piece = 64 << 20, 1 << 20
	x := make([]float32, size)
	for i := range x {
		x[i] = 1
	}
	im := active.Load()
	rate := 0.0
	for range 4 {
		t := time.Now()
		Parallel(size/piece, func(i int) {
			var lanes [16]float32
			im.sum(&lanes, x[i*piece:][:piece])
			peakSink.Store(uint32(lanes[0]))
		})
		rate = max(rate, 4*size/float64(time.Since(t).Nanoseconds()))
	}
	return rate
}
