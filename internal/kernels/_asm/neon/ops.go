package main

import "math"

// Operations on four float32 (or words), named after the instruction; dst first.

func (g *fn) load(x v, p r, disp int)  { g.op("FMOVQ %d(%s), F%d", disp, p, int(x)) }
func (g *fn) store(x v, p r, disp int) { g.op("FMOVQ F%d, %d(%s)", int(x), disp, p) }

// loadNew loads into a fresh temporary.
func (g *fn) loadNew(p r, disp int) v {
	x := g.temp()
	g.load(x, p, disp)
	return x
}

func (g *fn) load2(x, y v, p r, disp int) {
	g.op("FLDPQ %d(%s), (F%d, F%d)", disp, p, int(x), int(y))
}

func (g *fn) store2(x, y v, p r, disp int) {
	g.op("FSTPQ (F%d, F%d), %d(%s)", int(x), int(y), disp, p)
}

// con is a constant kept in a register through the function; copyOf a constant in a temporary, to be written over.
func (g *fn) con(bits uint32) v {
	x, ok := g.held[bits]
	if !ok {
		x = g.stay()
		g.held[bits] = x
	}
	return x
}

func (g *fn) copyOf(bits uint32) v { return g.loadNew(tab, g.f.place(bits)) }

func bitsOf(f float64) uint32 { return math.Float32bits(float32(f)) }

// three is an instruction of three vectors, two one of two.
func (g *fn) three(code uint32, name string, d, n, m v, shape string) {
	g.word(code|uint32(m)<<16|uint32(n)<<5|uint32(d), "%s v%d.%s, v%d.%s, v%d.%s", name, int(d), shape, int(n), shape, int(m), shape)
}

func (g *fn) two(code uint32, name string, d v, to string, n v, from string) {
	g.word(code|uint32(n)<<5|uint32(d), "%s v%d.%s, v%d.%s", name, int(d), to, int(n), from)
}

func (g *fn) fadd(d, n, m v)  { g.three(0x4e20d400, "fadd", d, n, m, "4s") }
func (g *fn) fsub(d, n, m v)  { g.three(0x4ea0d400, "fsub", d, n, m, "4s") } // n-m
func (g *fn) fmul(d, n, m v)  { g.three(0x6e20dc00, "fmul", d, n, m, "4s") }
func (g *fn) fdiv(d, n, m v)  { g.three(0x6e20fc00, "fdiv", d, n, m, "4s") }
func (g *fn) fmax(d, n, m v)  { g.three(0x4e20f400, "fmax", d, n, m, "4s") }
func (g *fn) fmin(d, n, m v)  { g.three(0x4ea0f400, "fmin", d, n, m, "4s") }
func (g *fn) fcmgt(d, n, m v) { g.three(0x6ea0e400, "fcmgt", d, n, m, "4s") }
func (g *fn) smax(d, n, m v)  { g.three(0x4ea06400, "smax", d, n, m, "4s") }

func (g *fn) fneg(d, n v)   { g.two(0x6ea0f800, "fneg", d, "4s", n, "4s") }
func (g *fn) fabs(d, n v)   { g.two(0x4ea0f800, "fabs", d, "4s", n, "4s") }
func (g *fn) fsqrt(d, n v)  { g.two(0x6ea1f800, "fsqrt", d, "4s", n, "4s") }
func (g *fn) scvtf(d, n v)  { g.two(0x4e21d800, "scvtf", d, "4s", n, "4s") }
func (g *fn) fcvtl(d, n v)  { g.two(0x0e617800, "fcvtl", d, "2d", n, "2s") }
func (g *fn) fcvtl2(d, n v) { g.two(0x4e617800, "fcvtl2", d, "2d", n, "4s") }

// Widening of signed bytes and halves.
func (g *fn) sxtl8(d, n v)   { g.two(0x0f08a400, "sxtl", d, "8h", n, "8b") }
func (g *fn) sxtl8hi(d, n v) { g.two(0x4f08a400, "sxtl2", d, "8h", n, "16b") }
func (g *fn) sxtl(d, n v)    { g.two(0x0f10a400, "sxtl", d, "4s", n, "4h") }
func (g *fn) sxtlHi(d, n v)  { g.two(0x4f10a400, "sxtl2", d, "4s", n, "8h") }

// sshr shifts words right, sign kept.
func (g *fn) sshr(d, n v, by int) {
	g.word(0x4f000400|uint32(64-by)<<16|uint32(n)<<5|uint32(d), "sshr v%d.4s, v%d.4s, #%d", int(d), int(n), by)
}

// fmlaLane is d += n*m[lane], rounded once; fmla d += n*m, fmls d -= n*m.
func (g *fn) fmlaLane(d, n, m v, lane int) {
	l := uint32(lane)
	g.word(0x4f801000|l&1<<21|uint32(m)<<16|l>>1<<11|uint32(n)<<5|uint32(d), "fmla v%d.4s, v%d.4s, v%d.s[%d]", int(d), int(n), int(m), lane)
}

func (g *fn) fmla(d, n, m v)  { g.op("VFMLA %s.S4, %s.S4, %s.S4", m, n, d) }
func (g *fn) fmls(d, n, m v)  { g.op("VFMLS %s.S4, %s.S4, %s.S4", m, n, d) }
func (g *fn) fmla2(d, n, m v) { g.op("VFMLA %s.D2, %s.D2, %s.D2", m, n, d) }

func (g *fn) add(d, n, m v) { g.op("VADD %s.S4, %s.S4, %s.S4", m, n, d) }
func (g *fn) sub(d, n, m v) { g.op("VSUB %s.S4, %s.S4, %s.S4", m, n, d) }
func (g *fn) and(d, n, m v) { g.op("VAND %s.B16, %s.B16, %s.B16", m, n, d) }
func (g *fn) or(d, n, m v)  { g.op("VORR %s.B16, %s.B16, %s.B16", m, n, d) }
func (g *fn) eor(d, n, m v) { g.op("VEOR %s.B16, %s.B16, %s.B16", m, n, d) }

// bif puts n into d where the mask is 0, bit where it is 1.
func (g *fn) bif(d, n, mask v) { g.op("VBIF %s.B16, %s.B16, %s.B16", mask, n, d) }
func (g *fn) bit(d, n, mask v) { g.op("VBIT %s.B16, %s.B16, %s.B16", mask, n, d) }

func (g *fn) shl(d, n v, by int)  { g.op("VSHL $%d, %s.S4, %s.S4", by, n, d) }
func (g *fn) ushr(d, n v, by int) { g.op("VUSHR $%d, %s.S4, %s.S4", by, n, d) }

// sri puts n, shifted right, under the upper bits of d.
func (g *fn) sri(d, n v, by int) { g.op("VSRI $%d, %s.S4, %s.S4", by, n, d) }
