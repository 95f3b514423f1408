package main

func misc(f *file) {
	g := f.open("pause", "func()", "pause is a short rest in a spin loop: the pipeline empties, which YIELD does not bring about.")
	g.op("ISB $15")
	g.close()
	transpose16(f)
	peak(f)
}

// transpose16: blocks of 16x16 words, dst[j*ldd+i] = src[i*lds+j], by 16 rows and 4 columns.
func transpose16(f *file) {
	g := f.open("transpose16NEON", "func(dst *uint32, ldd int, src *uint32, lds int, n int)", "")
	dst, ldd, src, lds, n := g.param("dst"), g.param("ldd"), g.param("src"), g.param("lds"), g.param("n")
	row, out := g.gp(), g.gp()
	g.op("LSL $2, %s", ldd)
	g.op("LSL $2, %s", lds)
	g.op("LSL $2, %s", n)
	g.label("columns")
	g.op("MOVD %s, %s", src, row)
	for i := range 16 {
		g.load(v(i), row, 0)
		if i < 15 {
			g.op("ADD %s, %s", lds, row)
		}
	}
	for q := range v(4) { // 4 rows: words of two, then halves of four
		a := 4 * q
		for h := range v(2) {
			g.op("VZIP1 %s.S4, %s.S4, %s.S4", a+2*h+1, a+2*h, 16+2*h)
			g.op("VZIP2 %s.S4, %s.S4, %s.S4", a+2*h+1, a+2*h, 17+2*h)
		}
		for c := range v(2) {
			g.op("VZIP1 %s.D2, %s.D2, %s.D2", 18+c, 16+c, a+2*c)
			g.op("VZIP2 %s.D2, %s.D2, %s.D2", 18+c, 16+c, a+2*c+1)
		}
	}
	g.op("MOVD %s, %s", dst, out)
	for c := range v(4) {
		g.store2(c, 4+c, out, 0)
		g.store2(8+c, 12+c, out, 32)
		g.op("ADD %s, %s", ldd, out)
	}
	g.op("MOVD %s, %s", out, dst)
	g.op("ADD $16, %s", src)
	g.op("SUBS $1, %s", n)
	g.op("BNE columns")
	g.close()
}

func peak(f *file) {
	g := f.open("peakNEON", "func(n int)", "peakNEON runs n rounds of 24 multiply-adds of 4 float32.")
	n := g.param("n")
	for i := range v(32) {
		g.eor(i, i, i)
	}
	g.label("again")
	for i := range v(24) {
		g.fmla(i, 30, 31)
	}
	g.op("SUBS $1, %s", n)
	g.op("BNE again")
	g.close()
}
