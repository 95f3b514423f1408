package kernels

import "math"

func addGeneric(dst, x []float32) {
	for i, v := range x {
		dst[i] += v
	}
}

func axpyGeneric(alpha float32, x, dst []float32) {
	for i, v := range x {
		dst[i] += float32(alpha * v)
	}
}

func scaleGeneric(alpha float32, x []float32) {
	for i := range x {
		x[i] *= alpha
	}
}

func mulGeneric(dst, a, b []float32) {
	for i, v := range a {
		dst[i] = v * b[i]
	}
}

func exp1(x float32) float32 { return float32(math.Exp(float64(x))) }

func expGeneric(dst, x []float32) {
	for i, v := range x {
		dst[i] = exp1(v)
	}
}

func siluMulGeneric(y, gate, up []float32) {
	for i, v := range gate {
		y[i] = v / (1 + exp1(-v)) * up[i]
	}
}

func siluMulBackGeneric(dgate, dup, dy, gate, up []float32) {
	for i, v := range gate {
		s := 1 / (1 + exp1(-v))
		d, u := dy[i], up[i]
		dup[i] = d * float32(v*s)
		dgate[i] = float32(d*u) * float32(s*(1+float32(v*(1-s))))
	}
}

func geluGeneric(y, x []float32) {
	for i, v := range x {
		y[i] = float32(float64(v) * phi(float64(v)))
	}
}

func phi(x float64) float64 { return 0.5 * math.Erfc(-x/math.Sqrt2) }

func geluBackGeneric(dx, dy, x []float32) {
	for i, v := range x {
		v := float64(v)
		density := math.Exp(-0.5*v*v) / math.Sqrt(2*math.Pi)
		dx[i] = dy[i] * float32(phi(v)+v*density)
	}
}

// 2*sqrt(2/pi), since 0.5*(1+tanh(u)) is the logistic function of 2u
const (
	geluC = 2 * 0.7978845608028654
	geluK = 0.044715
)

func geluTanhGeneric(y, x []float32) {
	for i, v := range x {
		v := float64(v)
		y[i] = float32(v / (1 + math.Exp(-geluC*(v+geluK*v*v*v))))
	}
}

func geluTanhBackGeneric(dx, dy, x []float32) {
	for i, v := range x {
		v := float64(v)
		s := 1 / (1 + math.Exp(-geluC*(v+geluK*v*v*v)))
		slope := geluC * (1 + 3*geluK*v*v) // of the logistic function's argument
		dx[i] = dy[i] * float32(s+v*s*(1-s)*slope)
	}
}

func adamwGeneric(p, g, m, v []float32, k *adamwConst) {
	decay, omb1, b2, omb2, step, rc2, eps := k[0], k[2], k[3], k[4], k[5], k[6], k[7]
	for i, d := range g {
		m[i] += float32(omb1 * (d - m[i]))
		v[i] = float32(b2*v[i]) + float32(float32(omb2*d)*d)
		den := float32(math.Sqrt(float64(v[i])))/rc2 + eps
		p[i] = float32(decay*p[i]) + float32(step*(m[i]/den))
	}
}

func ropeGeneric(x1, x2, cos, sin []float32) {
	for i, c := range cos {
		a, b, s := x1[i], x2[i], sin[i]
		x1[i] = float32(a*c) - float32(b*s)
		x2[i] = float32(b*c) + float32(a*s)
	}
}
