package main

// quant writes the functions that expand blocks of 32 columns and 32 rows of quantised weights, to [32][32] float32 or, the
// numbers rounded, to pairs [16][32][2] of bf16. panels_quant.go has the layout of blocks.
func quant(f *file) {
	for _, pairs := range []bool{false, true} {
		expandQ8(f, pairs)
		expandQ4(f, pairs)
	}
}

// expansion opens a function and loops over blocks of head bytes before the numbers and over their lines, each of which holds four columns
// from each of those in first on. column makes the weights of column c of a line from its words, for vector j of rows.
func expansion(f *file, name string, pairs bool, head, lines int, first []int, column func(g *fn, words v, held []v, c, j int) v) {
	if pairs {
		name += "Pairs"
	}
	g := f.open(name+"NEON", "func(dst *float32, src *byte, blocks int)", "")
	dst, src, n := g.param("dst"), g.param("src"), g.param("blocks")
	line, size := g.gp(), 128 // bytes of a column
	if pairs {
		size = 64
	}
	var held []v // scales, offsets
	for range head / 16 {
		held = append(held, g.stay())
	}
	g.label("block")
	for i := 0; i < len(held); i += 2 {
		g.load2(held[i], held[i+1], src, 16*i)
	}
	g.op("ADD $%d, %s", head, src)
	g.op("MOVD $%d, %s", lines, line)
	g.label("line")
	g.op("PRFM 2048(%s), PLDL1KEEP", src)
	for j := range 8 {
		words := g.loadNew(src, 16*j)
		for _, from := range first {
			for c := from; c < from+4; c += 2 {
				even, odd := column(g, words, held, c, j), column(g, words, held, c+1, j)
				if pairs {
					g.roundHigh(even)
					g.roundHigh(odd)
					g.sri(odd, even, 16)
				} else {
					g.store(even, dst, c*size+16*j)
				}
				at := c * size
				if !pairs {
					at += size
				}
				g.store(odd, dst, at+16*j)
				g.done(even, odd)
			}
		}
		g.done(words)
	}
	g.op("ADD $128, %s", src)
	g.op("ADD $%d, %s", 4*size, dst)
	g.op("SUBS $1, %s", line)
	g.op("BNE line")
	if rest := 32 - 4*lines; rest > 0 {
		g.op("ADD $%d, %s", rest*size, dst)
	}
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

func expandQ8(f *file, pairs bool) {
	expansion(f, "expandQ8", pairs, 128, 8, []int{0}, func(g *fn, words v, scale []v, c, j int) v {
		x := g.temp()
		if c < 3 {
			g.shl(x, words, 24-8*c)
			g.sshr(x, x, 24)
		} else {
			g.sshr(x, words, 24)
		}
		g.scvtf(x, x)
		g.fmul(x, x, scale[j])
		return x
	})
}

func expandQ4(f *file, pairs bool) {
	expansion(f, "expandQ4", pairs, 256, 4, []int{0, 16}, func(g *fn, words v, held []v, c, j int) v {
		q, x := g.temp(), g.temp()
		if at := c%16*8 + c/16*4; at == 28 {
			g.ushr(q, words, 28)
		} else {
			g.shl(q, words, 28-at)
			g.ushr(q, q, 28)
		}
		g.scvtf(q, q)
		g.op("VORR %s.B16, %s.B16, %s.B16", held[8+j], held[8+j], x)
		g.fmla(x, q, held[j]) // q*scale + offset
		g.done(q)
		return x
	})
}
