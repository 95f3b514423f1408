package main

// Reductions add to 16 (32) partial sums in memory, by index modulo 16.
func rows(f *file) {
	reductions(f)
	norms(f)
}

// lanes loads sums that start at element from, to stay through the loop; stored puts them back.
func (s *slices16) lanes(p r, from int) (l [4]v) {
	for q := range l {
		l[q] = s.stay()
		s.load(l[q], p, 4*from+16*q)
	}
	return l
}

func (s *slices16) stored(l [4]v, p r, from int) {
	for q, x := range l {
		s.store(x, p, 4*from+16*q)
	}
}

func reductions(f *file) {
	s := f.begin("dot", "func(lanes *[16]float32, a, b []float32)", "a", "a", "b")
	p := s.param("lanes")
	l := s.lanes(p, 0)
	s.each(func(q int) { s.fmla(l[q], s.at("a"), s.at("b")) })
	s.stored(l, p, 0)
	s.close()

	s = f.begin("sum", "func(lanes *[16]float32, x []float32)", "x", "x")
	p = s.param("lanes")
	l = s.lanes(p, 0)
	s.each(func(q int) { s.fadd(l[q], l[q], s.at("x")) })
	s.stored(l, p, 0)
	s.close()

	s = f.begin("sumSqDiff", "func(lanes *[16]float32, x []float32, mean float32)", "x", "x")
	p = s.param("lanes")
	mean := s.broadcast("mean")
	l = s.lanes(p, 0)
	s.each(func(q int) {
		d := s.at("x")
		s.fsub(d, d, mean)
		s.fmla(l[q], d, d)
	})
	s.stored(l, p, 0)
	s.close()

	// the maximum, of equal ones or a NaN the later as on amd64, and the largest bits of an absolute value, which show a NaN
	s = f.begin("max", "func(lanes *[32]float32, x []float32)", "x", "x")
	p = s.param("lanes")
	l = s.lanes(p, 0)
	top := s.lanes(p, 16)
	s.each(func(q int) {
		x, m := s.at("x"), s.temp()
		s.fcmgt(m, l[q], x)
		s.bif(l[q], x, m)
		s.fabs(x, x)
		s.smax(top[q], top[q], x)
	})
	s.stored(l, p, 0)
	s.stored(top, p, 16)
	s.close()

	s = f.begin("expSum", "func(dst, x []float32, scale, shift float32, lanes *[16]float32)", "x", "dst", "x")
	p = s.param("lanes")
	scale, shift := s.broadcast("scale"), s.broadcast("shift")
	l = s.lanes(p, 0)
	s.each(func(q int) {
		x := s.at("x")
		s.fmul(x, scale, x)
		s.fsub(x, x, shift)
		e := s.expNormal(x)
		s.put(e, "dst")
		s.fadd(l[q], l[q], e)
	})
	s.stored(l, p, 0)
	s.close()

	s = f.begin("sumExp", "func(lanes *[16]float32, x []float32, shift float32)", "x", "x")
	p = s.param("lanes")
	shift = s.broadcast("shift")
	l = s.lanes(p, 0)
	s.each(func(q int) {
		x := s.at("x")
		s.fsub(x, x, shift)
		s.fadd(l[q], l[q], s.exp(x))
	})
	s.stored(l, p, 0)
	s.close()

	s = f.begin("sumSquares", "func(lanes *[16]float64, x []float32)", "x", "x")
	p = s.param("lanes")
	lo, hi := s.lanes(p, 0), s.lanes(p, 16) // of two float64 each
	wide := append(lo[:], hi[:]...)
	s.each(func(q int) {
		x, d := s.at("x"), s.temp()
		s.fcvtl(d, x)
		s.fmla2(wide[2*q], d, d)
		s.fcvtl2(x, x)
		s.fmla2(wide[2*q+1], x, x)
	})
	s.stored(lo, p, 0)
	s.stored(hi, p, 16)
	s.close()
}

func norms(f *file) {
	for _, biased := range []bool{false, true} {
		name, sig, slices := "norm", "func(y, x, gain []float32, mean, rstd float32)", []string{"y", "x", "gain"}
		if biased {
			name, sig, slices = "normBias", "func(y, x, gain, bias []float32, mean, rstd float32)", append(slices, "bias")
		}
		s := f.begin(name, sig, "x", slices...)
		mean, rstd := s.broadcast("mean"), s.broadcast("rstd")
		s.each(func(int) {
			x, g := s.xhat(mean, rstd), s.at("gain")
			if biased {
				b := s.at("bias")
				s.fmla(b, g, x)
				g = b
			} else {
				s.fmul(g, g, x)
			}
			s.put(g, "y")
		})
		s.close()
	}

	s := f.begin("normDots", "func(lanes *[32]float32, dy, x, gain []float32, mean, rstd float32)", "x", "dy", "x", "gain")
	p := s.param("lanes")
	mean, rstd := s.broadcast("mean"), s.broadcast("rstd")
	l, lx := s.lanes(p, 0), s.lanes(p, 16)
	s.each(func(q int) {
		x, g := s.xhat(mean, rstd), s.at("gain")
		s.fmul(g, g, s.at("dy"))
		s.fadd(l[q], l[q], g)
		s.fmla(lx[q], g, x)
	})
	s.stored(l, p, 0)
	s.stored(lx, p, 16)
	s.close()

	s = f.begin("normBack", "func(dx, dy, x, gain []float32, mean, rstd, c0, c1 float32)", "x", "dx", "dy", "x", "gain")
	mean, rstd = s.broadcast("mean"), s.broadcast("rstd")
	c0, c1 := s.broadcast("c0"), s.broadcast("c1")
	s.each(func(int) {
		x, g := s.xhat(mean, rstd), s.at("gain")
		s.fmul(g, g, s.at("dy"))
		s.fsub(g, g, c0)
		s.fmls(g, x, c1)
		d := s.at("dx")
		s.fmla(d, g, rstd)
		s.put(d, "dx")
	})
	s.close()

	s = f.begin("normGain", "func(dgain, dbias, dy, x []float32, mean, rstd float32)", "x", "dgain", "dbias", "dy", "x")
	mean, rstd = s.broadcast("mean"), s.broadcast("rstd")
	s.each(func(int) {
		x, dy, g := s.xhat(mean, rstd), s.at("dy"), s.at("dgain")
		s.fmla(g, dy, x)
		s.put(g, "dgain")
		s.fadd(dy, dy, s.at("dbias"))
		s.put(dy, "dbias")
	})
	s.close()
}

// xhat is (x-mean)*rstd.
func (s *slices16) xhat(mean, rstd v) v {
	x := s.at("x")
	s.fsub(x, x, mean)
	s.fmul(x, x, rstd)
	return x
}
