//go:build (!amd64 && !arm64) || noasm

package kernels

func (im *impl) interleave(dst, src []uint16)                          { interleaveGeneric(dst, src) }
func (im *impl) toBF(dst []uint16, src []float32, by float32)          { toBFGeneric(dst, src, by) }
func (im *impl) toInt(dst []uint16, src []float32, by float32)         { toIntGeneric(dst, src, by) }
func (im *impl) fromBF(dst []float32, src []uint16)                    { fromBFGeneric(dst, src) }
func (im *impl) add(dst, x []float32)                                  { addGeneric(dst, x) }
func (im *impl) axpy(alpha float32, x, dst []float32)                  { axpyGeneric(alpha, x, dst) }
func (im *impl) scale(alpha float32, x []float32)                      { scaleGeneric(alpha, x) }
func (im *impl) softmaxBack(ds, p []float32, by, scale float32)        { softmaxBackGeneric(ds, p, by, scale) }
func (im *impl) fold(lanes *[16]float32) float32                       { return foldGeneric(lanes) }
func (im *impl) foldMax(lanes *[32]float32) (top float32, bits uint32) { return foldMaxGeneric(lanes) }
func (im *impl) addRows(c []float32, ldc, rows int, x []float32)       { im.addRowsEach(c, ldc, rows, x) }
func (im *impl) turnBlock(dst, src []uint16)                           { turnBlockGeneric(dst, src) }
func (im *impl) mul(dst, a, b []float32)                               { mulGeneric(dst, a, b) }
func (im *impl) rope(x1, x2, cos, sin []float32)                       { ropeGeneric(x1, x2, cos, sin) }
func (im *impl) exp(dst, x []float32)                                  { expGeneric(dst, x) }
func (im *impl) siluMul(y, gate, up []float32)                         { siluMulGeneric(y, gate, up) }
func (im *impl) siluMulBack(dgate, dup, dy, gate, up []float32) {
	siluMulBackGeneric(dgate, dup, dy, gate, up)
}
func (im *impl) gelu(y, x []float32)                        { geluGeneric(y, x) }
func (im *impl) geluBack(dx, dy, x []float32)               { geluBackGeneric(dx, dy, x) }
func (im *impl) geluTanh(y, x []float32)                    { geluTanhGeneric(y, x) }
func (im *impl) geluTanhBack(dx, dy, x []float32)           { geluTanhBackGeneric(dx, dy, x) }
func (im *impl) adamw(p, g, m, v []float32, k *[8]float32)  { adamwGeneric(p, g, m, v, k) }
func (im *impl) dot(lanes *[16]float32, a, b []float32)     { dotGeneric(lanes, a, b) }
func (im *impl) sum(lanes *[16]float32, x []float32)        { sumGeneric(lanes, x) }
func (im *impl) sumSquares(lanes *[16]float64, x []float32) { sumSquaresGeneric(lanes, x) }
func (im *impl) sumSqDiff(lanes *[16]float32, x []float32, mean float32) {
	sumSqDiffGeneric(lanes, x, mean)
}
func (im *impl) max(lanes *[32]float32, x []float32) { maxGeneric(lanes, x) }
func (im *impl) expSum(dst, x []float32, scale, shift float32, lanes *[16]float32) {
	expSumGeneric(dst, x, scale, shift, lanes)
}
func (im *impl) sumExp(lanes *[16]float32, x []float32, shift float32) {
	sumExpGeneric(lanes, x, shift)
}
func (im *impl) norm(y, x, gain []float32, mean, rstd float32) { normGeneric(y, x, gain, mean, rstd) }
func (im *impl) normBias(y, x, gain, bias []float32, mean, rstd float32) {
	normBiasGeneric(y, x, gain, bias, mean, rstd)
}
func (im *impl) normDots(lanes *[32]float32, dy, x, gain []float32, mean, rstd float32) {
	normDotsGeneric(lanes, dy, x, gain, mean, rstd)
}
func (im *impl) normBack(dx, dy, x, gain []float32, mean, rstd, c0, c1 float32) {
	normBackGeneric(dx, dy, x, gain, mean, rstd, c0, c1)
}
func (im *impl) normGain(dgain, dbias, dy, x []float32, mean, rstd float32) {
	normGainGeneric(dgain, dbias, dy, x, mean, rstd)
}
func (im *impl) expandQ8(dst []float32, src []byte, blocks int) { expandQ8Generic(dst, src, blocks) }
func (im *impl) expandQ4(dst []float32, src []byte, blocks int) { expandQ4Generic(dst, src, blocks) }
func (im *impl) expandQ8Pairs(dst []float32, src []byte, blocks int) {
	expandQ8PairsGeneric(dst, src, blocks)
}
func (im *impl) expandQ4Pairs(dst []float32, src []byte, blocks int) {
	expandQ4PairsGeneric(dst, src, blocks)
}

// rmsStats4 and layerStats4 compute what a norm needs of four rows, where they can.
func (im *impl) rmsStats4(*[4]float32, []float32, int, float32) bool              { return false }
func (im *impl) layerStats4(_, _ *[4]float32, _ []float32, _ int, _ float32) bool { return false }
