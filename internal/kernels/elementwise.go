package kernels

import (
	"math"
)

// grain is the least number of elements worth handing to another thread.
const grain = 1 << 14

// Add computes dst += x.
func Add(dst, x []float32) {
	each2(opAdd, dst, x)
}

// Mul computes dst = a*b, element by element.
func Mul(dst, a, b []float32) { each3(opMul, dst, a, b) }

// Exp computes dst = e^x within 2 units in the last place, subnormal results included. dst may be x.
func Exp(dst, x []float32) { each2(opExp, dst, x) }

// SiLUMul computes y = silu(gate)*up with silu(v) = v/(1+e^-v). y may be gate or up.
func SiLUMul(y, gate, up []float32) { each3(opSiLUMul, y, gate, up) }

// GELU computes y = x*Phi(x) with the normal distribution Phi or, where tanh is set,
// 0.5*x*(1+tanh(sqrt(2/pi)*(x+0.044715*x^3))) (Hendrycks and Gimpel 2016). y may be x.
func GELU(y, x []float32, tanh bool) {
	if tanh {
		each2(opGELUTanh, y, x)
		return
	}
	each2(opGELU, y, x)
}

// GELUBackward computes dx = dy*gelu'(x). dx may be dy.
func GELUBackward(dx, dy, x []float32, tanh bool) {
	if tanh {
		each3(opGELUTanhBack, dx, dy, x)
		return
	}
	each3(opGELUBack, dx, dy, x)
}

// Axpy computes dst += alpha*x, on the caller's goroutine.
func Axpy(alpha float32, x, dst []float32) {
	x = x[:len(dst)]
	im := active.Load()
	n := len(dst) &^ 15
	if n > 0 {
		im.axpy(alpha, x[:n], dst[:n])
	}
	if n < len(dst) {
		var a, b [16]float32
		copy(a[:], x[n:])
		copy(b[:], dst[n:])
		im.axpy(alpha, a[:], b[:])
		copy(dst[n:], b[:])
	}
}

// Scale computes x *= alpha, on the caller's goroutine.
func Scale(alpha float32, x []float32) {
	im := active.Load()
	n := len(x) &^ 15
	if n > 0 {
		im.scale(alpha, x[:n])
	}
	for i := n; i < len(x); i++ {
		x[i] *= alpha
	}
}

// SiLUMulBackward computes dgate = dy*up*silu'(gate) and dup = dy*silu(gate), with s the logistic function and
// silu'(v) = s(v)*(1 + v*(1-s(v))). dgate or dup may be dy, gate or up.
func SiLUMulBackward(dgate, dup, dy, gate, up []float32) {
	n := len(dgate)
	dup, dy, gate, up = dup[:n], dy[:n], gate[:n], up[:n]
	im := active.Load()
	ranges(n, grain, func(lo, hi int) {
		m := lo + (hi-lo)&^15
		if m > lo {
			im.siluMulBack(dgate[lo:m], dup[lo:m], dy[lo:m], gate[lo:m], up[lo:m])
		}
		if m < hi {
			var a, b, c, d, e [16]float32
			copy(c[:], dy[m:hi])
			copy(d[:], gate[m:hi])
			copy(e[:], up[m:hi])
			im.siluMulBack(a[:], b[:], c[:], d[:], e[:])
			copy(dgate[m:hi], a[:])
			copy(dup[m:hi], b[:])
		}
	})
}

// GELUHalf is GELU rounded to bf16, as MatMulHalf computes it (geluHalf), on the caller's goroutine, at levels that multiply pairs
// (DotsPairs). The length is a multiple of 32.
func GELUHalf(y []uint16, x []float32, tanh bool) {
	act := ActGELU
	if tanh {
		act = ActGELUTanh
	}
	active.Load().geluRows(y, 32, len(x)/32, x, noBias, &geluHalf[act])
}

// SiLUMulHalf is SiLUMul of bf16, with a relative error of 2e-4 before it is rounded to bf16, on the caller's goroutine, at levels that
// multiply pairs (DotsPairs). Lengths are multiples of 16.
func SiLUMulHalf(y, gate, up []uint16) {
	_, _, _ = y[len(gate)-1], up[len(gate)-1], gate[len(gate)/16*16-1]
	active.Load().siluHalf(y, gate, up)
}

// SiLUMulHalfBackward is SiLUMulBackward of bf16, as SiLUMulHalf.
func SiLUMulHalfBackward(dgate, dup, dy, gate, up []uint16) {
	n := len(gate)
	_, _, _, _, _ = dgate[n-1], dup[n-1], dy[n-1], up[n-1], gate[n/16*16-1]
	active.Load().siluHalfBack(dgate, dup, dy, gate, up)
}

