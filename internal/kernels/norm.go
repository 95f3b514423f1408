package kernels

import "math"

// RMSNorm computes y = x*rstd*gain for each row of x(rows,cols), with rstd = 1/sqrt(mean(x²)+eps) (Zhang and Sennrich
// 2019). rstd(rows) is written unless nil. y may be x.
func RMSNorm(y, x, gain []float32, eps float32, rows, cols int, rstd []float32) {
	im := active.Load()
	eachRMS(im, x, eps, rows, cols, rstd, func(r int, row []float32, inv float32) {
		normRow(im, y[r*cols:][:cols], row, gain, nil, 0, inv)
	})
}

// RMSNormHalf is RMSNorm with y rounded to bf16, rows as far apart as HalfRows has them; what lies between them may be anything where cols is a
// multiple of 32.
func RMSNormHalf(dst []uint16, x, gain []float32, eps float32, rows, cols int, rstd []float32) {
	im := active.Load()
	if im.normHalf == nil || cols%32 > 0 {
		s := getScratch()
		defer putScratch(s)
		y := s.extra(rows * cols)
		RMSNorm(y, x, gain, eps, rows, cols, rstd)
		HalfRows(dst, y, rows, cols)
		return
	}
	ld := pairStride(cols)
	eachRMS(im, x, eps, rows, cols, rstd, func(r int, row []float32, inv float32) {
		im.normHalf(dst[r*ld:][:cols], row, gain[:cols], inv)
	})
}

// eachRMS runs f on rows and 1/sqrt(mean(x²)+eps), which rstd gets, too, unless nil.
func eachRMS(im *impl, x []float32, eps float32, rows, cols int, rstd []float32, f func(r int, row []float32, inv float32)) {
	eachFour(rows, cols, func(r, n int) {
		var inv [4]float32
		x := x[r*cols:][:n*cols]
		if n < 4 || !im.rmsStats4(&inv, x, cols, eps) {
			for i := range n {
				row := x[i*cols:][:cols]
				inv[i] = rsqrt(Dot(row, row)/float32(cols) + eps)
			}
		}
		if rstd != nil {
			copy(rstd[r:], inv[:n])
		}
		for i := range n {
			f(r+i, x[i*cols:][:cols], inv[i])
		}
	})
}

// RMSNormBackward adds to dx(rows,cols) the gradient through RMSNorm, rstd being what RMSNorm wrote:
// rstd*(g*dy - xhat*mean(g*dy*xhat)) with xhat = x*rstd; and to dgain(cols), unless nil, the sum of dy*xhat over rows. half, unless
// nil, gets dx as HalfRows makes it.
func RMSNormBackward(dx []float32, half []uint16, dy, x, gain, rstd []float32, rows, cols int, dgain []float32) {
	im := active.Load()
	eachRow(rows, cols, func(r int) { rmsBackRow(im, dx, half, dy, x[r*cols:][:cols], gain, rstd[r], r) })
	if dgain != nil {
		normGainRows(im, dgain, nil, dy, x, nil, rstd, rows, cols)
	}
}

// RMSNormBackwardOf is RMSNormBackward without x and dgain: x is made of y, which RMSNormHalf wrote, and so is off by y's rounding. No gain may be
// 0.
func RMSNormBackwardOf(dx []float32, half []uint16, dy []float32, y []uint16, gain, rstd []float32, rows, cols int) {
	im := active.Load()
	ld := pairStride(cols)
	eachPart(rows, cols, func(lo, hi int) {
		s := getScratch()
		defer putScratch(s)
		x, inverse := s.extra(cols), s.panel(cols)
		for i, g := range gain[:cols] {
			inverse[i] = 1 / g
		}
		for r := lo; r < hi; r++ {
			BF16ToF32(x, y[r*ld:][:cols])
			normRow(im, x, x, inverse, nil, 0, 1/rstd[r])
			rmsBackRow(im, dx, half, dy, x, gain, rstd[r], r)
		}
	})
}

