package main

// quant writes the functions that expand blocks of 32 columns and 32 rows of quantised weights, to [32][32] float32 or, the
// numbers rounded, to pairs [16][32][2] of bf16. panels_quant.go has the layout of blocks.
func quant(f *file) {
	for _, pairs := range []bool{false, true} {
		expandQ8(f, pairs)
		expandQ4(f, pairs)
	}
}

// expansion opens a function, loops over blocks of head bytes before the numbers and over their pairs of columns, and calls body
// for each half of 16 rows to make the weights of both columns, 4 vectors each.
func expansion(f *file, name string, pairs bool, head, step int, body func(g *fn, src r, half int, held []v) (even, odd [4]v)) {
	if pairs {
		name += "Pairs"
	}
	g := f.open(name+"NEON", "func(dst *float32, src *byte, blocks int)", "")
	dst, src, n := g.param("dst"), g.param("src"), g.param("blocks")
	row := g.gp()
	var held []v // scales, offsets
	for range head / 16 {
		held = append(held, g.stay())
	}
	g.label("block")
	for i := 0; i < len(held); i += 2 {
		g.load2(held[i], held[i+1], src, 16*i)
	}
	g.op("ADD $%d, %s", head, src)
	g.op("MOVD $16, %s", row)
	g.label("row")
	g.op("PRFM 2048(%s), PLDL1KEEP", src)
	for half := range 2 {
		even, odd := body(g, src, half, held)
		if pairs {
			for j := range 4 {
				g.roundHigh(even[j])
				g.roundHigh(odd[j])
				g.sri(odd[j], even[j], 16)
			}
		} else {
			g.store2(even[0], even[1], dst, 64*half)
			g.store2(even[2], even[3], dst, 64*half+32)
		}
		at := 64 * half
		if !pairs {
			at += 128
		}
		g.store2(odd[0], odd[1], dst, at)
		g.store2(odd[2], odd[3], dst, at+32)
		g.done(even[:]...)
		g.done(odd[:]...)
	}
	g.op("ADD $%d, %s", step, src)
	if pairs {
		g.op("ADD $128, %s", dst)
	} else {
		g.op("ADD $256, %s", dst)
	}
	g.op("SUBS $1, %s", row)
	g.op("BNE row")
	g.op("SUBS $1, %s", n)
	g.op("BNE block")
	g.close()
}

// roundHigh makes the high half of x its bf16, to nearest even. A NaN must have the standard bits.
func (g *fn) roundHigh(x v) {
	odd := g.temp()
	g.ushr(odd, x, 16)
	one := g.copyOf(1)
	g.and(odd, odd, one)
	g.add(odd, odd, x)
	half := one
	g.load(half, tab, g.f.place(0x7fff))
	g.add(x, odd, half)
	g.done(odd, one)
}

// widened makes float32 of the 16 signed bytes in x.
func (g *fn) widened(x v) (w [4]v) {
	for i := range w {
		w[i] = g.temp()
	}
	g.sxtl8hi(w[2], x)
	g.sxtl8(w[0], x)
	g.sxtlHi(w[3], w[2])
	g.sxtl(w[2], w[2])
	g.sxtlHi(w[1], w[0])
	g.sxtl(w[0], w[0])
	for _, y := range w {
		g.scvtf(y, y)
	}
	return w
}

func expandQ8(f *file, pairs bool) {
	expansion(f, "expandQ8", pairs, 128, 64, func(g *fn, src r, half int, scale []v) (even, odd [4]v) {
		column := func(at int) [4]v {
			x := g.loadNew(src, at+16*half)
			w := g.widened(x)
			g.done(x)
			for j, y := range w {
				g.fmul(y, y, scale[4*half+j])
			}
			return w
		}
		return column(0), column(32)
	})
}

func expandQ4(f *file, pairs bool) {
	expansion(f, "expandQ4", pairs, 256, 32, func(g *fn, src r, half int, held []v) (even, odd [4]v) {
		x := g.loadNew(src, 16*half)
		y := g.temp()
		g.op("VUSHR $4, %s.B16, %s.B16", x, y)
		g.op("VSHL $4, %s.B16, %s.B16", x, x)
		g.op("VUSHR $4, %s.B16, %s.B16", x, x)
		column := func(x v) [4]v {
			w := g.widened(x)
			for j, q := range w {
				g.op("VORR %s.B16, %s.B16, %s.B16", held[8+4*half+j], held[8+4*half+j], x)
				g.fmla(x, q, held[4*half+j]) // q*scale + offset
				w[j], x = x, q
			}
			g.done(x)
			return w
		}
		return column(x), column(y)
	})
}