// The operations of two and of three slices, by number so that no small array escapes to the heap.
const (
	opAdd = iota
	opExp
	opGELU
	opGELUTanh
	opMul
	opSiLUMul
	opGELUBack
	opGELUTanhBack
)

func (im *impl) two(op int, dst, x []float32) {
	switch op {
	case opAdd:
		im.add(dst, x)
	case opExp:
		im.exp(dst, x)
	case opGELU:
		im.gelu(dst, x)
	case opGELUTanh:
		im.geluTanh(dst, x)
	}
}

func (im *impl) three(op int, dst, x, y []float32) {
	switch op {
	case opMul:
		im.mul(dst, x, y)
	case opSiLUMul:
		im.siluMul(dst, x, y)
	case opGELUBack:
		im.geluBack(dst, x, y)
	case opGELUTanhBack:
		im.geluTanhBack(dst, x, y)
	}
}

// each2 and each3 run an operation on a multiple of 16 elements and on a padded copy of the rest, so that an
// element's value does not depend on where it stands.
func each2(op int, dst, x []float32) {
	x = x[:len(dst)]
	im := active.Load()
	if len(dst) < 2*grain {
		im.tail2(op, dst, x)
		return
	}
	ranges(len(dst), grain, func(lo, hi int) { im.tail2(op, dst[lo:hi], x[lo:hi]) })
}

func (im *impl) tail2(op int, dst, x []float32) {
	n := len(dst) &^ 15
	if n > 0 {
		im.two(op, dst[:n], x[:n])
	}
	if n < len(dst) {
		var a, b [16]float32
		copy(a[:], dst[n:])
		copy(b[:], x[n:])
		im.two(op, a[:], b[:])
		copy(dst[n:], a[:])
	}
}

func each3(op int, dst, x, y []float32) {
	x, y = x[:len(dst)], y[:len(dst)]
	im := active.Load()
	if len(dst) < 2*grain {
		im.tail3(op, dst, x, y)
		return
	}
	ranges(len(dst), grain, func(lo, hi int) { im.tail3(op, dst[lo:hi], x[lo:hi], y[lo:hi]) })
}

func (im *impl) tail3(op int, dst, x, y []float32) {
	n := len(dst) &^ 15
	if n > 0 {
		im.three(op, dst[:n], x[:n], y[:n])
	}
	if n < len(dst) {
		var a, b, c [16]float32
		copy(b[:], x[n:])
		copy(c[:], y[n:])
		im.three(op, a[:], b[:], c[:])
		copy(dst[n:], a[:])
	}
}

// adamwConst are the numbers of one step, prepared once: 1-lr*wd, b1, 1-b1, b2, 1-b2, -lr/c1, sqrt(c2), eps.
type adamwConst = [8]float32

func newAdamW(lr, b1, b2, eps, wd, c1, c2 float32) *adamwConst {
	return &adamwConst{
		float32(1 - float64(lr)*float64(wd)), b1, float32(1 - float64(b1)), b2, float32(1 - float64(b2)),
		float32(-float64(lr) / float64(c1)), float32(math.Sqrt(float64(c2))), eps,
	}
}

// AdamW updates p, m and v with gradient g in torch's order (Loshchilov and Hutter 2019, decay by the learning rate):
//
//	p *= 1 - lr*wd;  m += (1-b1)*(g-m);  v = b2*v + (1-b2)*g*g;  p -= lr/c1 * m / (sqrt(v)/sqrt(c2) + eps)
//
// where c1 = 1-b1^t and c2 = 1-b2^t.
func AdamW(p, g, m, v []float32, lr, b1, b2, eps, wd float32, c1, c2 float32) {
	n := len(p)
	g, m, v = g[:n], m[:n], v[:n]
	k := newAdamW(lr, b1, b2, eps, wd, c1, c2)
	im := active.Load()
	ranges(n, grain, func(lo, hi int) {
		e := lo + (hi-lo)&^15
		if e > lo {
			im.adamw(p[lo:e], g[lo:e], m[lo:e], v[lo:e], k)
		}
		if e < hi {
			var a, b, c, d [16]float32
			copy(a[:], p[e:hi])
			copy(b[:], g[e:hi])
			copy(c[:], m[e:hi])
			copy(d[:], v[e:hi])
			im.adamw(a[:], b[:], c[:], d[:], k)
			copy(p[e:hi], a[:])
			copy(m[e:hi], c[:])
			copy(v[e:hi], d[:])
		}
	})
}
