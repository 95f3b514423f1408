package ppo

import (
	"math"
	"slices"
	"testing"
)

func near(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol) {
		t.Errorf("%s = %.12g, want %.12g", what, got, want)
	}
}

func nearAll(t *testing.T, what string, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s has %d elements, want %d", what, len(got), len(want))
	}
	for i := range got {
		if math.Abs(got[i]-want[i]) > 1e-12 {
			t.Errorf("%s = %v, want %v", what, got, want)
			return
		}
	}
}

func TestKL(t *testing.T) {
	near(t, "k1", KL("k1", -1, -3), 2, 0)
	near(t, "k3", KL("k3", -1, -1-math.Ln2), math.Ln2-0.5, 1e-15) // 1/2 - 1 + ln 2
	near(t, "k3 of equals", KL("k3", -1, -1), 0, 0)
}

func TestRewards(t *testing.T) {
	lp, ref := []float64{-1, -2}, []float64{-2, -1.5}
	rewards, kl := Rewards("k1", 0.1, lp, ref, 5, 2)
	nearAll(t, "kl", kl, []float64{1, -0.5})
	nearAll(t, "rewards, score at the last token", rewards, []float64{-0.1, 5.05})
	rewards, _ = Rewards("k1", 0.1, lp, ref, 5, 3)
	nearAll(t, "rewards, score one later", rewards, []float64{-0.1, 0.05, 5})
}

// gamma 1/2, lambda 1/2: d1 = 2-3 = -1; d0 = 1 + 3/2 - 4 = -3/2; A1 = -1, A0 = -3/2 - 1/4.
func TestGAE(t *testing.T) {
	adv, ret := GAE([]float64{1, 2}, []float64{4, 3}, 0.5, 0.5)
	nearAll(t, "advantages", adv, []float64{-1.75, -1})
	nearAll(t, "returns", ret, []float64{2.25, 2})
	// gamma = lambda = 1: returns are the sums of the rewards to come.
	_, ret = GAE([]float64{1, 2, 4}, []float64{9, -8, 7}, 1, 1)
	nearAll(t, "returns", ret, []float64{7, 6, 4})
}

// Real elements 1, 3, 5: mean 3, variance with Bessel's correction 4.
func TestWhiten(t *testing.T) {
	rows := [][]float64{{1, 3, 100}, {5}}
	Whiten(rows, []int{2, 1}, false)
	s := 1 / math.Sqrt(4+1e-8)
	nearAll(t, "first row", rows[0], []float64{-2 * s, 0, 100})
	nearAll(t, "second row", rows[1], []float64{2 * s})
	rows = [][]float64{{1, 3, 5}}
	Whiten(rows, []int{3}, true)
	nearAll(t, "mean kept", rows[0], []float64{3 - 2*s, 3, 3 + 2*s})
	rows = [][]float64{{7}}
	Whiten(rows, []int{1}, false)
	nearAll(t, "single", rows[0], []float64{0})
}

func TestAdaptKL(t *testing.T) {
	near(t, "far above", AdaptKL(0.2, 12, 6, 10000, 256), 0.2*(1+0.2*0.0256), 1e-15)
	near(t, "near", AdaptKL(0.2, 6.6, 6, 10000, 100), 0.2*(1+0.1*0.01), 1e-15)
	near(t, "far below", AdaptKL(0.2, 0, 6, 10000, 100), 0.2*(1-0.2*0.01), 1e-15)
}

// Ratios 1, 2, 1/2, 2, 1/2 with advantages 1, 1, 1, -1, -1 and a range of 0.2: the second and the
// last are clipped, to 1.2 and 0.8; a worse action that became likelier is not.
func TestPolicyLoss(t *testing.T) {
	old := []float64{-1, -1, -1, -1, -1}
	lp := []float64{-1, -1 + math.Ln2, -1 - math.Ln2, -1 + math.Ln2, -1 - math.Ln2}
	adv := []float64{1, 1, 1, -1, -1}
	loss, grad, stats := PolicyLoss(lp, old, adv, 0.2, 0.5)
	near(t, "loss", loss, 0.5*(-1-1.2-0.5+2+0.8), 1e-12)
	nearAll(t, "gradient", grad, []float64{-0.5, 0, -0.25, 1, 0})
	near(t, "clipped", stats.Clipped, 2, 0)
	near(t, "ratio", stats.Ratio, 6, 1e-12)
	near(t, "approxkl", stats.ApproxKL, 2*math.Ln2*math.Ln2, 1e-12)
}

func TestValueLoss(t *testing.T) {
	// Returns 0. First: V inside the range. Second: V = 1 from 2, clipped back to 1.8, which is
	// worse. Third: V = 3 from 2, clipped to 2.2, which is better, so not taken.
	loss, grad, clipped := ValueLoss([]float64{0.5, 1, 3}, []float64{0.5, 2, 2}, []float64{0, 0, 0}, 0.2, 2)
	near(t, "loss", loss, 0.25+1.8*1.8+9, 1e-12)
	nearAll(t, "gradient", grad, []float64{1, 0, 6})
	near(t, "clipped", clipped, 1, 0)
}

func TestLossGradients(t *testing.T) {
	x := []float64{-0.9, -1.4, -0.2, -2, -1.05}
	old := []float64{-1, -1, -1, -1, -1}
	a := []float64{0.7, -0.4, 1.1, -2, -0.3}
	const h = 1e-6
	for name, f := range map[string]func(x []float64) (float64, []float64){
		"policy": func(x []float64) (float64, []float64) { l, g, _ := PolicyLoss(x, old, a, 0.2, 0.3); return l, g },
		"value":  func(x []float64) (float64, []float64) { l, g, _ := ValueLoss(x, old, a, 0.2, 0.3); return l, g },
	} {
		_, g := f(x)
		for i := range x {
			up, down := slices.Clone(x), slices.Clone(x)
			up[i] += h
			down[i] -= h
			lu, _ := f(up)
			ld, _ := f(down)
			near(t, name, g[i], (lu-ld)/(2*h), 1e-7)
		}
	}
}
