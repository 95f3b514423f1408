//go:build amd64 && !noasm

package kernels

func tileAVX512(mr, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, acc bool, ahead int) {
	check(mr, k, a, ars, acs, b, ldb, 32, c, ldc)
	if acs == 1 {
		tileN32AVX512[mr](k, &a[0], ars, &b[0], ldb, &c[0], ldc, acc, ahead)
	} else {
		tileT32AVX512[mr](k, &a[0], acs, &b[0], ldb, &c[0], ldc, acc, ahead)
	}
}

func tile16AVX512(mr, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, acc bool, ahead int) {
	check(mr, k, a, ars, acs, b, ldb, 16, c, ldc)
	if acs == 1 {
		tileN16AVX512[mr](k, &a[0], ars, &b[0], ldb, &c[0], ldc, acc, ahead)
	} else {
		tileT16AVX512[mr](k, &a[0], acs, &b[0], ldb, &c[0], ldc, acc, ahead)
	}
}

func tileBF512(mr, k int, a []float32, ars int, b []uint16, c []float32, ldc int, acc bool, ahead int) {
	_, _, _ = a[(mr-1)*ars+k-1], b[(k+1)/2*64-1], c[(mr-1)*ldc+31]
	tileBFAVX512[mr](k, &a[0], ars, &b[0], &c[0], ldc, acc, ahead)
}

func tileAVX2(mr, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, acc bool, ahead int) {
	check(mr, k, a, ars, acs, b, ldb, 32, c, ldc)
	if acs == 1 {
		if mr < len(tileN32AVX2) {
			tileN32AVX2[mr](k, &a[0], ars, &b[0], ldb, &c[0], ldc, acc, ahead)
			return
		}
		tileN16AVX2[mr](k, &a[0], ars, &b[0], ldb, &c[0], ldc, acc, ahead)
		tileN16AVX2[mr](k, &a[0], ars, &b[16], ldb, &c[16], ldc, acc, ahead)
		return
	}
	tileT16AVX2[mr](k, &a[0], acs, &b[0], ldb, &c[0], ldc, acc, ahead)
	tileT16AVX2[mr](k, &a[0], acs, &b[16], ldb, &c[16], ldc, acc, ahead)
}

func tile16AVX2(mr, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, acc bool, ahead int) {
	check(mr, k, a, ars, acs, b, ldb, 16, c, ldc)
	if acs == 1 {
		tileN16AVX2[mr](k, &a[0], ars, &b[0], ldb, &c[0], ldc, acc, ahead)
	} else {
		tileT16AVX2[mr](k, &a[0], acs, &b[0], ldb, &c[0], ldc, acc, ahead)
	}
}

func tile8AVX2(mr, k int, a []float32, ars int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	check(mr, k, a, ars, 1, b, ldb, 8, c, ldc)
	tileN8AVX2[mr](k, &a[0], ars, &b[0], ldb, &c[0], ldc, acc, 0)
}

func tileBF256(mr, k int, a []float32, ars int, b []uint16, c []float32, ldc int, acc bool, ahead int) {
	_, _, _ = a[(mr-1)*ars+k-1], b[(k+1)/2*64-1], c[(mr-1)*ldc+31]
	if mr < len(tileBF32AVX2) {
		tileBF32AVX2[mr](k, &a[0], ars, &b[0], &c[0], ldc, acc, ahead)
		return
	}
	tileBF16AVX2[mr](k, &a[0], ars, &b[0], &c[0], ldc, acc, ahead)
	tileBF16AVX2[mr](k, &a[0], ars, &b[32], &c[16], ldc, acc, ahead)
}

func tileInt256(mr, kp int, a []uint16, lda int, b []uint16, c []float32, ldc int, acc bool, xs, ws []float32, to fetching, low lowTile) {
	if mr >= len(tileInt16AVX2) {
		stripInt256(mr, kp, a, lda, b, c, ldc, acc, xs, ws, to, low)
		return
	}
	tileIntHalves(tileInt32AVX2[:], tileInt16AVX2[:], mr, kp, a, lda, b, c, ldc, acc, xs, ws, to, low)
}

func tileIntVNNI256(mr, kp int, a []uint16, lda int, b []uint16, c []float32, ldc int, acc bool, xs, ws []float32, to fetching, low lowTile) {
	tileIntHalves(tileInt32VNNI[:], tileInt16VNNI[:], mr, kp, a, lda, b, c, ldc, acc, xs, ws, to, low)
}

type intTiles = []func(kp int, a *uint16, as int, b *uint16, c *float32, cs int, acc bool, xs *float32, ws *float32, ahead int, slow int, r int, u *float32, v *float32, vs int)

