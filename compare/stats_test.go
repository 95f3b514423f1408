package compare

import (
	"math"
	"testing"

	"plumb/internal/run"
)

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if !(math.Abs(got-want) <= within) {
		t.Errorf("%s = %v, want %v within %v", what, got, want, within)
	}
}

// A mean of n draws from N(mu, sd) has the interval mu -+ 1.96 sd/sqrt(n): the bootstrap must find its width and, over
// many samples, hold the true mean about 95 times in 100.
func TestBootstrapCoversTheMean(t *testing.T) {
	rng := run.Rand(1, "test")
	covered, width := 0.0, 0.0
	const worlds, n = 300, 200
	for w := range worlds {
		x := make([]float64, n)
		for i := range x {
			x[i] = 3 + 2*rng.NormFloat64()
		}
		iv := bootstrap(x, 400, run.Rand(uint64(w), "test/bootstrap"))
		near(t, "mean", iv.Mean, mean(x), 0)
		if iv.Low <= 3 && 3 <= iv.High {
			covered++
		}
		width += (iv.High - iv.Low) / worlds
	}
	near(t, "coverage", covered/worlds, 0.95, 0.04)
	near(t, "width", width, 2*1.96*2/math.Sqrt(n), 0.03)
}

func TestBootstrapIsSeeded(t *testing.T) {
	x := []float64{1, 5, 2, 8, 3}
	a, b := bootstrap(x, 200, run.Rand(1, "p")), bootstrap(x, 200, run.Rand(1, "p"))
	if a != b {
		t.Errorf("one seed gave %v and %v", a, b)
	}
	if c := bootstrap(x, 200, run.Rand(2, "p")); c == a {
		t.Errorf("two seeds gave the same interval %v", c)
	}
	if !math.IsNaN(bootstrap(nil, 200, run.Rand(1, "p")).Mean) {
		t.Error("no values have a mean")
	}
}

// Where the figure is a line in length, its value at equal length is the line's intercept.
func TestLengthControlled(t *testing.T) {
	rng := run.Rand(2, "test")
	var dy, dx []float64
	for range 400 {
		l := 10 + 5*rng.NormFloat64()
		dx = append(dx, l)
		dy = append(dy, 0.3+0.2*l+0.1*rng.NormFloat64())
	}
	iv := lengthControlled(dy, dx, 300, run.Rand(3, "test"))
	near(t, "at equal length", iv.Mean, 0.3, 0.04)
	if iv.Low > 0.3 || iv.High < 0.3 || iv.High-iv.Low > 0.1 {
		t.Errorf("interval %v", iv)
	}
	flat := lengthControlled([]float64{1, 2, 3}, []float64{4, 4, 4}, 100, run.Rand(3, "test"))
	near(t, "where no length differs", flat.Mean, 2, 1e-12)
}

func TestWins(t *testing.T) {
	got := wins([]float64{1, 2, 3, 4}, []float64{0, 2, 5, 1})
	if got.Win != 2 || got.Tie != 1 || got.Loss != 1 || got.Rate != 2.5/4 {
		t.Errorf("%+v", got)
	}
}

func TestQuantile(t *testing.T) {
	x := []float64{4, 1, 3, 2}
	near(t, "median", quantile(x, 0.5), 2.5, 1e-12)
	near(t, "lowest", quantile(x, 0), 1, 0)
	near(t, "highest", quantile(x, 1), 4, 0)
	near(t, "tenth", quantile(x, 0.1), 1.3, 1e-12)
}

// For best of two, log 2 - 1/2.
func TestBestOfKL(t *testing.T) {
	near(t, "of one", bestOfKL(1), 0, 0)
	near(t, "of two", bestOfKL(2), 0.1931471805599453, 1e-12)
	near(t, "of eight", bestOfKL(8), 1.2044415416798357, 1e-12)
}
