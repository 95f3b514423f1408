//go:build amd64 && !noasm

package kernels

// The primitives are methods that switch, not functions in a table, so that small arrays passed to them stay on the
// stack. Lengths are multiples of 16.

func (im *impl) interleave(dst, src []uint16) {
	switch im.vec {
	case 2:
		interleaveAVX512(dst, src)
	case 1:
		interleaveAVX2(dst, src)
	default:
		interleaveGeneric(dst, src)
	}
}

func (im *impl) toBF(dst []uint16, src []float32, by float32) {
	switch im.vec {
	case 2:
		if im.converts {
			convertBFAVX512(dst, src, by)
			return
		}
		toBFAVX512(dst, src, by)
	case 1:
		toBFAVX2(dst, src, by)
	default:
		toBFGeneric(dst, src, by)
	}
}

func (im *impl) toInt(dst []uint16, src []float32, by float32) {
	switch im.vec {
	case 2:
		toIntAVX512(dst, src, by)
	case 1:
		toIntAVX2(dst, src, by)
	default:
		toIntGeneric(dst, src, by)
	}
}

func (im *impl) fromBF(dst []float32, src []uint16) {
	switch im.vec {
	case 2:
		fromBFAVX512(dst, src)
	case 1:
		fromBFAVX2(dst, src)
	default:
		fromBFGeneric(dst, src)
	}
}

func (im *impl) add(dst, x []float32) {
	switch im.vec {
	case 2:
		addAVX512(dst, x)
	case 1:
		addAVX2(dst, x)
	default:
		addGeneric(dst, x)
	}
}

func (im *impl) axpy(alpha float32, x, dst []float32) {
	switch im.vec {
	case 2:
		axpyAVX512(alpha, x, dst)
	case 1:
		axpyAVX2(alpha, x, dst)
	default:
		axpyGeneric(alpha, x, dst)
	}
}

func (im *impl) scale(alpha float32, x []float32) {
	switch im.vec {
	case 2:
		scaleAVX512(alpha, x)
	case 1:
		scaleAVX2(alpha, x)
	default:
		scaleGeneric(alpha, x)
	}
}

func (im *impl) softmaxBack(ds, p []float32, by, scale float32) {
	switch im.vec {
	case 2:
		softmaxBackAVX512(ds, p, by, scale)
	case 1:
		softmaxBackAVX2(ds, p, by, scale)
	default:
		softmaxBackGeneric(ds, p, by, scale)
	}
}

func (im *impl) fold(lanes *[16]float32) float32 {
	if im.vec > 0 {
		return foldAVX2(lanes)
	}
	return foldGeneric(lanes)
}

func (im *impl) foldMax(lanes *[32]float32) (top float32, bits uint32) {
	if im.vec > 0 {
		return foldMaxAVX2(lanes)
	}
	return foldMaxGeneric(lanes)
}

// addRows adds x, 32 numbers, to each of some rows of c.
func (im *impl) addRows(c []float32, ldc, rows int, x []float32) {
	_, _ = c[(rows-1)*ldc+31], x[31]
	switch im.vec {
	case 2:
		addRowsAVX512(&c[0], ldc, rows, &x[0])
	case 1:
		addRowsAVX2(&c[0], ldc, rows, &x[0])
	default:
		im.addRowsEach(c, ldc, rows, x)
	}
}

func (im *impl) turnBlock(dst, src []uint16) {
	_, _ = dst[1023], src[1023]
	switch im.vec {
	case 2:
		turnBlockAVX512(&dst[0], &src[0])
	case 1:
		turnBlockAVX2(&dst[0], &src[0])
	default:
		turnBlockGeneric(dst, src)
	}
}

func (im *impl) mul(dst, a, b []float32) {
	switch im.vec {
	case 2:
		mulAVX512(dst, a, b)
	case 1:
		mulAVX2(dst, a, b)
	default:
		mulGeneric(dst, a, b)
	}
}

func (im *impl) rope(x1, x2, cos, sin []float32) {
	switch im.vec {
	case 2:
		ropeAVX512(x1, x2, cos, sin)
	case 1:
		ropeAVX2(x1, x2, cos, sin)
	default:
		ropeGeneric(x1, x2, cos, sin)
	}
}

