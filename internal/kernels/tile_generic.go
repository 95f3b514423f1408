package kernels

// Products are written as float32(a*b) so that no compiler fuses them in one place and not in another.

func tileGeneric(mr, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, acc bool, _ int) {
	tileColumns(32, mr, k, a, ars, acs, b, ldb, c, ldc, acc)
}

func tile16Generic(mr, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, acc bool, _ int) {
	tileColumns(16, mr, k, a, ars, acs, b, ldb, c, ldc, acc)
}

func tileColumns(cols, mr, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	i := 0
	for ; i+2 <= mr; i += 2 {
		for j := 0; j < cols; j += 4 {
			c0 := c[i*ldc+j:][:4:4]
			c1 := c[(i+1)*ldc+j:][:4:4]
			var s00, s01, s02, s03, s10, s11, s12, s13 float32
			if acc {
				s00, s01, s02, s03 = c0[0], c0[1], c0[2], c0[3]
				s10, s11, s12, s13 = c1[0], c1[1], c1[2], c1[3]
			}
			p0, p1, q := i*ars, (i+1)*ars, j
			for range k {
				x0, x1 := a[p0], a[p1]
				w := b[q:][:4:4]
				s00 += float32(x0 * w[0])
				s01 += float32(x0 * w[1])
				s02 += float32(x0 * w[2])
				s03 += float32(x0 * w[3])
				s10 += float32(x1 * w[0])
				s11 += float32(x1 * w[1])
				s12 += float32(x1 * w[2])
				s13 += float32(x1 * w[3])
				p0 += acs
				p1 += acs
				q += ldb
			}
			c0[0], c0[1], c0[2], c0[3] = s00, s01, s02, s03
			c1[0], c1[1], c1[2], c1[3] = s10, s11, s12, s13
		}
	}
	if i == mr {
		return
	}
	for j := 0; j < cols; j += 4 {
		c0 := c[i*ldc+j:][:4:4]
		var s0, s1, s2, s3 float32
		if acc {
			s0, s1, s2, s3 = c0[0], c0[1], c0[2], c0[3]
		}
		p, q := i*ars, j
		for range k {
			x := a[p]
			w := b[q:][:4:4]
			s0 += float32(x * w[0])
			s1 += float32(x * w[1])
			s2 += float32(x * w[2])
			s3 += float32(x * w[3])
			p += acs
			q += ldb
		}
		c0[0], c0[1], c0[2], c0[3] = s0, s1, s2, s3
	}
}

func tileBFGeneric(mr, k int, a []float32, ars int, b []uint16, c []float32, ldc int, acc bool, _ int) {
	for i := range mr {
		x := a[i*ars:][:k]
		for j := 0; j < 32; j += 4 {
			d := c[i*ldc+j:][:4:4]
			var s0, s1, s2, s3 float32
			if acc {
				s0, s1, s2, s3 = d[0], d[1], d[2], d[3]
			}
			for l, v := range x {
				w := b[(l>>1)*64+2*j+l&1:][:7:7]
				s0 += float32(v * F32FromBF16(w[0]))
				s1 += float32(v * F32FromBF16(w[2]))
				s2 += float32(v * F32FromBF16(w[4]))
				s3 += float32(v * F32FromBF16(w[6]))
			}
			d[0], d[1], d[2], d[3] = s0, s1, s2, s3
		}
	}
}

func transpose16Generic(dst []uint32, ldd int, src []uint32, lds int, n int) {
	for i := range 16 {
		for j, v := range src[i*lds:][:16*n] {
			dst[j*ldd+i] = v
		}
	}
}

// interleaveGeneric makes of rows of 32 the pairs (row 2i, row 2i+1).
func interleaveGeneric(dst, src []uint16) {
	for i := 0; i < len(src); i += 64 {
		for j, v := range src[i : i+32] {
			dst[i+2*j], dst[i+2*j+1] = v, src[i+32+j]
		}
	}
}
