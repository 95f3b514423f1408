//go:build amd64 && !noasm

package kernels

import "golang.org/x/sys/cpu"

// Available lists the levels of this processor and build, ascending.
func Available() []Level {
	levels := []Level{Generic}
	x := &cpu.X86
	if x.HasAVX2 && x.HasFMA {
		levels = append(levels, AVX2)
		if x.HasAVXVNNI {
			levels = append(levels, AVX2VNNI)
		}
		if x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL {
			levels = append(levels, AVX512)
			if x.HasAVX512BF16 {
				levels = append(levels, AVX512BF16)
				if haveAMX() {
					levels = append(levels, AMX)
				}
			}
		}
	}
	return levels
}

func implOf(l Level) *impl {
	switch l {
	case AVX2:
		return &avx2Impl
	case AVX2VNNI:
		return &avx2VNNIImpl
	case AVX512:
		return &avx512Impl
	case AVX512BF16:
		return &avx512BF16Impl
	case AMX:
		return &amxImpl
	}
	return &genericImpl
}

var avx2Impl, avx2VNNIImpl, avx512Impl, avx512BF16Impl, amxImpl = makeImpls()

func makeImpls() (two, vnni, five, bf, amx impl) {
	two = genericImpl
	two.ahead = 8 << 10
	if slowDot() { // these have few fill buffers: more requests on the way would block the loads
		two.ahead = 2 << 10
	}
	two.level, two.vec, two.rows, two.ints16, two.fastInts = AVX2, 1, heights{6, 120}, heights{6, 120}, true
	two.tile, two.tile16, two.tileBF, two.tileInt = tileAVX2, tile16AVX2, tileBF256, tileInt256
	two.tile8, two.intTail, two.intStrips = tile8AVX2, true, true
	two.strip, two.widenPairs = strip256, widening(widenPairsAVX2)
	two.fastBlocks = fewRows
	two.blocks, two.tileBlocks, two.quantRow = heights{2, 120}, blocksBy(tileQ4AVX2[:], tileQ8AVX2[:]), quantRow256

	two.transpose16 = func(dst []uint32, ldd int, src []uint32, lds int, n int) {
		checkTranspose(dst, ldd, src, lds, n)
		transpose16AVX2(&dst[0], ldd, &src[0], lds, n)
	}

	vnni = two
	vnni.level, vnni.tileInt, vnni.intStrips = AVX2VNNI, tileIntVNNI256, false
	vnni.fastBlocks, vnni.tileBlocks = always, blocksBy(tileQ4VNNI[:], tileQ8VNNI[:])

	five = genericImpl
	five.ahead = two.ahead
	five.level, five.vec, five.rows = AVX512, 2, heights{rows512, 112}
	five.tile, five.tile16, five.tileBF = tileAVX512, tile16AVX512, tileBF512
	five.wide, five.widenPairs = wide512, widening(widenPairsAVX512)
	five.transpose16 = func(dst []uint32, ldd int, src []uint32, lds int, n int) {
		checkTranspose(dst, ldd, src, lds, n)
		transpose16AVX512(&dst[0], ldd, &src[0], lds, n)
	}

	five.tileInt, five.intStrips, five.ints16 = tileInt256, true, two.ints16
	five.fastBlocks, five.blocks, five.tileBlocks, five.quantRow = fewRows, two.blocks, two.tileBlocks, two.quantRow
	if cpu.X86.HasAVX512VNNI {
		five.fastBlocks, five.blocks, five.tileBlocks = always, heights{4, 120}, blocksBy(tileQ4AVX512[:], tileQ8AVX512[:])
		five.tileInt, five.intTail, five.ints16, five.fastInts = tileInt512, true, heights{rows512, 112}, true
	}

	bf = five
	bf.level, bf.tileDot, bf.pairs, bf.converts = AVX512BF16, tileDot512, heights{rows512, 112}, true
	bf.panelsDot, bf.slimDot, bf.tailed = panelsDot512, slimDot512, tailedDot512
	bf.softmaxHalf = func(dst []uint16, ldd int, s []float32, lds, rows, n, more, room int, scale float32, stats []float32) {
		_, _, _ = dst[(rows-1)*ldd+room-1], s[(rows-1)*lds+room-1], stats[2*rows-1]
		softmaxHalfAVX512(&dst[0], ldd, &s[0], lds, rows, n, more, room, scale, &stats[0])
	}
	bf.softmaxHalfBack = func(p, ds []uint16, ldd int, s, d []float32, lds, rows, n, more, room int, scale, by float32, lse []float32) {
		_, _ = p[(rows-1)*ldd+room-1], ds[(rows-1)*ldd+room-1]
		_, _, _ = s[(rows-1)*lds+room-1], d[(rows-1)*lds+room-1], lse[rows-1]
		softmaxHalfBackAVX512(&p[0], &ds[0], ldd, &s[0], &d[0], lds, rows, n, more, room, scale, by, &lse[0])
	}
	bf.normHalf = normHalfAVX512
	bf.siluHalf, bf.siluHalfBack = siluMulHalfAVX512, siluMulHalfBackAVX512
	bf.ropeHalf = func(dst []uint16, ldd int, x, cos, sin []float32, rows, heads, dim int, zero float32) {
		_, _, _, _ = dst[(rows-1)*ldd+heads*dim-1], x[rows*heads*dim-1], cos[rows*dim/2-1], sin[rows*dim/2-1]
		ropeHalfAVX512(&dst[0], 2*ldd, &x[0], &cos[0], &sin[0], rows, heads, dim/2, zero)
	}
	bf.roundRows = func(dst []uint16, ldd, rows int, c, bias []float32) {
		_, _, _ = dst[(rows-1)*ldd+31], c[32*rows-1], bias[31]
		convertRowsAVX512(&dst[0], ldd, rows, &c[0], &bias[0])
	}
	bf.geluRows = func(dst []uint16, ldd, rows int, c, bias []float32, coef *[4]float32) {
		_, _, _ = dst[(rows-1)*ldd+31], c[32*rows-1], bias[31]
		geluRowsAVX512(&dst[0], ldd, rows, &c[0], &bias[0], coef)
	}
	bf.sumRows = func(dst []float32, ldd, rows int, c, bias, x []float32, ldx int) {
		_, _, _, _ = dst[(rows-1)*ldd+31], c[32*rows-1], bias[31], x[(rows-1)*ldx+31]
		sumRowsAVX512(&dst[0], ldd, rows, &c[0], &bias[0], &x[0], ldx)
	}
	bf.pairRows = func(dst, src []uint16, lds, pairs int) {
		_, _ = dst[64*pairs-1], src[(2*pairs-1)*lds+31]
		pairRowsAVX512(&dst[0], &src[0], lds, pairs)
	}

	amx = bf
	amx.level, amx.tileDot, amx.pairs = AMX, tileDotAMX, heights{maxTile, 4 * maxTile}
	amx.panelsDot, amx.slimDot, amx.tailed, amx.tailedFrom, amx.outer = panelsAMX, slimAMX, tailedAMX, 17, outerTiles
	return two, vnni, five, bf, amx
}

// slowDot tells Intel's server processors: their tile unit gives them away.
func slowDot() bool { return cpu.X86.HasAMXTile }

// widening is impl.widenPairs by a function in assembly.
func widening(f func(dst *float32, src *uint16, pairs int)) func(dst []float32, src []uint16, pairs int) {
	return func(dst []float32, src []uint16, pairs int) {
		_, _ = dst[64*pairs-1], src[64*pairs-1]
		f(&dst[0], &src[0], pairs)
	}
}
