package sft

import (
	"math"
	"testing"
)

// Probabilities 1/2 and 1/4 of a step with 6 labels: (ln 2 + ln 4)/6.
func TestLoss(t *testing.T) {
	loss, grad := Loss([]float64{math.Log(0.5), math.Log(0.25)}, 6)
	if math.Abs(loss-math.Ln2/2) > 1e-15 || grad != -1.0/6 {
		t.Errorf("loss %g, gradient %g, want %g, %g", loss, grad, math.Ln2/2, -1.0/6)
	}
	if loss, grad := Loss(nil, 0); loss != 0 || grad != -1 {
		t.Errorf("no labels: loss %g, gradient %g", loss, grad)
	}
}
