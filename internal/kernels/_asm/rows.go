package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Reductions add to 16 (32) partial sums in memory, by index modulo 16.
func rows() {
	for _, v := range widths {
		v.reductions()
		v.norms()
	}
	folds()
	for _, layer := range []bool{false, true} {
		widths[1].normStats(layer)
	}
	widths[1].softmaxHalf()
	widths[1].softmaxHalfBack()
}

// halfRows are loops over rows of float32 whose results are rounded to bf16: n numbers of the row at hand, whole of them in pairs of
// vectors, the rest under two masks.
type halfRows struct {
	v           vec
	n, i, whole reg.GPVirtual
	tail        [2]Op
}

// masks sets whole and tail for n.
func (h *halfRows) masks() {
	MOVQ(h.n, h.whole)
	ANDQ(I8(-32), h.whole)
	MOVQ(h.n, reg.RCX)
	ANDQ(U8(31), reg.RCX)
	mask := GP64()
	MOVQ(U32(1), mask)
	SHLQ(reg.CL, mask)
	DECQ(mask)
	KMOVW(mask.As32(), h.tail[0])
	SHRQ(U8(16), mask)
	KMOVW(mask.As32(), h.tail[1])
}

// each runs body for both vectors of every pair up to whole.
func (h *halfRows) each(label string, body func(q int)) {
	XORQ(h.i, h.i)
	JMP(LabelRef(label + "Test"))
	Label(label)
	body(0)
	body(1)
	ADDQ(U8(32), h.i)
	Label(label + "Test")
	CMPQ(h.i, h.whole)
	JLT(LabelRef(label))
}

// rest runs body for the pair of vectors behind whole, if there is any, which then counts as whole: what body leaves there under the
// masks must be zeros.
func (h *halfRows) rest(label string, body func(q int)) {
	CMPQ(h.i, h.n)
	JGE(LabelRef(label))
	body(0)
	body(1)
	ADDQ(U8(32), h.whole)
	Label(label)
}

// at is the pair of vectors of a row of float32, half that of bf16.
func (h *halfRows) at(row reg.Register, q int) Mem {
	return Mem{Base: row, Index: h.i, Scale: 4, Disp: 64 * q}
}
func (h *halfRows) half(row reg.Register) Mem { return Mem{Base: row, Index: h.i, Scale: 2} }

// zeros fills rows of bf16 from i up to room.
func (h *halfRows) zeros(rows ...reg.Register) {
	zero, end := h.v.r(), GP64()
	VXORPS(zero, zero, zero)
	Load(Param("room"), end)
	JMP(LabelRef("zeroTest"))
	Label("zero")
	for _, r := range rows {
		VMOVUPS(zero, h.half(r))
	}
	ADDQ(U8(32), h.i)
	Label("zeroTest")
	CMPQ(h.i, end)
	JLT(LabelRef("zero"))
}

// next moves rows on by a parameter's numbers of so many bytes.
func (h *halfRows) next(param string, scale uint8, rows ...reg.Register) {
	step := GP64()
	Load(Param(param), step)
	for _, r := range rows {
		LEAQ(Mem{Base: r, Index: step, Scale: scale}, r)
	}
}

func (v vec) halfRows() *halfRows {
	return &halfRows{v: v, n: Load(Param("n"), GP64()).(reg.GPVirtual), i: GP64(), whole: GP64(), tail: [2]Op{K(), K()}}
}

// folded combines the lanes of two vectors as folds does.
func folded(z [2]reg.VecVirtual, op func(a, b, d Op)) reg.VecVirtual {
	op(z[1], z[0], z[0])
	h := YMM()
	VEXTRACTF64X4(U8(1), z[0], h)
	op(h, z[0].AsY(), h)
	return eight(h, op)
}

// spread puts the first lane of x everywhere.
func (v vec) spread(x reg.VecVirtual) reg.VecVirtual {
	z := v.r()
	VBROADCASTSS(x, z)
	return z
}

func (v vec) pair(from Op) (z [2]reg.VecVirtual) {
	for q := range z {
		z[q] = v.r()
		VMOVAPS(from, z[q])
	}
	return z
}

