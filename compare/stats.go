package compare

import (
	"math"
	"math/rand/v2"
	"sort"
)

// Interval is a mean with the bounds that hold it with 95% confidence.
type Interval struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// bootstrap returns the mean of x and its 95% percentile interval over the given number of resamples (Efron). Given
// differences on the same prompts it is the paired bootstrap. An empty x gives NaN.
func bootstrap(x []float64, resamples int, rng *rand.Rand) Interval {
	if len(x) == 0 {
		return Interval{math.NaN(), math.NaN(), math.NaN()}
	}
	means := make([]float64, resamples)
	for r := range means {
		sum := 0.0
		for range x {
			sum += x[rng.IntN(len(x))]
		}
		means[r] = sum / float64(len(x))
	}
	return Interval{mean(x), quantile(means, 0.025), quantile(means, 0.975)}
}

// lengthControlled is the difference to be expected at equal length: the intercept of the least-squares line of the
// differences dy over the differences of length dx, with its bootstrap interval. Where no length differs it is the
// plain mean. (The idea of length-controlled win rates, Dubois et al. 2024, arXiv:2404.04475, on a linear scale.)
func lengthControlled(dy, dx []float64, resamples int, rng *rand.Rand) Interval {
	if len(dy) == 0 {
		return Interval{math.NaN(), math.NaN(), math.NaN()}
	}
	at := make([]int, len(dy))
	for i := range at {
		at[i] = i
	}
	whole := intercept(dy, dx, at)
	values := make([]float64, resamples)
	for r := range values {
		for i := range at {
			at[i] = rng.IntN(len(dy))
		}
		values[r] = intercept(dy, dx, at)
	}
	return Interval{whole, quantile(values, 0.025), quantile(values, 0.975)}
}

func intercept(dy, dx []float64, at []int) float64 {
	var my, mx float64
	for _, i := range at {
		my += dy[i]
		mx += dx[i]
	}
	n := float64(len(at))
	my, mx = my/n, mx/n
	var sxx, sxy float64
	for _, i := range at {
		sxx += (dx[i] - mx) * (dx[i] - mx)
		sxy += (dx[i] - mx) * (dy[i] - my)
	}
	if sxx == 0 {
		return my
	}
	return my - sxy/sxx*mx
}

// quantile sorts x and interpolates between its order statistics (type 7 of Hyndman and Fan).
func quantile(x []float64, q float64) float64 {
	sort.Float64s(x)
	at := q * float64(len(x)-1)
	i := int(at)
	if i+1 >= len(x) {
		return x[len(x)-1]
	}
	return x[i] + (at-float64(i))*(x[i+1]-x[i])
}

func mean(x []float64) float64 {
	if len(x) == 0 {
		return math.NaN()
	}
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// minus returns a-b, prompt by prompt.
func minus(a, b []float64) []float64 {
	d := make([]float64, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return d
}

// Wins counts prompts on which one run's figure is above, equal to and below another's.
type Wins struct {
	Win, Tie, Loss int
	Rate           float64 // ties count half
}

func wins(a, b []float64) Wins {
	var w Wins
	for i := range a {
		switch {
		case a[i] > b[i]:
			w.Win++
		case a[i] < b[i]:
			w.Loss++
		default:
			w.Tie++
		}
	}
	if n := len(a); n > 0 {
		w.Rate = (float64(w.Win) + float64(w.Tie)/2) / float64(n)
	}
	return w
}

// bestOfKL bounds the KL of best-of-n from the policy it samples, in nats: log n - (n-1)/n. It is exact where no two
// answers tie and none is drawn twice, an upper bound otherwise (Beirami et al. 2024, arXiv:2401.01879).
func bestOfKL(n int) float64 { return math.Log(float64(n)) - float64(n-1)/float64(n) }
