//go:build arm64 && !noasm

package kernels

func peakLoops(l Level) (f32 func(n int), flops int, dot func(n int), dotFlops int) {
	if l == NEON {
		return peakNEON, 24 * 4 * 2, nil, 0
	}
	return peakScalar, peakScalarFlops, nil, 0
}

// peakIntLoop: these products are no faster than those in f32 here.
func peakIntLoop(Level) (ints func(n int), flops int) { return nil, 0 }
