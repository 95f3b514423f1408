package kernels

import "math"

// Dot is the sum of a*b.
func Dot(a, b []float32) float32 {
	b = b[:len(a)]
	var lanes [16]float32
	im := active.Load()
	n := len(a) &^ 15
	if n > 0 {
		im.dot(&lanes, a[:n], b[:n])
	}
	if n < len(a) {
		var p, q [16]float32
		copy(p[:], a[n:])
		copy(q[:], b[n:])
		im.dot(&lanes, p[:], q[:])
	}
	return im.fold(&lanes)
}

// Sum is the sum of x.
func Sum(x []float32) float32 {
	var lanes [16]float32
	im := active.Load()
	n := len(x) &^ 15
	if n > 0 {
		im.sum(&lanes, x[:n])
	}
	if n < len(x) {
		var p [16]float32
		copy(p[:], x[n:])
		im.sum(&lanes, p[:])
	}
	return im.fold(&lanes)
}

// SumSquares is the sum of x*x, kept in float64.
func SumSquares(x []float32) float64 {
	var lanes [16]float64
	im := active.Load()
	n := len(x) &^ 15
	if n > 0 {
		im.sumSquares(&lanes, x[:n])
	}
	if n < len(x) {
		var p [16]float32
		copy(p[:], x[n:])
		im.sumSquares(&lanes, p[:])
	}
	for h := 8; h > 0; h /= 2 {
		for i := range h {
			lanes[i] += lanes[i+h]
		}
	}
	return lanes[0]
}

// Max is the largest element; NaN if any element is; -Inf of nothing.
func Max(x []float32) float32 {
	inf := float32(math.Inf(-1))
	var lanes [32]float32 // maxima, and the largest bits of an absolute value
	for i := range 16 {
		lanes[i] = inf
	}
	im := active.Load()
	n := len(x) &^ 15
	if n > 0 {
		im.max(&lanes, x[:n])
	}
	if n < len(x) {
		p := padded(x[n:])
		im.max(&lanes, p[:])
	}
	m, bits := im.foldMax(&lanes)
	if bits > 0x7f800000 {
		return float32(math.NaN())
	}
	return m
}

// padded is a row's rest with -Inf behind it, whose exponential is 0.
func padded(x []float32) (p [16]float32) {
	for i := copy(p[:], x); i < 16; i++ {
		p[i] = float32(math.Inf(-1))
	}
	return p
}

// Softmax replaces row by e^x / sum(e^x) with x = scale*row, the maximum subtracted first; scale is positive. Entries of -Inf
// become exactly 0; a row of nothing but -Inf becomes NaN. What it returns LSE turns into log(sum(e^x)).
func Softmax(row []float32, scale float32) (top, sum float32) {
	top, sum = exponentials(row, scale)
	Scale(1/sum, row)
	return top, sum
}

// SoftmaxHalf rounds the softmax of scale times rows of s, lds apart, to bf16 in dst, rows ldd apart, with zeros up to room, a multiple of
// 32: of the first n numbers of the first row, and more more in each that follows. s is written over. stats gets two numbers a row,
// those that Softmax returns; exponentials have a relative error of 8e-5, a 50th of what rounding may cost. It is for levels that multiply pairs (DotsPairs).
func SoftmaxHalf(dst []uint16, ldd int, s []float32, lds, rows, n, more, room int, scale float32, stats []float32) {
	if rows > 0 {
		checkHalfRows(rows, n, more, room)
		active.Load().softmaxHalf(dst, ldd, s, lds, rows, n, more, room, scale, stats)
	}
}

// SoftmaxHalfBackward is the gradient through rows of SoftmaxHalf, in the same layout: of scores s, whose log(sum(e^x)) is lse (rows), and d,
// the gradient of their softmax, it makes that softmax anew, p, and ds = (d - sum(d*p))*p*by, by being what scores were scaled with,
// both in bf16. s and d are written over.
func SoftmaxHalfBackward(p, ds []uint16, ldd int, s, d []float32, lds, rows, n, more, room int, scale, by float32, lse []float32) {
	if rows > 0 {
		checkHalfRows(rows, n, more, room)
		active.Load().softmaxHalfBack(p, ds, ldd, s, d, lds, rows, n, more, room, scale, by, lse)
	}
}

func checkHalfRows(rows, n, more, room int) {
	if n < 1 || more < 0 || n+(rows-1)*more > room || room%32 != 0 {
		panic("kernels: a softmax in bf16 wants rows of at least a number, with room for it in whole vectors")
	}
}

