package reward

import (
	"math"
	"testing"
)

func near(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol) {
		t.Errorf("%s = %.12g, want %.12g", what, got, want)
	}
}

// With r_c - r_r = ln 3 the probability of the label is 3/4: loss ln(4/3), slope -1/4.
func TestLossByHand(t *testing.T) {
	c, r := []float64{1 + math.Log(3)}, []float64{1.0}
	loss, dc, dr := Loss(c, r, nil, 0, 1)
	near(t, "loss", loss, math.Log(4.0/3), 1e-15)
	near(t, "dChosen", dc[0], -0.25, 1e-15)
	near(t, "dRejected", dr[0], 0.25, 1e-15)

	// A margin of ln 3 takes the difference back to 0: loss ln 2, slope -1/2.
	loss, dc, _ = Loss(c, r, []float64{math.Log(3)}, 0, 1)
	near(t, "loss with margin", loss, math.Ln2, 1e-15)
	near(t, "dChosen with margin", dc[0], -0.5, 1e-15)

	// Centering adds 0.1 (2+1)^2 = 0.9 with slope 2*0.1*3 = 0.6 on both sides; divided by n = 2.
	loss, dc, dr = Loss([]float64{2}, []float64{1}, nil, 0.1, 2)
	near(t, "loss centred", loss, (math.Log1p(math.Exp(-1))+0.9)/2, 1e-15)
	s := 1 / (1 + math.E)
	near(t, "dChosen centred", dc[0], (-s+0.6)/2, 1e-15)
	near(t, "dRejected centred", dr[0], (s+0.6)/2, 1e-15)
}

func TestLossGradient(t *testing.T) {
	c, r, m := []float64{0.3, -2, 800}, []float64{-0.5, 1.5, -800}, []float64{0.2, 0, -1}
	_, dc, dr := Loss(c, r, m, 0.01, 5)
	const h = 1e-5
	for i := range c {
		for _, side := range []struct {
			x *float64
			g float64
		}{{&c[i], dc[i]}, {&r[i], dr[i]}} {
			x := *side.x
			*side.x = x + h
			up, _, _ := Loss(c, r, m, 0.01, 5)
			*side.x = x - h
			down, _, _ := Loss(c, r, m, 0.01, 5)
			*side.x = x
			near(t, "gradient", side.g, (up-down)/(2*h), 1e-7)
		}
	}
}

func TestMetrics(t *testing.T) {
	got := Metrics([]float64{1, 2, 3}, []float64{0, 2, 5})
	want := map[string]float64{"min_reward": 0, "max_reward": 5, "mean_reward": 13.0 / 6, "accuracy": 1.0 / 3, "margin": -1.0 / 3}
	if len(got) != len(want) {
		t.Errorf("%d metrics, want %d", len(got), len(want))
	}
	for name, w := range want {
		near(t, name, got[name], w, 1e-15)
	}
}
