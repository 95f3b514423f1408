//go:build amd64 && !noasm

package kernels

// peakIntLoop is the loop of 16-bit integers of a level and its operations a round; nil where it has none.
func peakIntLoop(l Level) (ints func(n int), flops int) {
	switch im := implOf(l); {
	case l == AVX2:
		return peakIntAVX2, 12 * 8 * 4
	case l == AVX2VNNI:
		return peakIntVNNI, 12 * 8 * 4
	case l >= AVX512 && im.fastInts:
		return peakInt512, 24 * 16 * 4
	}
	return nil, 0
}

// peakLoops are the register-only loops of a level and their operations a round; dot is nil where it has none.
func peakLoops(l Level) (f32 func(n int), flops int, dot func(n int), dotFlops int) {
	switch l {
	case AVX2, AVX2VNNI:
		return peakAVX2, 12 * 8 * 2, nil, 0
	case AVX512:
		return peakAVX512, 24 * 16 * 2, nil, 0
	case AVX512BF16:
		return peakAVX512, 24 * 16 * 2, peakDot, 24 * 32 * 2
	case AMX:
		return peakAVX512, 24 * 16 * 2, func(n int) { peakTiles(&tileConfigs[32].palette, n) }, 4 * 16 * 16 * 32 * 2
	}
	return peakScalar, peakScalarFlops, nil, 0
}
