package main

import (
	"fmt"
	"math"
)

func elementwise(f *file) {
	simple(f)
	activations(f)
	adamw(f)
	formats(f)
}

func simple(f *file) {
	s := f.begin("add", "func(dst, x []float32)", "dst", "dst", "x")
	s.each(func(int) {
		d := s.at("dst")
		s.fadd(d, d, s.at("x"))
		s.put(d, "dst")
	})
	s.close()

	s = f.begin("axpy", "func(alpha float32, x, dst []float32)", "dst", "x", "dst")
	alpha := s.broadcast("alpha")
	s.each(func(int) {
		d := s.at("dst")
		s.fmla(d, alpha, s.at("x"))
		s.put(d, "dst")
	})
	s.close()

	s = f.begin("scale", "func(alpha float32, x []float32)", "x", "x")
	alpha = s.broadcast("alpha")
	s.each(func(int) {
		x := s.at("x")
		s.fmul(x, alpha, x)
		s.put(x, "x")
	})
	s.close()

	s = f.begin("softmaxBack", "func(ds, p []float32, by, scale float32)", "ds", "ds", "p")
	by, factor := s.broadcast("by"), s.broadcast("scale")
	s.each(func(int) {
		d := s.at("ds")
		s.fsub(d, d, by)
		s.fmul(d, d, s.at("p"))
		s.fmul(d, d, factor)
		s.put(d, "ds")
	})
	s.close()

	s = f.begin("mul", "func(dst, a, b []float32)", "dst", "dst", "a", "b")
	s.each(func(int) {
		a := s.at("a")
		s.fmul(a, a, s.at("b"))
		s.put(a, "dst")
	})
	s.close()

	s = f.begin("rope", "func(x1, x2, cos, sin []float32)", "cos", "x1", "x2", "cos", "sin")
	s.each(func(int) {
		a, b, c, sin := s.at("x1"), s.at("x2"), s.at("cos"), s.at("sin")
		t, u := s.temp(), s.temp()
		s.fmul(t, sin, b)
		s.fmul(u, sin, a)
		s.fneg(t, t)
		s.fmla(t, a, c) // a*cos - b*sin
		s.fmla(u, b, c) // b*cos + a*sin
		s.put(t, "x1")
		s.put(u, "x2")
	})
	s.close()
}

func activations(f *file) {
	s := f.begin("exp", "func(dst, x []float32)", "dst", "dst", "x")
	s.each(func(int) { s.put(s.exp(s.at("x")), "dst") })
	s.close()

	s = f.begin("siluMul", "func(y, gate, up []float32)", "y", "y", "gate", "up")
	s.each(func(int) {
		g, m := s.at("gate"), s.temp()
		s.fneg(m, g)
		e := s.exp(m)
		s.fadd(e, e, s.con(bitsOf(1)))
		s.fdiv(g, g, e)
		s.fmul(g, g, s.at("up"))
		s.put(g, "y")
	})
	s.close()

	s = f.begin("siluMulBack", "func(dgate, dup, dy, gate, up []float32)", "dgate", "dgate", "dup", "dy", "gate", "up")
	s.each(func(int) {
		g, dy := s.at("gate"), s.at("dy")
		l := s.logistic(g)
		du, gs, rest, slope := s.at("up"), s.temp(), s.temp(), s.copyOf(bitsOf(1))
		s.fmul(du, dy, du)
		s.fmul(gs, g, l)
		s.fmul(gs, gs, dy)
		s.fsub(rest, s.con(bitsOf(1)), l)
		s.fmla(slope, rest, g) // 1 + g*(1-s)
		s.fmul(slope, slope, l)
		s.fmul(slope, slope, du)
		s.put(gs, "dup")
		s.put(slope, "dgate")
	})
	s.close()

	s = f.begin("gelu", "func(y, x []float32)", "y", "y", "x")
	s.each(func(int) {
		x := s.at("x")
		phi, _ := s.normal(x)
		s.fmul(x, x, phi)
		s.put(x, "y")
	})
	s.close()

	s = f.begin("geluBack", "func(dx, dy, x []float32)", "dx", "dx", "dy", "x")
	s.each(func(int) {
		x := s.at("x")
		phi, e := s.normal(x)
		s.fmul(e, e, s.con(bitsOf(1/math.Sqrt(2*math.Pi))))
		s.fmla(phi, e, x)
		s.fmul(phi, phi, s.at("dy"))
		s.put(phi, "dx")
	})
	s.close()

	const c, k = 2 * 0.7978845608028654, 0.044715 // see geluC
	s = f.begin("geluTanh", "func(y, x []float32)", "y", "y", "x")
	s.each(func(int) {
		x, xx := s.at("x"), s.temp()
		s.fmul(xx, x, x)
		u := s.horner(xx, -c*k, -c) // -2u/x
		s.fmul(u, u, x)
		e := s.exp(u)
		s.fadd(e, e, s.con(bitsOf(1)))
		s.fdiv(x, x, e)
		s.put(x, "y")
	})
	s.close()

	s = f.begin("geluTanhBack", "func(dx, dy, x []float32)", "dx", "dx", "dy", "x")
	s.each(func(int) {
		x, xx := s.at("x"), s.temp()
		s.fmul(xx, x, x)
		u := s.horner(xx, c*k, c)
		s.fmul(u, u, x)
		l := s.logistic(u)
		slope := s.horner(xx, 3*c*k, c)
		s.fmul(slope, slope, x)
		rest, sum := s.temp(), s.copyOf(bitsOf(1))
		s.fsub(rest, s.con(bitsOf(1)), l)
		s.fmla(sum, rest, slope) // s + x*s*(1-s)*slope = s*(1 + x*slope*(1-s))
		s.fmul(sum, sum, l)
		s.fmul(sum, sum, s.at("dy"))
		s.put(sum, "dx")
	})
	s.close()
}