func (im *impl) exp(dst, x []float32) {
	switch im.vec {
	case 2:
		expAVX512(dst, x)
	case 1:
		expAVX2(dst, x)
	default:
		expGeneric(dst, x)
	}
}

func (im *impl) siluMul(y, gate, up []float32) {
	switch im.vec {
	case 2:
		siluMulAVX512(y, gate, up)
	case 1:
		siluMulAVX2(y, gate, up)
	default:
		siluMulGeneric(y, gate, up)
	}
}

func (im *impl) siluMulBack(dgate, dup, dy, gate, up []float32) {
	switch im.vec {
	case 2:
		siluMulBackAVX512(dgate, dup, dy, gate, up)
	case 1:
		siluMulBackAVX2(dgate, dup, dy, gate, up)
	default:
		siluMulBackGeneric(dgate, dup, dy, gate, up)
	}
}

func (im *impl) gelu(y, x []float32) {
	switch im.vec {
	case 2:
		geluAVX512(y, x)
	case 1:
		geluAVX2(y, x)
	default:
		geluGeneric(y, x)
	}
}

func (im *impl) geluBack(dx, dy, x []float32) {
	switch im.vec {
	case 2:
		geluBackAVX512(dx, dy, x)
	case 1:
		geluBackAVX2(dx, dy, x)
	default:
		geluBackGeneric(dx, dy, x)
	}
}

func (im *impl) geluTanh(y, x []float32) {
	switch im.vec {
	case 2:
		geluTanhAVX512(y, x)
	case 1:
		geluTanhAVX2(y, x)
	default:
		geluTanhGeneric(y, x)
	}
}

func (im *impl) geluTanhBack(dx, dy, x []float32) {
	switch im.vec {
	case 2:
		geluTanhBackAVX512(dx, dy, x)
	case 1:
		geluTanhBackAVX2(dx, dy, x)
	default:
		geluTanhBackGeneric(dx, dy, x)
	}
}

func (im *impl) adamw(p, g, m, v []float32, k *[8]float32) {
	switch im.vec {
	case 2:
		adamwAVX512(p, g, m, v, k)
	case 1:
		adamwAVX2(p, g, m, v, k)
	default:
		adamwGeneric(p, g, m, v, k)
	}
}

func (im *impl) dot(lanes *[16]float32, a, b []float32) {
	switch im.vec {
	case 2:
		dotAVX512(lanes, a, b)
	case 1:
		dotAVX2(lanes, a, b)
	default:
		dotGeneric(lanes, a, b)
	}
}

func (im *impl) sum(lanes *[16]float32, x []float32) {
	switch im.vec {
	case 2:
		sumAVX512(lanes, x)
	case 1:
		sumAVX2(lanes, x)
	default:
		sumGeneric(lanes, x)
	}
}

func (im *impl) sumSquares(lanes *[16]float64, x []float32) {
	switch im.vec {
	case 2:
		sumSquaresAVX512(lanes, x)
	case 1:
		sumSquaresAVX2(lanes, x)
	default:
		sumSquaresGeneric(lanes, x)
	}
}

func (im *impl) sumSqDiff(lanes *[16]float32, x []float32, mean float32) {
	switch im.vec {
	case 2:
		sumSqDiffAVX512(lanes, x, mean)
	case 1:
		sumSqDiffAVX2(lanes, x, mean)
	default:
		sumSqDiffGeneric(lanes, x, mean)
	}
}

func (im *impl) max(lanes *[32]float32, x []float32) {
	switch im.vec {
	case 2:
		maxAVX512(lanes, x)
	case 1:
		maxAVX2(lanes, x)
	default:
		maxGeneric(lanes, x)
	}
}

func (im *impl) expSum(dst, x []float32, scale, shift float32, lanes *[16]float32) {
	switch im.vec {
	case 2:
		expSumAVX512(dst, x, scale, shift, lanes)
	case 1:
		expSumAVX2(dst, x, scale, shift, lanes)
	default:
		expSumGeneric(dst, x, scale, shift, lanes)
	}
}

func (im *impl) sumExp(lanes *[16]float32, x []float32, shift float32) {
	switch im.vec {
	case 2:
		sumExpAVX512(lanes, x, shift)
	case 1:
		sumExpAVX2(lanes, x, shift)
	default:
		sumExpGeneric(lanes, x, shift)
	}
}

