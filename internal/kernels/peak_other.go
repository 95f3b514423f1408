//go:build (!amd64 && !arm64) || noasm

package kernels

func peakLoops(Level) (f32 func(n int), flops int, dot func(n int), dotFlops int) {
	return peakScalar, peakScalarFlops, nil, 0
}

// peakIntLoop: these products are no faster than those in f32 here.
func peakIntLoop(Level) (ints func(n int), flops int) { return nil, 0 }
