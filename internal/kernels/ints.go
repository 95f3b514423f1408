package kernels

import "math"

// This file owns products in 16-bit integers, which processors without a tile unit multiply faster than float32. Each row of both
// operands is scaled to a length, sqrt(sum of squares), such that by Cauchy and Schwarz no sum of products, nor any part of
// one, can leave 32 bits: sums are then exact, in whatever order they are made, and every level gives the same bits. The error
// is that of rounding the operands: an element is off by half a step at most, the step being a row's length over intLength.
// On SmolLM2's logits that is a sixth of what rounding to bf16 costs.

// Lengths in steps. Rounding adds at most half a step to an element, so at most sqrt(n)/2 to a row of n.
const (
	intLength      = 32700             // of a row of the left operand: no element can be larger
	intPanelLength = 65500             // of a row of weights, unless an element would be larger than maxInt
	intProduct     = 32700.0 * 65500.0 // less than 1<<31
	maxInt         = math.MaxInt16
)

// roundedLength is what a row of n may have before it is rounded, to have at most length afterwards.
func roundedLength(length float64, n int) float64 {
	return max(1, length-1-0.5*math.Sqrt(float64(n)))
}

// Ints reports whether products with p multiply 16-bit integers.
func (p *Panels) Ints() bool { return p.typ == PanelI16 }

// IntRows rounds x(m,k) to integers for Rows: dst has HalfLen(m,k) numbers, scale(m) takes the rows' steps.
func IntRows(dst []uint16, scale, x []float32, m, k int) {
	im := active.Load()
	ld, length := pairStride(k), roundedLength(intLength, k)
	eachRow(m, k, func(i int) { scale[i] = im.intRow(dst[i*ld:][:ld], x[i*k:][:k], length) })
}

// intRow rounds x to integers of the given length, with zeros after them, and returns their step.
func (im *impl) intRow(dst []uint16, x []float32, length float64) (step float32) {
	n := math.Sqrt(SumSquares(x))
	by, step := scaleAndStep(n, length/n)
	im.ints(dst, x, by)
	return step
}

// scaleAndStep is what a row of length n is multiplied with before it is rounded, by or less, and its inverse: nothing for a row
// of nothing, and a step that is no number for one that has no length.
func scaleAndStep(n, by float64) (scale, step float32) {
	switch {
	case n == 0:
		return 0, 0
	case math.IsInf(n, 0) || n != n:
		return 0, float32(math.NaN())
	}
	by = min(by, 1e37)
	return float32(by), float32(1 / by)
}

// ints writes x*by, rounded to nearest, ties to even, and zeros after it.
func (im *impl) ints(dst []uint16, x []float32, by float32) {
	n := len(x) &^ 15
	if n > 0 {
		im.toInt(dst[:n], x[:n], by)
	}
	if n < len(x) {
		var p [16]float32
		var q [16]uint16
		copy(p[:], x[n:])
		im.toInt(q[:], p[:], by)
		copy(dst[n:], q[:len(x)-n])
	}
	clear(dst[len(x):])
}

// intPanels is what PanelI16 holds beside its numbers.
type intPanels struct {
	step    []float32 // of each row of W
	longest float64   // bound of the length of W's columns, in steps
	blocks  []float64 // of each panel, the largest sum of squares of a column
}