// rmsBackRow is row r of RMSNormBackward, whose x and rstd it gets.
func rmsBackRow(im *impl, dx []float32, half []uint16, dy, x, gain []float32, rstd float32, r int) {
	cols := len(x)
	d, to := dy[r*cols:][:cols], dx[r*cols:][:cols]
	_, gx := normDots(im, d, x, gain, 0, rstd)
	normBackRow(im, to, d, x, gain, 0, rstd, 0, gx/float32(cols))
	if half != nil {
		ld := pairStride(cols)
		h := half[r*ld:][:ld]
		F32ToBF16(h[:cols], to)
		clear(h[cols:])
	}
}

// LayerNorm computes y = (x-mean)*rstd*gain + bias for each row of x(rows,cols), with rstd = 1/sqrt(var+eps) and the
// biased variance (Ba et al. 2016). mean(rows) and rstd(rows) are written unless nil. bias may be nil. y may be x.
func LayerNorm(y, x, gain, bias []float32, eps float32, rows, cols int, mean, rstd []float32) {
	im := active.Load()
	eachFour(rows, cols, func(r, n int) {
		var mu, inv [4]float32
		x := x[r*cols:][:n*cols]
		if n < 4 || !im.layerStats4(&mu, &inv, x, cols, eps) {
			for i := range n {
				row := x[i*cols:][:cols]
				mu[i] = Sum(row) / float32(cols)
				inv[i] = rsqrt(sumSqDiff(im, row, mu[i])/float32(cols) + eps)
			}
		}
		if mean != nil {
			copy(mean[r:], mu[:n])
		}
		if rstd != nil {
			copy(rstd[r:], inv[:n])
		}
		for i := range n {
			normRow(im, y[(r+i)*cols:][:cols], x[i*cols:][:cols], gain, bias, mu[i], inv[i])
		}
	})
}

// LayerNormBackward adds to dx(rows,cols) the gradient through LayerNorm, mean and rstd being what LayerNorm wrote:
// rstd*(g*dy - mean(g*dy) - xhat*mean(g*dy*xhat)); and to dgain(cols) and dbias(cols), unless nil, the sums of dy*xhat and
// of dy over rows.
func LayerNormBackward(dx, dy, x, gain, mean, rstd []float32, rows, cols int, dgain, dbias []float32) {
	im := active.Load()
	eachRow(rows, cols, func(r int) {
		d, v := dy[r*cols:][:cols], x[r*cols:][:cols]
		g, gx := normDots(im, d, v, gain, mean[r], rstd[r])
		normBackRow(im, dx[r*cols:][:cols], d, v, gain, mean[r], rstd[r], g/float32(cols), gx/float32(cols))
	})
	if dgain != nil || dbias != nil {
		normGainRows(im, dgain, dbias, dy, x, mean, rstd, rows, cols)
	}
}

func rsqrt(v float32) float32 { return 1 / float32(math.Sqrt(float64(v))) }

// eachRow runs f on rows that do not depend on each other, eachFour on four of them at a time, and on what is left over.
func eachRow(rows, cols int, f func(r int)) {
	eachFour(rows, cols, func(r, n int) {
		for i := range n {
			f(r + i)
		}
	})
}

func eachFour(rows, cols int, f func(r, n int)) {
	eachPart(rows, cols, func(lo, hi int) {
		for r := lo; r < hi; r += 4 {
			f(r, min(4, hi-r))
		}
	})
}

// eachPart runs part on runs of rows that begin at multiples of four.
func eachPart(rows, cols int, part func(lo, hi int)) {
	step := max(4, grain/max(1, cols)&^3)
	if rows < 2*step {
		part(0, rows)
		return
	}
	Parallel((rows+step-1)/step, func(i int) { part(i*step, min(rows, (i+1)*step)) })
}

func sumSqDiff(im *impl, x []float32, mean float32) float32 {
	var lanes [16]float32
	n := len(x) &^ 15
	if n > 0 {
		im.sumSqDiff(&lanes, x[:n], mean)
	}
	if n < len(x) {
		var p [16]float32
		for i := range p {
			p[i] = mean
		}
		copy(p[:], x[n:])
		im.sumSqDiff(&lanes, p[:], mean)
	}
	return im.fold(&lanes)
}

