//go:build arm64 && !noasm

package kernels

// The primitives are methods that branch, not functions in a table, so that small arrays passed to them stay on the
// stack. Lengths are multiples of 16.

func (im *impl) interleave(dst, src []uint16) {
	if im.vec > 0 {
		interleaveNEON(dst, src)
		return
	}
	interleaveGeneric(dst, src)
}

func (im *impl) toBF(dst []uint16, src []float32, by float32) {
	if im.vec > 0 && by == 1 {
		toBFNEON(dst, src)
		return
	}
	toBFGeneric(dst, src, by)
}

func (im *impl) toInt(dst []uint16, src []float32, by float32) { toIntGeneric(dst, src, by) }

func (im *impl) fromBF(dst []float32, src []uint16) {
	if im.vec > 0 {
		fromBFNEON(dst, src)
		return
	}
	fromBFGeneric(dst, src)
}

func (im *impl) add(dst, x []float32) {
	if im.vec > 0 {
		addNEON(dst, x)
		return
	}
	addGeneric(dst, x)
}

func (im *impl) axpy(alpha float32, x, dst []float32) {
	if im.vec > 0 {
		axpyNEON(alpha, x, dst)
		return
	}
	axpyGeneric(alpha, x, dst)
}

func (im *impl) scale(alpha float32, x []float32) {
	if im.vec > 0 {
		scaleNEON(alpha, x)
		return
	}
	scaleGeneric(alpha, x)
}

func (im *impl) softmaxBack(ds, p []float32, by, scale float32) {
	if im.vec > 0 {
		softmaxBackNEON(ds, p, by, scale)
		return
	}
	softmaxBackGeneric(ds, p, by, scale)
}

func (im *impl) fold(lanes *[16]float32) float32                       { return foldGeneric(lanes) }
func (im *impl) foldMax(lanes *[32]float32) (top float32, bits uint32) { return foldMaxGeneric(lanes) }
func (im *impl) addRows(c []float32, ldc, rows int, x []float32)       { im.addRowsEach(c, ldc, rows, x) }
func (im *impl) turnBlock(dst, src []uint16)                           { turnBlockGeneric(dst, src) }
func (im *impl) mul(dst, a, b []float32) {
	if im.vec > 0 {
		mulNEON(dst, a, b)
		return
	}
	mulGeneric(dst, a, b)
}

func (im *impl) rope(x1, x2, cos, sin []float32) {
	if im.vec > 0 {
		ropeNEON(x1, x2, cos, sin)
		return
	}
	ropeGeneric(x1, x2, cos, sin)
}

func (im *impl) exp(dst, x []float32) {
	if im.vec > 0 {
		expNEON(dst, x)
		return
	}
	expGeneric(dst, x)
}

func (im *impl) siluMul(y, gate, up []float32) {
	if im.vec > 0 {
		siluMulNEON(y, gate, up)
		return
	}
	siluMulGeneric(y, gate, up)
}

func (im *impl) siluMulBack(dgate, dup, dy, gate, up []float32) {
	if im.vec > 0 {
		siluMulBackNEON(dgate, dup, dy, gate, up)
		return
	}
	siluMulBackGeneric(dgate, dup, dy, gate, up)
}

func (im *impl) gelu(y, x []float32) {
	if im.vec > 0 {
		geluNEON(y, x)
		return
	}
	geluGeneric(y, x)
}

func (im *impl) geluBack(dx, dy, x []float32) {
	if im.vec > 0 {
		geluBackNEON(dx, dy, x)
		return
	}
	geluBackGeneric(dx, dy, x)
}

func (im *impl) geluTanh(y, x []float32) {
	if im.vec > 0 {
		geluTanhNEON(y, x)
		return
	}
	geluTanhGeneric(y, x)
}

func (im *impl) geluTanhBack(dx, dy, x []float32) {
	if im.vec > 0 {
		geluTanhBackNEON(dx, dy, x)
		return
	}
	geluTanhBackGeneric(dx, dy, x)
}

func (im *impl) adamw(p, g, m, v []float32, k *[8]float32) {
	if im.vec > 0 {
		adamwNEON(p, g, m, v, k)
		return
	}
	adamwGeneric(p, g, m, v, k)
}

func (im *impl) dot(lanes *[16]float32, a, b []float32) {
	if im.vec > 0 {
		dotNEON(lanes, a, b)
		return
	}
	dotGeneric(lanes, a, b)
}