// softmaxHalf is SoftmaxHalf for rows one after another, row i of n + i*more numbers: exponentials in place, their rounded shares in
// dst with zeros up to room, a multiple of 32. top and sum of each row go to stats, a pair a row.
func (v vec) softmaxHalf() {
	TEXT("softmaxHalfAVX512", NOSPLIT, "func(dst *uint16, ldd int, s *float32, lds, rows, n, more, room int, scale float32, stats *float32)")
	Pragma("noescape")
	dst, row := Load(Param("dst"), GP64()), Load(Param("s"), GP64())
	left, stats := Load(Param("rows"), GP64()), Load(Param("stats"), GP64())
	h := v.halfRows()
	scale := v.broadcast("scale")
	by2 := v.mul(scale, f32(math.Log2E))
	low, one, zero := v.con(bits(0xff800000)), XMM(), v.r()
	VMOVSS(f32(1), one)
	VXORPS(zero, zero, zero)
	Label("row")
	h.masks()
	most := v.pair(low)
	h.each("largest", func(q int) { VMAXPS(h.at(row, q), most[q], most[q]) })
	for q, m := range most {
		VMAXPS(h.at(row, q), m, h.tail[q], m)
	}
	top := folded(most, func(a, b, d Op) { VMAXPS(a, b, d) })
	shift := v.spread(top)
	VMULSS(scale.AsX(), top, top)
	VMOVSS(top, Mem{Base: stats})
	VMULPS(by2, shift, shift)

	total := v.pair(zero)
	exponential := func(x reg.VecVirtual) reg.VecVirtual {
		VFMSUB213PS(shift, by2, x) // x*by2 - shift
		return exp2Half(x)
	}
	h.each("exponentials", func(q int) {
		e := exponential(v.load(h.at(row, q)))
		VMOVUPS(e, h.at(row, q))
		VADDPS(e, total[q], total[q])
	})
	h.rest("summed", func(q int) {
		x := v.r()
		VMOVUPS_Z(h.at(row, q), h.tail[q], x)
		e := exponential(x)
		VMOVAPS_Z(e, h.tail[q], e)
		VMOVUPS(e, h.at(row, q))
		VADDPS(e, total[q], total[q])
	})
	sum := folded(total, func(a, b, d Op) { VADDPS(a, b, d) })
	VMOVSS(sum, Mem{Base: stats, Disp: 4})
	VDIVSS(sum, one, sum)
	by := v.spread(sum)
	h.each("rounded", func(q int) {
		VMULPS(h.at(row, q), by, two[q])
		if q == 1 {
			convertTwo()
			VMOVDQU32(both, h.half(dst))
		}
	})
	h.zeros(dst)
	h.next("ldd", 2, dst)
	h.next("lds", 4, row)
	h.next("more", 1, h.n)
	ADDQ(U8(8), stats)
	DECQ(left)
	JNZ(LabelRef("row"))
	v.end()
}

// softmaxHalfBack is SoftmaxHalfBackward: probabilities p = e^(scale*s - lse), and (d - sum of d*p)*p*by, both rounded, with zeros up to
// room. s is written over.
func (v vec) softmaxHalfBack() {
	TEXT("softmaxHalfBackAVX512", NOSPLIT, "func(p, ds *uint16, ldd int, s, d *float32, lds, rows, n, more, room int, scale, by float32, lse *float32)")
	Pragma("noescape")
	p, ds := Load(Param("p"), GP64()), Load(Param("ds"), GP64())
	row, d := Load(Param("s"), GP64()), Load(Param("d"), GP64())
	left, lse := Load(Param("rows"), GP64()), Load(Param("lse"), GP64())
	h := v.halfRows()
	by2, by, zero := v.mul(v.broadcast("scale"), f32(math.Log2E)), v.broadcast("by"), v.r()
	VXORPS(zero, zero, zero)
	Label("row")
	h.masks()
	shift := v.r()
	VBROADCASTSS(Mem{Base: lse}, shift)
	VMULPS(f32(math.Log2E), shift, shift)
	total := v.pair(zero)
	exponential := func(x reg.VecVirtual) reg.VecVirtual {
		VFMSUB213PS(shift, by2, x) // x*by2 - shift
		return exp2Half(x)
	}
	h.each("probabilities", func(q int) {
		e := exponential(v.load(h.at(row, q)))
		VMOVUPS(e, h.at(row, q))
		VFMADD231PS(h.at(d, q), e, total[q])
	})
	h.rest("summed", func(q int) {
		x, y := v.r(), v.r()
		VMOVUPS_Z(h.at(row, q), h.tail[q], x)
		e := exponential(x)
		VMOVAPS_Z(e, h.tail[q], e)
		VMOVUPS(e, h.at(row, q))
		VMOVUPS_Z(h.at(d, q), h.tail[q], y)
		VMOVUPS(y, h.at(d, q))
		VFMADD231PS(y, e, total[q])
	})
	sum := v.spread(folded(total, func(a, b, d Op) { VADDPS(a, b, d) }))
	h.each("rounded", func(q int) {
		VMOVUPS(h.at(row, q), two[q])
		if q == 1 {
			convertTwo()
			VMOVDQU32(both, h.half(p))
		}
	})
	h.each("slopes", func(q int) {
		x := v.sub(v.load(h.at(d, q)), sum)
		VMULPS(h.at(row, q), x, x)
		VMULPS(x, by, two[q])
		if q == 1 {
			convertTwo()
			VMOVDQU32(both, h.half(ds))
		}
	})
	h.zeros(p, ds)
	h.next("ldd", 2, p, ds)
	h.next("lds", 4, row, d)
	h.next("more", 1, h.n)
	ADDQ(U8(4), lse)
	DECQ(left)
	JNZ(LabelRef("row"))
	v.end()
}