// normRow: a nil bias is left out.
func normRow(im *impl, y, x, gain, bias []float32, mean, inv float32) {
	n := len(x) &^ 15
	if n > 0 && bias != nil {
		im.normBias(y[:n], x[:n], gain[:n], bias[:n], mean, inv)
	} else if n > 0 {
		im.norm(y[:n], x[:n], gain[:n], mean, inv)
	}
	if n < len(x) {
		var a, b, c, d [16]float32
		copy(b[:], x[n:])
		copy(c[:], gain[n:len(x)])
		if bias != nil {
			copy(d[:], bias[n:len(x)])
			im.normBias(a[:], b[:], c[:], d[:], mean, inv)
		} else {
			im.norm(a[:], b[:], c[:], mean, inv)
		}
		copy(y[n:], a[:])
	}
}

func normDots(im *impl, dy, x, gain []float32, mean, inv float32) (g, gx float32) {
	var lanes [32]float32
	n := len(x) &^ 15
	if n > 0 {
		im.normDots(&lanes, dy[:n], x[:n], gain[:n], mean, inv)
	}
	if n < len(x) {
		var a, b, c [16]float32
		copy(a[:], dy[n:])
		copy(b[:], x[n:])
		copy(c[:], gain[n:len(x)])
		im.normDots(&lanes, a[:], b[:], c[:], mean, inv)
	}
	return im.fold((*[16]float32)(lanes[:16])), im.fold((*[16]float32)(lanes[16:]))
}

func normBackRow(im *impl, dx, dy, x, gain []float32, mean, inv, c0, c1 float32) {
	n := len(x) &^ 15
	if n > 0 {
		im.normBack(dx[:n], dy[:n], x[:n], gain[:n], mean, inv, c0, c1)
	}
	if n < len(x) {
		var a, b, c, d [16]float32
		copy(a[:], dx[n:])
		copy(b[:], dy[n:])
		copy(c[:], x[n:])
		copy(d[:], gain[n:len(x)])
		im.normBack(a[:], b[:], c[:], d[:], mean, inv, c0, c1)
		copy(dx[n:], a[:])
	}
}

// normGainRows sums over rows in ascending order; threads share the columns.
func normGainRows(im *impl, dgain, dbias, dy, x, mean, rstd []float32, rows, cols int) {
	const step = 64
	Parallel((cols+step-1)/step, func(i int) {
		lo, hi := i*step, min(cols, (i+1)*step)
		var g, b, d, v [step]float32
		w := hi - lo
		n := (w + 15) &^ 15
		if dgain != nil {
			copy(g[:], dgain[lo:hi])
		}
		if dbias != nil {
			copy(b[:], dbias[lo:hi])
		}
		for r := range rows {
			copy(d[:w], dy[r*cols+lo:])
			copy(v[:w], x[r*cols+lo:])
			var mu float32
			if mean != nil {
				mu = mean[r]
			}
			im.normGain(g[:n], b[:n], d[:n], v[:n], mu, rstd[r])
		}
		if dgain != nil {
			copy(dgain[lo:hi], g[:])
		}
		if dbias != nil {
			copy(dbias[lo:hi], b[:])
		}
	})
}

func normGeneric(y, x, gain []float32, mean, inv float32) {
	for i, v := range x {
		y[i] = float32((v-mean)*inv) * gain[i]
	}
}

func normBiasGeneric(y, x, gain, bias []float32, mean, inv float32) {
	for i, v := range x {
		y[i] = float32(float32((v-mean)*inv)*gain[i]) + bias[i]
	}
}

func normDotsGeneric(lanes *[32]float32, dy, x, gain []float32, mean, inv float32) {
	for i, v := range x {
		g := float32(dy[i] * gain[i])
		lanes[i&15] += g
		lanes[16+(i&15)] += float32(g * float32((v-mean)*inv))
	}
}

func normBackGeneric(dx, dy, x, gain []float32, mean, inv, c0, c1 float32) {
	for i, v := range x {
		g := float32(dy[i] * gain[i])
		t := g - c0 - float32(float32((v-mean)*inv)*c1)
		dx[i] += float32(inv * t)
	}
}

func normGainGeneric(dgain, dbias, dy, x []float32, mean, inv float32) {
	for i, v := range x {
		dgain[i] += float32(dy[i] * float32((v-mean)*inv))
		dbias[i] += dy[i]
	}
}

func sumSqDiffGeneric(lanes *[16]float32, x []float32, mean float32) {
	for i, v := range x {
		d := v - mean
		lanes[i&15] += float32(d * d)
	}
}
