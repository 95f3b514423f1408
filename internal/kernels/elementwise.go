package kernels

// grain is the least number of elements worth handing to another thread.
const grain = 1 << 14

// Add computes dst += x.
func Add(dst, x []float32) {
	x = x[:len(dst)]
	f := active.Load().add
	ranges(len(dst), grain, func(lo, hi int) { each2(f, dst[lo:hi], x[lo:hi]) })
}

// Axpy computes dst += alpha*x.
func Axpy(alpha float32, x, dst []float32) {
	x = x[:len(dst)]
	f := active.Load().axpy
	n := len(dst) &^ 15
	if n > 0 {
		f(alpha, x[:n], dst[:n])
	}
	if n < len(dst) {
		var a, b [16]float32
		copy(a[:], x[n:])
		copy(b[:], dst[n:])
		f(alpha, a[:], b[:])
		copy(dst[n:], b[:])
	}
}

// Scale computes x *= alpha.
func Scale(alpha float32, x []float32) {
	f := active.Load().scale
	n := len(x) &^ 15
	if n > 0 {
		f(alpha, x[:n])
	}
	if n < len(x) {
		var a [16]float32
		copy(a[:], x[n:])
		f(alpha, a[:])
		copy(x[n:], a[:])
	}
}

// Mul computes dst = a*b, element by element.
func Mul(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	f := active.Load().mul
	ranges(len(dst), grain, func(lo, hi int) { each3(f, dst[lo:hi], a[lo:hi], b[lo:hi]) })
}

// Exp computes dst = e^x within 2 units in the last place, subnormal results included. dst may be x.
func Exp(dst, x []float32) {
	x = x[:len(dst)]
	f := active.Load().exp
	ranges(len(dst), grain, func(lo, hi int) { each2(f, dst[lo:hi], x[lo:hi]) })
}

// SiLUMul computes y = silu(gate)*up with silu(v) = v/(1+e^-v).
func SiLUMul(y, gate, up []float32) {
	gate, up = gate[:len(y)], up[:len(y)]
	f := active.Load().siluMul
	ranges(len(y), grain, func(lo, hi int) { each3(f, y[lo:hi], gate[lo:hi], up[lo:hi]) })
}

// SiLUMulBackward computes dgate = dy*up*silu'(gate) and dup = dy*silu(gate), with s the logistic function and
// silu'(v) = s(v)*(1 + v*(1-s(v))). dgate or dup may be dy, gate or up.
func SiLUMulBackward(dgate, dup, dy, gate, up []float32) {
	n := len(dgate)
	dup, dy, gate, up = dup[:n], dy[:n], gate[:n], up[:n]
	f := active.Load().siluMulBack
	ranges(n, grain, func(lo, hi int) {
		m := lo + (hi-lo)&^15
		if m > lo {
			f(dgate[lo:m], dup[lo:m], dy[lo:m], gate[lo:m], up[lo:m])
		}
		if m < hi {
			var a, b, c, d, e [16]float32
			copy(c[:], dy[m:hi])
			copy(d[:], gate[m:hi])
			copy(e[:], up[m:hi])
			f(a[:], b[:], c[:], d[:], e[:])
			copy(dgate[m:hi], a[:])
			copy(dup[m:hi], b[:])
		}
	})
}

// GELU computes y = x*Phi(x) with the normal distribution Phi, by the error function or, where tanh is set, by
// 0.5*x*(1+tanh(sqrt(2/pi)*(x+0.044715*x^3))) (Hendrycks and Gimpel 2016). y may be x.
func GELU(y, x []float32, tanh bool) {
	x = x[:len(y)]
	f := active.Load().gelu
	if tanh {
		f = active.Load().geluTanh
	}
	ranges(len(y), grain, func(lo, hi int) { each2(f, y[lo:hi], x[lo:hi]) })
}

// GELUBackward computes dx = dy*gelu'(x). dx may be dy.
func GELUBackward(dx, dy, x []float32, tanh bool) {
	dy, x = dy[:len(dx)], x[:len(dx)]
	f := active.Load().geluBack
	if tanh {
		f = active.Load().geluTanhBack
	}
	ranges(len(dx), grain, func(lo, hi int) { each3(f, dx[lo:hi], dy[lo:hi], x[lo:hi]) })
}

// each2 and each3 call f on a multiple of 16 elements and on a padded copy of the rest, so that an element's
// value does not depend on where it stands.
func each2(f func(dst, x []float32), dst, x []float32) {
	n := len(dst) &^ 15
	if n > 0 {
		f(dst[:n], x[:n])
	}
	if n < len(dst) {
		var a, b [16]float32
		copy(a[:], dst[n:])
		copy(b[:], x[n:])
		f(a[:], b[:])
		copy(dst[n:], a[:])
	}
}

func each3(f func(dst, x, y []float32), dst, x, y []float32) {
	n := len(dst) &^ 15
	if n > 0 {
		f(dst[:n], x[:n], y[:n])
	}
	if n < len(dst) {
		var a, b, c [16]float32
		copy(b[:], x[n:])
		copy(c[:], y[n:])
		f(a[:], b[:], c[:])
		copy(dst[n:], a[:])
	}
}

// adamwConst are the numbers of one step, prepared once.
type adamwConst struct {
	decay, b1, omb1, b2, omb2, step, rc2, eps float32
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
	f := active.Load().adamw
	ranges(n, grain, func(lo, hi int) {
		e := lo + (hi-lo)&^15
		if e > lo {
			f(p[lo:e], g[lo:e], m[lo:e], v[lo:e], k)
		}
		if e < hi {
			var a, b, c, d [16]float32
			copy(a[:], p[e:hi])
			copy(b[:], g[e:hi])
			copy(c[:], m[e:hi])
			copy(d[:], v[e:hi])
			f(a[:], b[:], c[:], d[:], k)
			copy(p[e:hi], a[:])
			copy(m[e:hi], c[:])
			copy(v[e:hi], d[:])
		}
	})
}
