package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

type place = func(string) Mem

func elementwise() {
	for _, v := range widths {
		v.simple()
		v.activations()
		v.adamw()
		v.formats()
	}
}

func (v vec) simple() {
	p, n := v.begin("add", "func(dst, x []float32)", "dst", "dst", "x")
	v.each(p, n, func(at place, _ int) {
		d := v.load(at("dst"))
		VADDPS(at("x"), d, d)
		VMOVUPS(d, at("dst"))
	})
	v.end()

	TEXT("addRows"+v.suffix, NOSPLIT, "func(c *float32, ldc, rows int, x *float32)")
	Pragma("noescape")
	c, ld, left, from := Load(Param("c"), GP64()), Load(Param("ldc"), GP64()), Load(Param("rows"), GP64()), Load(Param("x"), GP64())
	SHLQ(U8(2), ld)
	var b []reg.VecVirtual
	for q := range 2 * v.parts() {
		b = append(b, v.load(Mem{Base: from, Disp: q * v.bytes}))
	}
	Label("next")
	for q, x := range b {
		y, at := v.r(), Mem{Base: c, Disp: q * v.bytes}
		VADDPS(at, x, y)
		VMOVUPS(y, at)
	}
	ADDQ(ld, c)
	DECQ(left)
	JNZ(LabelRef("next"))
	v.end()

	p, n = v.begin("axpy", "func(alpha float32, x, dst []float32)", "dst", "dst", "x")
	alpha := v.broadcast("alpha")
	v.each(p, n, func(at place, _ int) {
		d := v.load(at("dst"))
		VFMADD231PS(at("x"), alpha, d)
		VMOVUPS(d, at("dst"))
	})
	v.end()

	p, n = v.begin("scale", "func(alpha float32, x []float32)", "x", "x")
	alpha = v.broadcast("alpha")
	v.each(p, n, func(at place, _ int) { VMOVUPS(v.mul(alpha, at("x")), at("x")) })
	v.end()

	p, n = v.begin("softmaxBack", "func(ds, p []float32, by, scale float32)", "ds", "ds", "p")
	by, scale := v.broadcast("by"), v.broadcast("scale")
	v.each(p, n, func(at place, _ int) {
		d := v.load(at("ds"))
		VSUBPS(by, d, d)
		VMULPS(at("p"), d, d)
		VMULPS(scale, d, d)
		VMOVUPS(d, at("ds"))
	})
	v.end()

	p, n = v.begin("mul", "func(dst, a, b []float32)", "dst", "dst", "a", "b")
	v.each(p, n, func(at place, _ int) { VMOVUPS(v.mul(v.load(at("a")), at("b")), at("dst")) })
	v.end()

	p, n = v.begin("rope", "func(x1, x2, cos, sin []float32)", "cos", "x1", "x2", "cos", "sin")
	v.each(p, n, func(at place, _ int) {
		a, b, s := v.load(at("x1")), v.load(at("x2")), v.load(at("sin"))
		t, u := v.mul(s, b), v.mul(s, a)
		VFMSUB231PS(at("cos"), a, t) // a*cos - b*sin
		VFMADD231PS(at("cos"), b, u) // b*cos + a*sin
		VMOVUPS(t, at("x1"))
		VMOVUPS(u, at("x2"))
	})
	v.end()
}