// eight combines the lanes of y, halves of 4, 2 and 1, into its first one, and returns the half of y that holds it.
func eight(y reg.VecVirtual, op func(a, b, d Op)) reg.VecVirtual {
	x, h := y.AsX(), XMM()
	VEXTRACTF128(U8(1), y, h)
	op(h, x, x)
	VPSRLDQ(U8(8), x, h)
	op(h, x, x)
	VPSRLDQ(U8(4), x, h)
	op(h, x, x)
	return x.(reg.VecVirtual)
}

// folds combine 16 partial results in the order of fold: halves of 8, 4, 2 and 1.
func folds() {
	halves := func(p reg.Register, at int, op func(a, b, d Op)) reg.VecVirtual {
		y, z := YMM(), YMM()
		VMOVUPS(Mem{Base: p, Disp: at}, y)
		VMOVUPS(Mem{Base: p, Disp: at + 32}, z)
		op(z, y, y)
		eight(y, op)
		return y
	}
	TEXT("foldAVX2", NOSPLIT, "func(lanes *[16]float32) float32")
	Pragma("noescape")
	sum := halves(Load(Param("lanes"), GP64()), 0, func(a, b, d Op) { VADDPS(a, b, d) })
	Store(sum.AsX(), ReturnIndex(0))
	VZEROUPPER()
	RET()

	TEXT("foldMaxAVX2", NOSPLIT, "func(lanes *[32]float32) (top float32, bits uint32)")
	Pragma("noescape")
	p := Load(Param("lanes"), GP64())
	top := halves(p, 0, func(a, b, d Op) { VMAXPS(a, b, d) })
	most := halves(p, 64, func(a, b, d Op) { VPMAXSD(a, b, d) })
	Store(top.AsX(), Return("top"))
	word := GP32()
	VMOVD(most.AsX(), word)
	Store(word, Return("bits"))
	VZEROUPPER()
	RET()
}

// lanes loads sums that start at element from; keep stores them.
func (v vec) lanes(from int) []reg.VecVirtual {
	p := Load(Param("lanes"), GP64())
	var l []reg.VecVirtual
	for q := range v.parts() {
		l = append(l, v.load(Mem{Base: p, Disp: 4*from + q*v.bytes}))
	}
	return l
}

func (v vec) keep(l []reg.VecVirtual, from int) {
	p := Load(Param("lanes"), GP64())
	for q, x := range l {
		VMOVUPS(x, Mem{Base: p, Disp: 4*from + q*v.bytes})
	}
}

