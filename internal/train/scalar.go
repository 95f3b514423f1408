package train

import "math"

// LogSigmoid returns log(1/(1+e^-x)) without overflow on either side.
func LogSigmoid(x float64) float64 {
	return math.Min(x, 0) - math.Log1p(math.Exp(-math.Abs(x)))
}

// Sigmoid returns 1/(1+e^-x) without overflow on either side.
func Sigmoid(x float64) float64 {
	if x >= 0 {
		return 1 / (1 + math.Exp(-x))
	}
	e := math.Exp(x)
	return e / (1 + e)
}