func (v vec) activations() {
	p, n := v.begin("exp", "func(dst, x []float32)", "dst", "dst", "x")
	v.each(p, n, func(at place, _ int) { VMOVUPS(v.exp(v.load(at("x"))), at("dst")) })
	v.end()

	p, n = v.begin("siluMul", "func(y, gate, up []float32)", "y", "y", "gate", "up")
	v.each(p, n, func(at place, _ int) {
		g := v.load(at("gate"))
		e := v.exp(v.xor(g, bits(1<<31)))
		VADDPS(f32(1), e, e)
		VMOVUPS(v.mul(v.div(g, e), at("up")), at("y"))
	})
	v.end()

	p, n = v.begin("siluMulBack", "func(dgate, dup, dy, gate, up []float32)", "dgate", "dgate", "dup", "dy", "gate", "up")
	v.each(p, n, func(at place, _ int) {
		g, dy := v.load(at("gate")), v.load(at("dy"))
		dgate, dup := v.siluSlopes(g, v.logistic(g), at("up"), dy)
		VMOVUPS(dup, at("dup"))
		VMOVUPS(dgate, at("dgate"))
	})
	v.end()

	p, n = v.begin("gelu", "func(y, x []float32)", "y", "y", "x")
	v.each(p, n, func(at place, _ int) {
		x := v.load(at("x"))
		phi, _ := v.normal(x)
		VMOVUPS(v.mul(x, phi), at("y"))
	})
	v.end()

	p, n = v.begin("geluBack", "func(dx, dy, x []float32)", "dx", "dx", "dy", "x")
	v.each(p, n, func(at place, _ int) {
		x := v.load(at("x"))
		phi, e := v.normal(x)
		VMULPS(f32(1/math.Sqrt(2*math.Pi)), e, e)
		VFMADD231PS(x, e, phi)
		VMOVUPS(v.mul(phi, at("dy")), at("dx"))
	})
	v.end()

	const c, k = 2 * 0.7978845608028654, 0.044715 // see geluC
	p, n = v.begin("geluTanh", "func(y, x []float32)", "y", "y", "x")
	v.each(p, n, func(at place, _ int) {
		x := v.load(at("x"))
		u := v.horner(v.mul(x, x), -c*k, -c) // -2u/x
		VMULPS(x, u, u)
		e := v.exp(u)
		VADDPS(f32(1), e, e)
		VMOVUPS(v.div(x, e), at("y"))
	})
	v.end()

	p, n = v.begin("geluTanhBack", "func(dx, dy, x []float32)", "dx", "dx", "dy", "x")
	v.each(p, n, func(at place, _ int) {
		x := v.load(at("x"))
		xx := v.mul(x, x)
		u := v.horner(xx, c*k, c)
		VMULPS(x, u, u)
		s := v.logistic(u)
		slope := v.horner(xx, 3*c*k, c)
		VMULPS(x, slope, slope)
		rest := v.sub(v.con(f32(1)), s)
		VFMADD213PS(f32(1), slope, rest) // s + x*s*(1-s)*slope = s*(1 + x*slope*(1-s))
		VMULPS(s, rest, rest)
		VMOVUPS(v.mul(rest, at("dy")), at("dx"))
	})
	v.end()
}

// siluSlopes are dy*up*silu'(g) and dy*silu(g), s being the logistic function of g.
func (v vec) siluSlopes(g, s reg.VecVirtual, up Op, dy reg.VecVirtual) (dgate, dup reg.VecVirtual) {
	du := v.mul(dy, up)
	gs := v.mul(g, s)
	VMULPS(dy, gs, gs)
	rest := v.sub(v.con(f32(1)), s)
	VFMADD213PS(f32(1), g, rest) // 1 + g*(1-s)
	VMULPS(s, rest, rest)
	VMULPS(du, rest, rest)
	return rest, gs
}

func (v vec) adamw() {
	p, n := v.begin("adamw", "func(p, g, m, v []float32, k *[8]float32)", "p", "p", "g", "m", "v")
	kp := Load(Param("k"), GP64())
	c := func(i int) reg.VecVirtual { // in the order of adamwConst
		x := v.r()
		VBROADCASTSS(Mem{Base: kp, Disp: 4 * i}, x)
		return x
	}
	decay, omb1, b2, omb2, step, rc2, eps := c(0), c(2), c(3), c(4), c(5), c(6), c(7)
	v.each(p, n, func(at place, _ int) {
		g, m := v.load(at("g")), v.load(at("m"))
		d := v.sub(g, m)
		VFMADD231PS(d, omb1, m)
		VMOVUPS(m, at("m"))
		w := v.mul(b2, at("v"))
		d = v.mul(omb2, g)
		VFMADD231PS(g, d, w)
		VMOVUPS(w, at("v"))
		VSQRTPS(w, w)
		VDIVPS(rc2, w, w)
		VADDPS(eps, w, w)
		VDIVPS(w, m, m)
		x := v.mul(decay, at("p"))
		VFMADD231PS(m, step, x)
		VMOVUPS(x, at("p"))
	})
	v.end()
}

