//go:build (amd64 || arm64) && !noasm

package kernels

// check touches the last elements that a tile reads and writes, so that a wrong shape panics here and not in
// assembly.
func check(mr, k int, a []float32, ars, acs int, b []float32, ldb, cols int, c []float32, ldc int) {
	if mr < 1 || k < 1 {
		panic("kernels: empty tile")
	}
	_ = a[(mr-1)*ars+(k-1)*acs]
	_ = b[(k-1)*ldb+cols-1]
	_ = c[(mr-1)*ldc+cols-1]
}

func checkTranspose(dst []uint32, ldd int, src []uint32, lds int, n int) {
	if n < 1 {
		panic("kernels: empty transpose")
	}
	_, _ = dst[(16*n-1)*ldd+15], src[15*lds+16*n-1]
}