func adamw(f *file) {
	s := f.begin("adamw", "func(p, g, m, v []float32, k *[8]float32)", "p", "p", "g", "m", "v")
	k := s.param("k")
	c := func(i int) v { // in the order of adamwConst
		x := s.stay()
		fmt.Fprintf(&s.head, "\tFMOVS %d(%s), F%d\n\tVDUP %s.S[0], %s.S4\n", 4*i, k, int(x), x, x)
		return x
	}
	decay, omb1, b2, omb2, step, rc2, eps := c(0), c(2), c(3), c(4), c(5), c(6), c(7)
	s.each(func(int) {
		g, m, w, p := s.at("g"), s.at("m"), s.at("v"), s.at("p")
		d := s.temp()
		s.fsub(d, g, m)
		s.fmla(m, omb1, d)
		s.put(m, "m")
		s.fmul(w, b2, w)
		s.fmul(d, omb2, g)
		s.fmla(w, d, g)
		s.put(w, "v")
		s.fsqrt(w, w)
		s.fdiv(w, w, rc2)
		s.fadd(w, w, eps)
		s.fdiv(m, m, w)
		s.fmul(p, decay, p)
		s.fmla(p, step, m)
		s.put(p, "p")
	})
	s.close()
}

func formats(f *file) {
	g := f.open("fromBFNEON", "func(dst []float32, src []uint16)", "")
	dst, src, n := g.base("dst"), g.base("src"), g.length("dst")
	zero := v(31)
	g.eor(zero, zero, zero)
	g.label("next")
	g.load2(0, 1, src, 0)
	for i := range 2 {
		g.op("VZIP1 %s.H8, %s.H8, %s.H8", v(i), zero, v(2+2*i))
		g.op("VZIP2 %s.H8, %s.H8, %s.H8", v(i), zero, v(3+2*i))
	}
	g.store2(2, 3, dst, 0)
	g.store2(4, 5, dst, 32)
	g.op("ADD $32, %s", src)
	g.op("ADD $64, %s", dst)
	g.op("SUBS $16, %s", n)
	g.op("BNE next")
	g.close()

	// rows of 32: dst holds the pairs (row 2i, row 2i+1)
	g = f.open("interleaveNEON", "func(dst, src []uint16)", "")
	dst, src, n = g.base("dst"), g.base("src"), g.length("src")
	g.label("next")
	for j := 0; j < 4; j += 2 {
		g.load2(v(j), v(j+1), src, 16*j)
		g.load2(v(4+j), v(5+j), src, 64+16*j)
	}
	for j := range v(4) {
		g.op("VZIP1 %s.H8, %s.H8, %s.H8", 4+j, j, 8+2*j)
		g.op("VZIP2 %s.H8, %s.H8, %s.H8", 4+j, j, 9+2*j)
		g.store2(8+2*j, 9+2*j, dst, int(32*j))
	}
	g.op("ADD $128, %s", src)
	g.op("ADD $128, %s", dst)
	g.op("SUBS $64, %s", n)
	g.op("BNE next")
	g.close()

	g = f.open("toBFNEON", "func(dst []uint16, src []float32)", "")
	dst, src, n = g.base("dst"), g.base("src"), g.length("src")
	least := g.con(1<<31 - 1)
	g.label("next")
	for h := range 2 {
		var half [2]v
		for q := range half {
			x := g.loadNew(src, 32*h+16*q)
			g.fmul(x, x, g.con(bitsOf(1))) // makes a NaN quiet
			a, odd := g.temp(), g.temp()
			g.fabs(a, x)
			g.eor(x, x, a) // the sign
			g.ushr(odd, a, 16)
			g.and(odd, odd, g.con(1))
			g.add(a, a, g.con(0x7fff))
			g.add(a, a, odd)
			g.op("VUMIN %s.S4, %s.S4, %s.S4", least, a, a) // a NaN must not run over into the sign
			g.or(a, a, x)
			g.done(x, odd)
			half[q] = a
		}
		g.op("VUZP2 %s.H8, %s.H8, %s.H8", half[1], half[0], half[0])
		g.store(half[0], dst, 16*h)
		g.done(half[:]...)
	}
	g.op("ADD $64, %s", src)
	g.op("ADD $32, %s", dst)
	g.op("SUBS $16, %s", n)
	g.op("BNE next")
	g.close()
}