func (im *impl) sum(lanes *[16]float32, x []float32) {
	if im.vec > 0 {
		sumNEON(lanes, x)
		return
	}
	sumGeneric(lanes, x)
}

func (im *impl) sumSquares(lanes *[16]float64, x []float32) {
	if im.vec > 0 {
		sumSquaresNEON(lanes, x)
		return
	}
	sumSquaresGeneric(lanes, x)
}

func (im *impl) sumSqDiff(lanes *[16]float32, x []float32, mean float32) {
	if im.vec > 0 {
		sumSqDiffNEON(lanes, x, mean)
		return
	}
	sumSqDiffGeneric(lanes, x, mean)
}

func (im *impl) max(lanes *[32]float32, x []float32) {
	if im.vec > 0 {
		maxNEON(lanes, x)
		return
	}
	maxGeneric(lanes, x)
}

func (im *impl) expSum(dst, x []float32, scale, shift float32, lanes *[16]float32) {
	if im.vec > 0 {
		expSumNEON(dst, x, scale, shift, lanes)
		return
	}
	expSumGeneric(dst, x, scale, shift, lanes)
}

func (im *impl) sumExp(lanes *[16]float32, x []float32, shift float32) {
	if im.vec > 0 {
		sumExpNEON(lanes, x, shift)
		return
	}
	sumExpGeneric(lanes, x, shift)
}

func (im *impl) norm(y, x, gain []float32, mean, rstd float32) {
	if im.vec > 0 {
		normNEON(y, x, gain, mean, rstd)
		return
	}
	normGeneric(y, x, gain, mean, rstd)
}

func (im *impl) normBias(y, x, gain, bias []float32, mean, rstd float32) {
	if im.vec > 0 {
		normBiasNEON(y, x, gain, bias, mean, rstd)
		return
	}
	normBiasGeneric(y, x, gain, bias, mean, rstd)
}

func (im *impl) normDots(lanes *[32]float32, dy, x, gain []float32, mean, rstd float32) {
	if im.vec > 0 {
		normDotsNEON(lanes, dy, x, gain, mean, rstd)
		return
	}
	normDotsGeneric(lanes, dy, x, gain, mean, rstd)
}

func (im *impl) normBack(dx, dy, x, gain []float32, mean, rstd, c0, c1 float32) {
	if im.vec > 0 {
		normBackNEON(dx, dy, x, gain, mean, rstd, c0, c1)
		return
	}
	normBackGeneric(dx, dy, x, gain, mean, rstd, c0, c1)
}

func (im *impl) normGain(dgain, dbias, dy, x []float32, mean, rstd float32) {
	if im.vec > 0 {
		normGainNEON(dgain, dbias, dy, x, mean, rstd)
		return
	}
	normGainGeneric(dgain, dbias, dy, x, mean, rstd)
}

func (im *impl) expandQ8(dst []float32, src []byte, blocks int) {
	_ = dst[blocks*32*32-1]
	if im.vec > 0 {
		expandQ8NEON(&dst[0], &src[0], blocks)
		return
	}
	expandQ8Generic(dst, src, blocks)
}

func (im *impl) expandQ4(dst []float32, src []byte, blocks int) {
	_ = dst[blocks*32*32-1]
	if im.vec > 0 {
		expandQ4NEON(&dst[0], &src[0], blocks)
		return
	}
	expandQ4Generic(dst, src, blocks)
}

func (im *impl) expandQ8Pairs(dst []float32, src []byte, blocks int) {
	_ = dst[blocks*32*16-1]
	if im.vec > 0 {
		expandQ8PairsNEON(&dst[0], &src[0], blocks)
		return
	}
	expandQ8PairsGeneric(dst, src, blocks)
}

func (im *impl) expandQ4Pairs(dst []float32, src []byte, blocks int) {
	_ = dst[blocks*32*16-1]
	if im.vec > 0 {
		expandQ4PairsNEON(&dst[0], &src[0], blocks)
		return
	}
	expandQ4PairsGeneric(dst, src, blocks)
}

// rmsStats4 and layerStats4 compute what a norm needs of four rows, where they can.
func (im *impl) rmsStats4(*[4]float32, []float32, int, float32) bool              { return false }
func (im *impl) layerStats4(_, _ *[4]float32, _ []float32, _ int, _ float32) bool { return false }
