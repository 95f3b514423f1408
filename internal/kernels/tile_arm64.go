//go:build arm64 && !noasm

package kernels

// tileRowsNEON is the height of the tallest tile.
const tileRowsNEON = len(tileN16NEON) - 1

func tileNEON(mr, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, acc bool, ahead int) {
	check(mr, k, a, ars, acs, b, ldb, 32, c, ldc)
	if acs == 1 {
		if mr < len(tileN32NEON) {
			tileN32NEON[mr](k, &a[0], ars, &b[0], ldb, &c[0], ldc, acc, ahead)
			return
		}
		tileN16NEON[mr](k, &a[0], ars, &b[0], ldb, &c[0], ldc, acc, ahead)
		tileN16NEON[mr](k, &a[0], ars, &b[16], ldb, &c[16], ldc, acc, ahead)
		return
	}
	tileT16NEON[mr](k, &a[0], acs, &b[0], ldb, &c[0], ldc, acc, ahead)
	tileT16NEON[mr](k, &a[0], acs, &b[16], ldb, &c[16], ldc, acc, ahead)
}

func tile16NEON(mr, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, acc bool, ahead int) {
	check(mr, k, a, ars, acs, b, ldb, 16, c, ldc)
	if acs == 1 {
		tileN16NEON[mr](k, &a[0], ars, &b[0], ldb, &c[0], ldc, acc, ahead)
	} else {
		tileT16NEON[mr](k, &a[0], acs, &b[0], ldb, &c[0], ldc, acc, ahead)
	}
}

func tileBFNEON(mr, k int, a []float32, ars int, b []uint16, c []float32, ldc int, acc bool, ahead int) {
	_, _, _ = a[(mr-1)*ars+k-1], b[(k+1)/2*64-1], c[(mr-1)*ldc+31]
	if mr < len(tileBF32NEON) {
		tileBF32NEON[mr](k, &a[0], ars, &b[0], &c[0], ldc, acc, ahead)
		return
	}
	tileBF16NEON[mr](k, &a[0], ars, &b[0], &c[0], ldc, acc, ahead)
	tileBF16NEON[mr](k, &a[0], ars, &b[32], &c[16], ldc, acc, ahead)
}