// fillInts is Fill for PanelI16.
func (p *Panels) fillInts(row func(n int, dst []float32)) {
	im := active.Load()
	ld, length := (p.k+1)&^1, roundedLength(intPanelLength, p.k)
	p.ints.blocks = make([]float64, p.count())
	columns := Alloc(p.count() * p.k)
	Parallel(p.count(), func(i int) {
		s := getScratch()
		defer putScratch(s)
		squares := columns[i*p.k:][:p.k]
		clear(squares)
		x, w := s.extra(p.k), min(32, p.n-32*i)
		rows := s.panel(16 * ld)
		clear(rows)
		for r := range w {
			row(32*i+r, x)
			n := math.Sqrt(SumSquares(x))
			by, step := scaleAndStep(n, min(length/n, (maxInt-1)/float64(im.largest(x))))
			p.ints.step[32*i+r] = step
			im.ints(asU16(rows)[r*ld:][:ld], x, by)
			Scale(by, x)
			each3(opMul, x, x, x)
			each2(opAdd, squares, x)
		}
		p.ints.blocks[i] = float64(Max(squares))
		packTransposed(im, p.panel(i), 32, rows, ld/2, 32, ld/2)
	})
	total := columns[:p.k]
	for i := 1; i < p.count(); i++ {
		Add(total, columns[i*p.k:][:p.k])
	}
	p.ints.longest = math.Sqrt(float64(Max(total))) * (1 + 1e-5)
}

// largest is the largest absolute value of x.
func (im *impl) largest(x []float32) float32 {
	n := len(x) &^ 15
	var lanes [32]float32
	if n > 0 {
		im.max(&lanes, x[:n])
	}
	if n < len(x) {
		var p [16]float32
		copy(p[:], x[n:])
		im.max(&lanes, p[:])
	}
	_, bits := im.foldMax(&lanes)
	return math.Float32frombits(bits)
}

// backLength is the length that rows of dy times the steps of W's rows [n0,n1) may have.
func (p *Panels) backLength(n0, n1 int) float64 {
	sum := 0.0
	for _, b := range p.ints.blocks[n0/32 : (n1+31)/32] {
		sum += b
	}
	column := min(p.ints.longest, math.Sqrt(sum)*(1+1e-5)) + 0.5*math.Sqrt(float64(n1-n0))
	return roundedLength(min(intLength, intProduct/column), n1-n0)
}

// intsOf rounds dy(m,n), rows lds apart, times the steps of W's rows from n0, for the product with W's transpose.
func (p *Panels) intsOf(dst []uint16, ldd int, scale, dy []float32, lds, m, n0, n int) {
	im := active.Load()
	length := p.backLength(n0, n0+n)
	steps := p.ints.step[n0:][:n]
	step := max(1, grain/n)
	Parallel((m+step-1)/step, func(t int) {
		s := getScratch()
		defer putScratch(s)
		x := s.extra(n)
		for i := t * step; i < min(m, t*step+step); i++ {
			im.tail3(opMul, x, dy[i*lds:][:n], steps)
			scale[i] = im.intRow(dst[i*ldd:][:ldd], x, length)
		}
	})
}

// intRowOf writes row n of W.
func (p *Panels) intRowOf(dst []float32, panel []float32, n int) {
	h, step := asU16(panel), p.ints.step[n]
	for l := range dst {
		dst[l] = float32(int16(h[l/2*64+n%32*2+l&1])) * step
	}
}

var ones = func() (o [32]float32) {
	for i := range o {
		o[i] = 1
	}
	return o
}()

func toIntGeneric(dst []uint16, src []float32, by float32) {
	for i, v := range src {
		r := math.RoundToEven(float64(float32(v * by)))
		switch {
		case !(r > -1<<15): // not a number too, as the instructions have it
			r = -1 << 15
		case r > maxInt:
			r = maxInt
		}
		dst[i] = uint16(int16(r))
	}
}

func tileIntGeneric(mr, kp int, a []uint16, lda int, b []uint16, c []float32, ldc int, acc bool, xs, ws []float32, _ fetching, _ lowTile) {
	for i := range mr {
		for j := range 32 {
			var sum int32
			for l := range kp {
				sum += int32(int16(a[i*lda+2*l]))*int32(int16(b[64*l+2*j])) + int32(int16(a[i*lda+2*l+1]))*int32(int16(b[64*l+2*j+1]))
			}
			v := float32(float32(float32(sum)*ws[j]) * xs[i])
			if acc {
				v += c[i*ldc+j]
			}
			c[i*ldc+j] = v
		}
	}
}