// tileIntHalves takes few rows at one go with the whole tiles, others with those of half the columns.
func tileIntHalves(whole, half intTiles, mr, kp int, a []uint16, lda int, b []uint16, c []float32, ldc int, acc bool, xs, ws []float32, to fetching, low lowTile) {
	checkInt(mr, kp, a, lda, b, c, ldc, xs, ws)
	var u, v, right *float32
	if low.r > 0 {
		_, _ = low.u[mr*low.r-1], low.v[(low.r-1)*low.ldv+31]
		u, v, right = &low.u[0], &low.v[0], &low.v[16]
	}
	if mr < len(whole) {
		whole[mr](kp, &a[0], lda, &b[0], &c[0], ldc, acc, &xs[0], &ws[0], to.ahead, to.slow, low.r, u, v, low.ldv)
		return
	}
	half[mr](kp, &a[0], lda, &b[0], &c[0], ldc, acc, &xs[0], &ws[0], to.ahead, to.slow, low.r, u, v, low.ldv)
	half[mr](kp, &a[0], lda, &b[32], &c[16], ldc, acc, &xs[0], &ws[16], to.ahead, to.slow, low.r, u, right, low.ldv)
}

// stripInt256 is tileInt256 for more rows than a tile has.
func stripInt256(m, kp int, a []uint16, lda int, b []uint16, c []float32, ldc int, acc bool, xs, ws []float32, to fetching, low lowTile) {
	checkInt(m, kp, a, lda, b, c, ldc, xs, ws)
	tiles := m / stripRows
	done := tiles * stripRows
	next, lines := linesFor(to.next, tiles)
	var u, v *float32
	if low.r > 0 {
		_, _ = low.u[m*low.r-1], low.v[(low.r-1)*low.ldv+31]
		u, v = &low.u[0], &low.v[0]
	}
	stripIntAVX2(tiles, kp, &a[0], lda, &b[0], &c[0], ldc, acc, &xs[0], &ws[0], next, lines, low.r, u, v, low.ldv)
	if done == m {
		return
	}
	if low.r > 0 {
		low.u = low.u[done*low.r:]
	}
	tileInt256(m-done, kp, a[done*lda:], lda, b, c[done*ldc:], ldc, acc, xs[done:], ws, fetching{}, low)
}

func strip256(tiles, k int, a []float32, lda int, b []float32, c []float32, ldc int, acc bool, next []float32) {
	check(tiles*stripRows, k, a, lda, 1, b, 32, 32, c, ldc)
	from, lines := linesFor(next, tiles)
	stripAVX2(tiles, k, &a[0], lda, &b[0], &c[0], ldc, acc, from, lines)
}

// wide512 goes on by four lines of next at most: that is what it fetches at a time.
func wide512(m, k int, a []float32, lda int, b []float32, apart int, c []float32, ldc int, acc bool, next []float32) {
	check(m, k, a, lda, 1, b, 32, 32, c, ldc)
	_, _ = b[apart+32*k-1], c[(m-1)*ldc+63]
	tiles, at, step := m/wideRows, &b[0], 0
	if times := tiles * (k / wideUnroll); len(next) > 0 && times > 0 {
		at, step = &next[0], min(4*len(next)/times+1, 256)
	}
	if tiles > 0 {
		wideAVX512[wideRows](tiles, k, &a[0], lda, &b[0], apart, &c[0], ldc, acc, at, step)
	}
	if done := tiles * wideRows; done < m {
		wideAVX512[m-done](1, k, &a[done*lda], lda, &b[0], apart, &c[done*ldc], ldc, acc, &b[0], 0)
	}
}

// linesFor is how many cache lines each of so many tiles fetches, from the first of x on: all of x, and perhaps a few behind it.
func linesFor(x []float32, tiles int) (first *float32, lines int) {
	if len(x) == 0 {
		return nil, 0
	}
	return &x[0], (len(x) + 16*tiles - 1) / (16 * tiles)
}

func checkInt(mr, kp int, a []uint16, lda int, b []uint16, c []float32, ldc int, xs, ws []float32) {
	_, _, _, _, _ = a[(mr-1)*lda+2*kp-1], b[kp*64-1], c[(mr-1)*ldc+31], xs[mr-1], ws[31]
}

type blockTable = []func(blocks int, a *byte, as int, b *byte, c *float32, cs int, acc bool)

// blocksBy is tileBlocks by functions for four and for eight bits.
func blocksBy(q4, q8 blockTable) func(four bool, mr, blocks int, a []byte, lda int, b []float32, c []float32, ldc int, acc bool) {
	return func(four bool, mr, blocks int, a []byte, lda int, b []float32, c []float32, ldc int, acc bool) {
		table, size := q8, q8Size
		if four {
			table, size = q4, q4Size
		}
		_, _, _ = a[(mr-1)*lda+blocks*rowBlock-1], b[blocks*size-1], c[(mr-1)*ldc+31]
		table[mr](blocks, &a[0], lda, &asBytes(b)[0], &c[0], ldc, acc)
	}
}

func quantRow256(dst []byte, x []float32) {
	blocks := len(x) / QuantBlock
	_ = dst[blocks*rowBlock-1]
	quantRowAVX2(&dst[0], &x[0], blocks)
}
