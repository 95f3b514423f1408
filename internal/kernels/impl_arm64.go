//go:build arm64 && !noasm

package kernels

// Available lists the levels of this processor and build, ascending. Go runs on no arm64 processor without NEON.
func Available() []Level { return []Level{Generic, NEON} }

func implOf(l Level) *impl {
	if l == NEON {
		return &neonImpl
	}
	return &genericImpl
}

var neonImpl = impl{
	level: NEON, vec: 1, rows: heights{tileRowsNEON, 20 * tileRowsNEON}, ahead: 4 << 10,
	tile: tileNEON, tile16: tile16NEON, tileBF: tileBFNEON, tileInt: tileIntGeneric, ints16: heights{8, 128},
	transpose16: func(dst []uint32, ldd int, src []uint32, lds int, n int) {
		checkTranspose(dst, ldd, src, lds, n)
		transpose16NEON(&dst[0], ldd, &src[0], lds, n)
	},
}

func slowDot() bool { return false }