// LSE is log(sum(e^x)), the float of LogSumExp, from the maximum of x and the sum of what Softmax divided.
func LSE(top, sum float32) float32 {
	if math.IsInf(float64(top), 0) || top != top {
		return top
	}
	return top + float32(math.Log(float64(sum)))
}

// exponentials replaces row by e^(x-top) with x = scale*row and returns x's maximum, top, and the sum.
func exponentials(row []float32, scale float32) (top, sum float32) {
	top = float32(Max(row) * scale)
	return top, ExpScaled(row, row, scale, top)
}

// ExpScaled writes e^(scale*row - shift) to dst, which may be row, or 0 where that is below e^-87, as Softmax does, and returns the sum.
func ExpScaled(dst, row []float32, scale, shift float32) (sum float32) {
	var lanes [16]float32
	im := active.Load()
	n := len(row) &^ 15
	if n > 0 {
		im.expSum(dst[:n], row[:n], scale, shift, &lanes)
	}
	if n < len(row) {
		p := padded(row[n:])
		im.expSum(p[:], p[:], scale, shift, &lanes)
		copy(dst[n:len(row)], p[:])
	}
	return im.fold(&lanes)
}

// SoftmaxBackward replaces ds, the gradient of the probabilities p, by that of what the softmax was taken of, before it was
// scaled: (ds - by)*p*scale, by being the sum of ds*p.
func SoftmaxBackward(ds, p []float32, by, scale float32) {
	p = p[:len(ds)]
	im := active.Load()
	n := len(ds) &^ 15
	if n > 0 {
		im.softmaxBack(ds[:n], p[:n], by, scale)
	}
	softmaxBackGeneric(ds[n:], p[n:], by, scale)
}

// LogSumExp is log(sum(e^x)), the maximum subtracted first; -Inf of nothing or of nothing but -Inf.
func LogSumExp(row []float32) float32 {
	lse, _ := LogSumExpTop(row)
	return lse
}

// LogSumExpTop is LogSumExp, and the maximum.
func LogSumExpTop(row []float32) (lse, top float32) {
	m := Max(row)
	if math.IsInf(float64(m), 0) || m != m {
		return m, m
	}
	var lanes [16]float32
	im := active.Load()
	n := len(row) &^ 15
	if n > 0 {
		im.sumExp(&lanes, row[:n], m)
	}
	if n < len(row) {
		p := padded(row[n:])
		im.sumExp(&lanes, p[:], m)
	}
	return LSE(m, im.fold(&lanes)), m
}

// foldMaxGeneric returns the largest of the first 16 lanes and the largest bits of the others.
func foldMaxGeneric(lanes *[32]float32) (top float32, bits uint32) {
	top = lanes[0]
	for i, v := range lanes[:16] {
		bits = max(bits, math.Float32bits(lanes[16+i]))
		if v > top {
			top = v
		}
	}
	return top, bits
}

// foldGeneric adds 16 partial sums in the order that every level uses.
func foldGeneric(l *[16]float32) float32 {
	for h := 8; h > 0; h /= 2 {
		for i := range h {
			l[i] += l[i+h]
		}
	}
	return l[0]
}

func dotGeneric(lanes *[16]float32, a, b []float32) {
	for i, v := range a {
		lanes[i&15] += float32(v * b[i])
	}
}

func sumGeneric(lanes *[16]float32, x []float32) {
	for i, v := range x {
		lanes[i&15] += v
	}
}

func sumSquaresGeneric(lanes *[16]float64, x []float32) {
	for i, v := range x {
		lanes[i&15] += float64(float64(v) * float64(v))
	}
}

func maxGeneric(lanes *[32]float32, x []float32) {
	for i, v := range x {
		l := &lanes[i&15]
		if v > *l {
			*l = v
		}
		bits := math.Float32bits(v) &^ (1 << 31)
		if t := &lanes[16+(i&15)]; bits > math.Float32bits(*t) {
			*t = math.Float32frombits(bits)
		}
	}
}

func softmaxBackGeneric(ds, p []float32, by, scale float32) {
	for i, v := range p {
		ds[i] = float32(float32(ds[i]-by)*v) * scale
	}
}

func expSumGeneric(dst, x []float32, scale, shift float32, lanes *[16]float32) {
	for i, v := range x {
		e := expNormal(float32(v*scale) - shift)
		dst[i] = e
		lanes[i&15] += e
	}
}

// expNormal is exp1 with 0 for what lies below -87: most processors take their time with subnormal results.
func expNormal(v float32) float32 {
	if v < -87 {
		return 0
	}
	return exp1(v)
}

func sumExpGeneric(lanes *[16]float32, x []float32, shift float32) {
	for i, v := range x {
		lanes[i&15] += exp1(v - shift)
	}
}
