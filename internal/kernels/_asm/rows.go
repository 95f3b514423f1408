package main

import (
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

// sixteen is eight for the lanes of z, a half of 8 first.
func sixteen(z reg.VecVirtual, op func(a, b, d Op)) reg.VecVirtual {
	h := YMM()
	VEXTRACTF64X4(U8(1), z, h)
	op(h, z.AsY(), h)
	return eight(h, op)
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
			m[r] = sixteen(m[r], func(a, b, d Op) { VADDPS(a, b, d) })
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
