package main

import (
	"log"
	"maps"
	"math"
	"slices"
)

// slices16 is a function over slices whose lengths are multiples of 16, like all in ../vector.go: the same operations in the same
// order as there, so that an element gets the same bits.
type slices16 struct {
	*fn
	ptr map[string]r
	n   r
	i   int // bytes from the pointers to the vector at hand
}

// begin opens such a function; length names the slice that says how many elements.
func (f *file) begin(name, sig, length string, names ...string) *slices16 {
	s := &slices16{fn: f.open(name+"NEON", sig, ""), ptr: map[string]r{}}
	for _, p := range names {
		s.ptr[p] = s.base(p)
	}
	s.n = s.length(length)
	return s
}

// each runs body for the four vectors of every 16 elements; at loads the vector of a slice, put stores one.
// Temporaries are given back after each.
func (s *slices16) each(body func(part int)) {
	s.label("next")
	for p := range 4 {
		s.i = 16 * p
		before := s.used
		body(p)
		s.used = before
	}
	for _, p := range slices.Sorted(maps.Values(s.ptr)) {
		s.op("ADD $64, %s", p)
	}
	s.op("SUBS $16, %s", s.n)
	s.op("BNE next")
}

func (s *slices16) at(slice string) v {
	p, ok := s.ptr[slice]
	if !ok {
		log.Fatalf("%s: no slice %s", s.name, slice)
	}
	return s.loadNew(p, s.i)
}

func (s *slices16) put(x v, slice string) { s.store(x, s.ptr[slice], s.i) }

// horner is the polynomial with the highest coefficient first, in x, by fused multiply-adds.
func (g *fn) horner(x v, coef ...float64) v {
	q := g.copyOf(bitsOf(coef[0]))
	for _, c := range coef[1:] {
		next := g.copyOf(bitsOf(c))
		g.fmla(next, q, x)
		g.done(q)
		q = next
	}
	return q
}

// exp is e^x, x being written over; see ../vector.go for the method.
func (g *fn) exp(x v) v { return g.expFrom(x, -104) }

// expFrom is exp with x no less than low.
func (g *fn) expFrom(x v, low float64) v {
	g.fmin(x, x, g.con(bitsOf(89)))
	g.fmax(x, x, g.con(bitsOf(low)))
	const magic = 0x1.8p23
	t := g.copyOf(bitsOf(magic))
	g.fmla(t, x, g.con(bitsOf(math.Log2E)))
	n := g.temp()
	g.fsub(n, t, g.con(bitsOf(magic)))
	g.fmls(x, n, g.con(bitsOf(0x1.62e4p-1)))
	g.fmls(x, n, g.con(bitsOf(math.Ln2-0x1.62e4p-1)))
	g.done(n)
	q := g.horner(x, 0.0013814320554956794, 0.00836885068565607, 0.041668400168418884, 0.1666651964187622, 0.4999999403953552, 1, 1)
	g.sub(t, t, g.con(bitsOf(magic)))
	h := g.temp()
	g.sshr(h, t, 1)
	g.sub(t, t, h)
	for _, e := range []v{h, t} {
		g.add(e, e, g.con(127))
		g.shl(e, e, 23)
		g.fmul(q, q, e)
	}
	g.done(t, h, x)
	return q
}

// expNormal is exp with 0 for what lies below -87; see ../vector.go.
func (g *fn) expNormal(x v) v {
	const low = -87
	below := g.temp()
	g.fcmgt(below, g.con(bitsOf(low)), x)
	e := g.expFrom(x, low)
	g.bit(e, g.con(0), below)
	g.done(below)
	return e
}

// logistic is 1/(1+e^-x); x is kept.
func (g *fn) logistic(x v) v {
	m := g.temp()
	g.fneg(m, x)
	e := g.exp(m)
	g.fadd(e, e, g.con(bitsOf(1)))
	g.fdiv(e, g.con(bitsOf(1)), e)
	return e
}

// normal is the distribution function of x and e^(-x²/2); x is kept. See ../vector.go.
func (g *fn) normal(x v) (phi, e v) {
	half := g.temp()
	g.fmul(half, x, g.con(bitsOf(-0.5)))
	g.fmul(half, half, x)
	e = g.exp(half)
	a := g.temp()
	g.fabs(a, x)
	one := g.con(bitsOf(1))
	t := g.copyOf(bitsOf(1))
	g.fmla(t, a, g.con(bitsOf(0.3)))
	g.fdiv(t, one, t)
	g.done(a)
	q := g.horner(t, 0.03754797205328941, -0.16507723927497864, 0.22008466720581055, -0.0665239468216896, 0.13549616932868958,
		0.09775613993406296, 0.121111199259758, 0.11960504204034805)
	g.fmul(q, q, t)
	g.fmul(q, q, e) // Phi(-a)
	phi = t
	g.fsub(phi, one, q)
	neg := g.temp()
	g.sshr(neg, x, 31)
	g.bit(phi, q, neg)
	g.done(q, neg)
	return phi, e
}