// rmsStats4 and layerStats4 compute what a norm needs of four rows, where they can.
func (im *impl) rmsStats4(inv *[4]float32, x []float32, cols int, eps float32) bool {
	if im.vec < 2 || cols == 0 || cols%16 != 0 {
		return false
	}
	_ = x[4*cols-1]
	rmsStats4AVX512(&inv[0], &x[0], cols, eps)
	return true
}

func (im *impl) layerStats4(mean, inv *[4]float32, x []float32, cols int, eps float32) bool {
	if im.vec < 2 || cols == 0 || cols%16 != 0 {
		return false
	}
	_ = x[4*cols-1]
	layerStats4AVX512(&mean[0], &inv[0], &x[0], cols, eps)
	return true
}

func (im *impl) norm(y, x, gain []float32, mean, rstd float32) {
	switch im.vec {
	case 2:
		normAVX512(y, x, gain, mean, rstd)
	case 1:
		normAVX2(y, x, gain, mean, rstd)
	default:
		normGeneric(y, x, gain, mean, rstd)
	}
}

func (im *impl) normBias(y, x, gain, bias []float32, mean, rstd float32) {
	switch im.vec {
	case 2:
		normBiasAVX512(y, x, gain, bias, mean, rstd)
	case 1:
		normBiasAVX2(y, x, gain, bias, mean, rstd)
	default:
		normBiasGeneric(y, x, gain, bias, mean, rstd)
	}
}

func (im *impl) normDots(lanes *[32]float32, dy, x, gain []float32, mean, rstd float32) {
	switch im.vec {
	case 2:
		normDotsAVX512(lanes, dy, x, gain, mean, rstd)
	case 1:
		normDotsAVX2(lanes, dy, x, gain, mean, rstd)
	default:
		normDotsGeneric(lanes, dy, x, gain, mean, rstd)
	}
}

func (im *impl) normBack(dx, dy, x, gain []float32, mean, rstd, c0, c1 float32) {
	switch im.vec {
	case 2:
		normBackAVX512(dx, dy, x, gain, mean, rstd, c0, c1)
	case 1:
		normBackAVX2(dx, dy, x, gain, mean, rstd, c0, c1)
	default:
		normBackGeneric(dx, dy, x, gain, mean, rstd, c0, c1)
	}
}

func (im *impl) normGain(dgain, dbias, dy, x []float32, mean, rstd float32) {
	switch im.vec {
	case 2:
		normGainAVX512(dgain, dbias, dy, x, mean, rstd)
	case 1:
		normGainAVX2(dgain, dbias, dy, x, mean, rstd)
	default:
		normGainGeneric(dgain, dbias, dy, x, mean, rstd)
	}
}

func (im *impl) expandQ8(dst []float32, src []byte, blocks int) {
	_ = dst[blocks*32*32-1]
	switch im.vec {
	case 2:
		expandQ8AVX512(&dst[0], &src[0], blocks)
	case 1:
		expandQ8AVX2(&dst[0], &src[0], blocks)
	default:
		expandQ8Generic(dst, src, blocks)
	}
}

func (im *impl) expandQ4(dst []float32, src []byte, blocks int) {
	_ = dst[blocks*32*32-1]
	switch im.vec {
	case 2:
		expandQ4AVX512(&dst[0], &src[0], blocks)
	case 1:
		expandQ4AVX2(&dst[0], &src[0], blocks)
	default:
		expandQ4Generic(dst, src, blocks)
	}
}

func (im *impl) expandQ8Pairs(dst []float32, src []byte, blocks int) {
	_ = dst[blocks*32*16-1]
	switch im.vec {
	case 2:
		expandQ8PairsAVX512(&dst[0], &src[0], blocks)
	case 1:
		expandQ8PairsAVX2(&dst[0], &src[0], blocks)
	default:
		expandQ8PairsGeneric(dst, src, blocks)
	}
}

func (im *impl) expandQ4Pairs(dst []float32, src []byte, blocks int) {
	_ = dst[blocks*32*16-1]
	switch im.vec {
	case 2:
		expandQ4PairsAVX512(&dst[0], &src[0], blocks)
	case 1:
		expandQ4PairsAVX2(&dst[0], &src[0], blocks)
	default:
		expandQ4PairsGeneric(dst, src, blocks)
	}
}