func (v vec) formats() {
	p, n := v.begin("fromBF", "func(dst []float32, src []uint16)", "dst", "dst", "src")
	i := GP64()
	XORQ(i, i)
	Label("next")
	for q := range v.parts() {
		x := v.r()
		VPMOVZXWD(Mem{Base: p["src"], Index: i, Scale: 2, Disp: q * v.bytes / 2}, x)
		VPSLLD(U8(16), x, x)
		VMOVUPS(x, Mem{Base: p["dst"], Index: i, Scale: 4, Disp: q * v.bytes})
	}
	ADDQ(U8(16), i)
	CMPQ(i, n)
	JLT(LabelRef("next"))
	v.end()

	// rows of 32: dst holds the pairs (row 2i, row 2i+1)
	p, n = v.begin("interleave", "func(dst, src []uint16)", "src", "dst", "src")
	SHRQ(U8(6), n)
	Label("next")
	for q := range 2 * v.parts() {
		a, b := v.r(), v.r()
		VPMOVZXWD(Mem{Base: p["src"], Disp: q * v.bytes / 2}, a)
		VPMOVZXWD(Mem{Base: p["src"], Disp: q*v.bytes/2 + 64}, b)
		VPSLLD(U8(16), b, b)
		VORPS(a, b, b)
		VMOVUPS(b, Mem{Base: p["dst"], Disp: q * v.bytes})
	}
	ADDQ(U32(128), p["src"])
	ADDQ(U32(128), p["dst"])
	DECQ(n)
	JNZ(LabelRef("next"))
	v.end()

	v.toInt()
	if v.bytes == 64 {
		convertBF()
		convertRows()
		geluRows()
		sumRows()
		pairRows()
		spreadHalves()
		v.siluHalf()
		v.ropeHalf()
		v.normHalf()
		v.toBF512()
		return
	}
	p, n = v.begin("toBF", "func(dst []uint16, src []float32, by float32)", "src", "dst", "src")
	by := v.broadcast("by")
	i = GP64()
	XORQ(i, i)
	Label("next")
	var half [2]reg.VecVirtual
	for q := range 2 {
		x := v.mul(by, Mem{Base: p["src"], Index: i, Scale: 4, Disp: q * v.bytes}) // makes a NaN quiet
		a := v.and(x, bits(1<<31-1))
		sign := v.xor(x, a)
		odd := v.r()
		VPSRLD(U8(16), a, odd)
		VPAND(bits(1), odd, odd)
		VPADDD(bits(0x7fff), a, a)
		VPADDD(odd, a, a)
		VPMINUD(bits(1<<31-1), a, a) // a NaN must not run over into the sign
		VPOR(sign, a, a)
		VPSRLD(U8(16), a, a)
		half[q] = a
	}
	VPACKUSDW(half[1], half[0], half[0])
	VPERMQ(U8(0xd8), half[0], half[0])
	VMOVDQU(half[0], Mem{Base: p["dst"], Index: i, Scale: 2})
	ADDQ(U8(16), i)
	CMPQ(i, n)
	JLT(LabelRef("next"))
	v.end()
}

// toInt writes x*by as integers of 16 bits.
func (v vec) toInt() {
	p, n := v.begin("toInt", "func(dst []uint16, src []float32, by float32)", "src", "dst", "src")
	by := v.broadcast("by")
	i := GP64()
	XORQ(i, i)
	Label("next")
	var q []reg.VecVirtual
	for j := range v.parts() {
		x := v.mul(by, Mem{Base: p["src"], Index: i, Scale: 4, Disp: j * v.bytes})
		VCVTPS2DQ(x, x)
		q = append(q, x)
	}
	if v.bytes == 64 {
		VPMOVSDW(q[0], Mem{Base: p["dst"], Index: i, Scale: 2})
	} else {
		VPACKSSDW(q[1], q[0], q[0])
		VPERMQ(U8(0xd8), q[0], q[0])
		VMOVDQU(q[0], Mem{Base: p["dst"], Index: i, Scale: 2})
	}
	ADDQ(U8(16), i)
	CMPQ(i, n)
	JLT(LabelRef("next"))
	v.end()
}

// toBF512 is toBF with what it needs of constants in registers.
func (v vec) toBF512() {
	p, n := v.begin("toBF", "func(dst []uint16, src []float32, by float32)", "src", "dst", "src")
	by := v.broadcast("by")
	word := func(x uint32) reg.VecVirtual {
		r, z := GP32(), ZMM()
		MOVL(U32(x), r)
		VPBROADCASTD(r, z)
		return z
	}
	low, half, unit := word(1<<31-1), word(0x7fff), word(1)
	i := GP64()
	XORQ(i, i)
	Label("next")
	x, a, odd := ZMM(), ZMM(), ZMM()
	VMULPS(Mem{Base: p["src"], Index: i, Scale: 4}, by, x) // makes a NaN quiet
	VPANDD(low, x, a)
	VPSRLD(U8(16), a, odd)
	VPANDD(unit, odd, odd)
	VPADDD(half, a, a)
	VPADDD(odd, a, a)
	VPMINUD(low, a, a) // a NaN must not run over into the sign
	VPANDND(x, low, x) // the sign
	VPORD(x, a, a)
	VPSRLD(U8(16), a, a)
	VPMOVDW(a, Mem{Base: p["dst"], Index: i, Scale: 2})
	ADDQ(U8(16), i)
	CMPQ(i, n)
	JLT(LabelRef("next"))
	v.end()
}