func (v vec) reductions() {
	p, n := v.begin("dot", "func(lanes *[16]float32, a, b []float32)", "a", "a", "b")
	l := v.lanes(0)
	v.each(p, n, func(at place, q int) { VFMADD231PS(at("b"), v.load(at("a")), l[q]) })
	v.keep(l, 0)
	v.end()

	p, n = v.begin("sum", "func(lanes *[16]float32, x []float32)", "x", "x")
	l = v.lanes(0)
	v.each(p, n, func(at place, q int) { VADDPS(at("x"), l[q], l[q]) })
	v.keep(l, 0)
	v.end()

	p, n = v.begin("sumSqDiff", "func(lanes *[16]float32, x []float32, mean float32)", "x", "x")
	mean := v.broadcast("mean")
	l = v.lanes(0)
	v.each(p, n, func(at place, q int) {
		d := v.load(at("x"))
		VSUBPS(mean, d, d)
		VFMADD231PS(d, d, l[q])
	})
	v.keep(l, 0)
	v.end()

	// the maximum, and the largest bits of an absolute value, which show a NaN
	p, n = v.begin("max", "func(lanes *[32]float32, x []float32)", "x", "x")
	l = v.lanes(0)
	top := v.lanes(16)
	mask := v.con(bits(1<<31 - 1))
	v.each(p, n, func(at place, q int) {
		x := v.load(at("x"))
		VMAXPS(x, l[q], l[q])
		VANDPS(mask, x, x)
		VPMAXSD(x, top[q], top[q])
	})
	v.keep(l, 0)
	v.keep(top, 16)
	v.end()

	p, n = v.begin("expSum", "func(dst, x []float32, scale, shift float32, lanes *[16]float32)", "x", "dst", "x")
	scale, shift := v.broadcast("scale"), v.broadcast("shift")
	l = v.lanes(0)
	v.each(p, n, func(at place, q int) {
		x := v.mul(scale, at("x"))
		VSUBPS(shift, x, x)
		e := v.expNormal(x)
		VMOVUPS(e, at("dst"))
		VADDPS(e, l[q], l[q])
	})
	v.keep(l, 0)
	v.end()

	p, n = v.begin("sumExp", "func(lanes *[16]float32, x []float32, shift float32)", "x", "x")
	shift = v.broadcast("shift")
	l = v.lanes(0)
	v.each(p, n, func(at place, q int) {
		x := v.load(at("x"))
		VSUBPS(shift, x, x)
		VADDPS(v.exp(x), l[q], l[q])
	})
	v.keep(l, 0)
	v.end()

	p, n = v.begin("sumSquares", "func(lanes *[16]float64, x []float32)", "x", "x")
	lp := Load(Param("lanes"), GP64())
	l = nil
	for q := range 2 * v.parts() {
		l = append(l, v.load(Mem{Base: lp, Disp: q * v.bytes}))
	}
	i := GP64()
	XORQ(i, i)
	Label("next")
	for q := range 2 * v.parts() {
		d := v.r()
		VCVTPS2PD(Mem{Base: p["x"], Index: i, Scale: 4, Disp: q * v.bytes / 2}, d)
		VFMADD231PD(d, d, l[q])
	}
	ADDQ(U8(16), i)
	CMPQ(i, n)
	JLT(LabelRef("next"))
	for q, x := range l {
		VMOVUPS(x, Mem{Base: lp, Disp: q * v.bytes})
	}
	v.end()
}

func (v vec) norms() {
	for _, biased := range []bool{false, true} {
		name, sig, slices := "norm", "func(y, x, gain []float32, mean, rstd float32)", []string{"y", "x", "gain"}
		if biased {
			name, sig, slices = "normBias", "func(y, x, gain, bias []float32, mean, rstd float32)", append(slices, "bias")
		}
		p, n := v.begin(name, sig, "x", slices...)
		mean, rstd := v.broadcast("mean"), v.broadcast("rstd")
		v.each(p, n, func(at place, _ int) {
			x := v.xhat(at("x"), mean, rstd)
			g := v.load(at("gain"))
			if biased {
				VFMADD213PS(at("bias"), x, g)
			} else {
				VMULPS(x, g, g)
			}
			VMOVUPS(g, at("y"))
		})
		v.end()
	}

	p, n := v.begin("normDots", "func(lanes *[32]float32, dy, x, gain []float32, mean, rstd float32)", "x", "dy", "x", "gain")
	mean, rstd := v.broadcast("mean"), v.broadcast("rstd")
	l, lx := v.lanes(0), v.lanes(16)
	v.each(p, n, func(at place, q int) {
		x := v.xhat(at("x"), mean, rstd)
		g := v.mul(v.load(at("gain")), at("dy"))
		VADDPS(g, l[q], l[q])
		VFMADD231PS(x, g, lx[q])
	})
	v.keep(l, 0)
	v.keep(lx, 16)
	v.end()

	p, n = v.begin("normBack", "func(dx, dy, x, gain []float32, mean, rstd, c0, c1 float32)", "x", "dx", "dy", "x", "gain")
	mean, rstd = v.broadcast("mean"), v.broadcast("rstd")
	c0, c1 := v.broadcast("c0"), v.broadcast("c1")
	v.each(p, n, func(at place, _ int) {
		x := v.xhat(at("x"), mean, rstd)
		g := v.mul(v.load(at("gain")), at("dy"))
		VSUBPS(c0, g, g)
		VFNMADD231PS(c1, x, g)
		d := v.load(at("dx"))
		VFMADD231PS(rstd, g, d)
		VMOVUPS(d, at("dx"))
	})
	v.end()

	p, n = v.begin("normGain", "func(dgain, dbias, dy, x []float32, mean, rstd float32)", "x", "dgain", "dbias", "dy", "x")
	mean, rstd = v.broadcast("mean"), v.broadcast("rstd")
	v.each(p, n, func(at place, _ int) {
		x := v.xhat(at("x"), mean, rstd)
		dy, g := v.load(at("dy")), v.load(at("dgain"))
		VFMADD231PS(x, dy, g)
		VMOVUPS(g, at("dgain"))
		VADDPS(at("dbias"), dy, dy)
		VMOVUPS(dy, at("dbias"))
	})
	v.end()
}

