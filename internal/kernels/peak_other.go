//go:build (!amd64 && !arm64) || noasm

package kernels

func peakLoops(Level) (f32 func(n int), flops int, dot func(n int), dotFlops int) {
	return peakScalar, peakScalarFlops, nil, 0
}
