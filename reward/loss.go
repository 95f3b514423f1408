package reward

import (
	"math"

	"plumb/internal/train"
)

// Loss returns the share of n pairs in the mean Bradley-Terry loss with margin and centering,
//
//	-log s(r_c - r_r - margin) + center (r_c + r_r)^2,   divided by n
//
// summed over the pairs given, and its derivatives with respect to each reward. chosen and
// rejected are (P), margin is (P) or nil for none. n is the number of pairs that the mean runs
// over, which is more than P where a batch is computed in parts.
//
// Christiano et al. 2017 (loss), Touvron et al. 2023 (margin), Eisenstein et al. 2023 (centering).
func Loss(chosen, rejected, margin []float64, center float64, n int) (loss float64, dChosen, dRejected []float64) {
	dChosen = make([]float64, len(chosen))
	dRejected = make([]float64, len(chosen))
	inv := 1 / float64(n)
	for i, c := range chosen {
		r := rejected[i]
		x := c - r
		if margin != nil {
			x -= margin[i]
		}
		sum := c + r
		loss += (-train.LogSigmoid(x) + center*sum*sum) * inv
		g := -train.Sigmoid(-x)
		dChosen[i] = (g + 2*center*sum) * inv
		dRejected[i] = (-g + 2*center*sum) * inv
	}
	return loss, dChosen, dRejected
}

// Metrics returns TRL's reward metrics of one batch: min_reward, mean_reward and max_reward over
// both sides, accuracy (chosen strictly above rejected) and margin (mean of r_c - r_r, without
// the margin of the data). chosen and rejected are (P).
func Metrics(chosen, rejected []float64) map[string]float64 {
	lo, hi := math.Inf(1), math.Inf(-1)
	var sum, correct, margin float64
	for i, c := range chosen {
		r := rejected[i]
		lo = min(lo, c, r)
		hi = max(hi, c, r)
		sum += c + r
		margin += c - r
		if c > r {
			correct++
		}
	}
	n := float64(len(chosen))
	return map[string]float64{
		"min_reward":  lo,
		"mean_reward": sum / (2 * n),
		"max_reward":  hi,
		"accuracy":    correct / n,
		"margin":      margin / n,
	}
}