// normStats writes what RMSNorm, or LayerNorm, needs of four rows one after another: their sums, each in the order of a single row, are
// made side by side, since one alone waits for every addition.
func (v vec) normStats(layer bool) {
	name, signature := "rmsStats4", "func(inv, x *float32, cols int, eps float32)"
	if layer {
		name, signature = "layerStats4", "func(mean, inv, x *float32, cols int, eps float32)"
	}
	TEXT(name+v.suffix, NOSPLIT, signature)
	Pragma("noescape")
	inv, x, n := Load(Param("inv"), GP64()), Load(Param("x"), GP64()), Load(Param("cols"), GP64())
	count, eps, one := XMM(), XMM(), XMM()
	VXORPS(count, count, count)
	VCVTSI2SSQ(n, count, count)
	p, err := Param("eps").Resolve()
	if err != nil {
		panic(err)
	}
	VMOVSS(p.Addr, eps)
	VMOVSS(f32(1), one)
	step, three, i, zero := GP64(), GP64(), GP64(), v.r()
	MOVQ(n, step)
	SHLQ(U8(2), step)
	LEAQ(Mem{Base: step, Index: step, Scale: 2}, three)
	var rows [4]reg.Register
	for r := range rows {
		rows[r] = GP64()
	}
	MOVQ(x, rows[0])
	LEAQ(Mem{Base: x, Index: step, Scale: 1}, rows[1])
	LEAQ(Mem{Base: x, Index: step, Scale: 2}, rows[2])
	LEAQ(Mem{Base: x, Index: three, Scale: 1}, rows[3])
	VXORPS(zero, zero, zero)
	// means adds up what body adds to each row's lanes and divides by their number.
	means := func(label string, body func(r int, at Mem, lanes reg.VecVirtual)) (m [4]reg.VecVirtual) {
		for r := range m {
			m[r] = v.r()
			VMOVAPS(zero, m[r])
		}
		XORQ(i, i)
		Label(label)
		for r := range m {
			body(r, Mem{Base: rows[r], Index: i, Scale: 4}, m[r])
		}
		ADDQ(U8(16), i)
		CMPQ(i, n)
		JLT(LabelRef(label))
		for r := range m {
			h := YMM()
			VEXTRACTF64X4(U8(1), m[r], h)
			VADDPS(h, m[r].AsY(), h)
			m[r] = eight(h, func(a, b, d Op) { VADDPS(a, b, d) })
			VDIVSS(count, m[r], m[r])
		}
		return m
	}
	var square [4]reg.VecVirtual
	if layer {
		to := Load(Param("mean"), GP64())
		mean := means("sum", func(_ int, at Mem, lanes reg.VecVirtual) { VADDPS(at, lanes, lanes) })
		var wide [4]reg.VecVirtual
		for r, m := range mean {
			VMOVSS(m, Mem{Base: to, Disp: 4 * r})
			wide[r] = v.spread(m)
		}
		square = means("square", func(r int, at Mem, lanes reg.VecVirtual) {
			d := v.sub(v.load(at), wide[r])
			VFMADD231PS(d, d, lanes)
		})
	} else {
		square = means("square", func(_ int, at Mem, lanes reg.VecVirtual) {
			y := v.load(at)
			VFMADD231PS(y, y, lanes)
		})
	}
	for r, s := range square {
		VADDSS(eps, s, s)
		VSQRTSS(s, s, s)
		VDIVSS(s, one, s)
		VMOVSS(s, Mem{Base: inv, Disp: 4 * r})
	}
	v.end()
}

// xhat is (x-mean)*rstd.
func (v vec) xhat(m Mem, mean, rstd reg.VecVirtual) reg.VecVirtual {
	x := v.load(m)
	VSUBPS(mean, x, x)
	VMULPS(rstd, x, x)
	return x
}
