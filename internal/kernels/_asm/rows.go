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
	widths[1].softmaxHalf()
}

// softmaxHalf is SoftmaxHalf for rows one after another, row i of n + i*more numbers: exponentials in place, their rounded shares in
// dst with zeros up to room, a multiple of 32. top and sum of each row go to stats, a pair a row.
func (v vec) softmaxHalf() {
	TEXT("softmaxHalfAVX512", NOSPLIT, "func(dst *uint16, ldd int, s *float32, lds, rows, n, more, room int, scale float32, stats *float32)")
	Pragma("noescape")
	dst, row := Load(Param("dst"), GP64()), Load(Param("s"), GP64())
	n, left := Load(Param("n"), GP64()), Load(Param("rows"), GP64())
	stats := Load(Param("stats"), GP64())
	scale := v.broadcast("scale")
	by2 := v.mul(scale, f32(math.Log2E))
	i, whole, end := GP64(), GP64(), GP64()
	tail := []Op{K(), K()}
	full := []Mem{{Base: row, Index: i, Scale: 4}, {Base: row, Index: i, Scale: 4, Disp: 64}}
	// each runs body for every two vectors, of 32 numbers, up to to.
	each := func(label string, to reg.Register, body func(q int)) {
		XORQ(i, i)
		JMP(LabelRef(label + "Test"))
		Label(label)
		for q := range full {
			body(q)
		}
		ADDQ(U8(32), i)
		Label(label + "Test")
		CMPQ(i, to)
		JLT(LabelRef(label))
	}
	// fold combines the lanes of z as folds does; spread puts the first of them everywhere.
	fold := func(z reg.VecVirtual, op func(a, b, d Op)) reg.VecVirtual {
		h := YMM()
		VEXTRACTF64X4(U8(1), z, h)
		op(h, z.AsY(), h)
		return eight(h, op)
	}
	spread := func(x reg.VecVirtual) reg.VecVirtual {
		z := v.r()
		VBROADCASTSS(x, z)
		return z
	}
	low, one := v.con(bits(0xff800000)), XMM()
	VMOVSS(f32(1), one)
	Label("row")
	MOVQ(n, whole) // numbers in whole pairs of vectors, and the masks of the rest
	ANDQ(I8(-32), whole)
	MOVQ(n, reg.RCX)
	ANDQ(U8(31), reg.RCX)
	mask := GP64()
	MOVQ(U32(1), mask)
	SHLQ(reg.CL, mask)
	DECQ(mask)
	KMOVW(mask.As32(), tail[0])
	SHRQ(U8(16), mask)
	KMOVW(mask.As32(), tail[1])

	most := []reg.VecVirtual{v.r(), v.r()}
	for _, m := range most {
		VMOVAPS(low, m)
	}
	each("largest", whole, func(q int) { VMAXPS(full[q], most[q], most[q]) })
	for q, m := range most {
		VMAXPS(full[q], m, tail[q], m)
	}
	VMAXPS(most[1], most[0], most[0])
	top := fold(most[0], func(a, b, d Op) { VMAXPS(a, b, d) })
	shift := spread(top)
	VMULSS(scale.AsX(), top, top)
	VMOVSS(top, Mem{Base: stats})
	VMULPS(by2, shift, shift)

	total := []reg.VecVirtual{v.r(), v.r()}
	for _, t := range total {
		VXORPS(t, t, t)
	}
	exponential := func(x reg.VecVirtual) reg.VecVirtual {
		VFMSUB213PS(shift, by2, x) // x*by2 - shift
		return exp2Half(x)
	}
	each("exponentials", whole, func(q int) {
		e := exponential(v.load(full[q]))
		VMOVUPS(e, full[q])
		VADDPS(e, total[q], total[q])
	})
	CMPQ(i, n)
	JGE(LabelRef("summed"))
	for q, t := range total {
		x := v.r()
		VMOVUPS_Z(full[q], tail[q], x)
		e := exponential(x)
		VMOVAPS_Z(e, tail[q], e)
		VMOVUPS(e, full[q])
		VADDPS(e, t, t)
	}
	ADDQ(U8(32), whole)
	Label("summed")
	VADDPS(total[1], total[0], total[0])
	sum := fold(total[0], func(a, b, d Op) { VADDPS(a, b, d) })
	VMOVSS(sum, Mem{Base: stats, Disp: 4})
	VDIVSS(sum, one, sum)
	by := spread(sum)
	half := Mem{Base: dst, Index: i, Scale: 2}
	each("rounded", whole, func(q int) {
		VMULPS(full[q], by, two[q])
		if q == 1 {
			convertTwo()
			VMOVDQU32(both, half)
		}
	})
	zero := v.r()
	VXORPS(zero, zero, zero)
	Load(Param("room"), end)
	JMP(LabelRef("zeroTest"))
	Label("zero")
	VMOVUPS(zero, half)
	ADDQ(U8(32), i)
	Label("zeroTest")
	CMPQ(i, end)
	JLT(LabelRef("zero"))

	step := GP64()
	Load(Param("ldd"), step)
	LEAQ(Mem{Base: dst, Index: step, Scale: 2}, dst)
	Load(Param("lds"), step)
	LEAQ(Mem{Base: row, Index: step, Scale: 4}, row)
	Load(Param("more"), step)
	ADDQ(step, n)
	ADDQ(U8(8), stats)
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

// xhat is (x-mean)*rstd.
func (v vec) xhat(m Mem, mean, rstd reg.VecVirtual) reg.VecVirtual {
	x := v.load(m)
	VSUBPS(mean, x, x)
	VMULPS(rstd, x, x)
	return x
}
