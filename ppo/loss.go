package ppo

import "math"

// PolicyStats are sums over the tokens of a PolicyLoss call.
type PolicyStats struct {
	Clipped  float64 // tokens where the clipped branch is the larger loss
	Ratio    float64 // pi/pi_old
	ApproxKL float64 // (log pi - log pi_old)^2 / 2
}

// PolicyLoss returns the clipped surrogate loss summed over tokens and scaled by weight,
//
//	max(-A rho, -A clip(rho, 1-clip, 1+clip)),  rho = exp(logprobs - old)
//
// and its derivative with respect to logprobs. All slices are (L), over one response's tokens;
// weight is one over the number of tokens of the minibatch. Schulman et al. 2017, equation 7.
func PolicyLoss(logprobs, old, advantages []float64, clip, weight float64) (loss float64, grad []float64, stats PolicyStats) {
	grad = make([]float64, len(logprobs))
	for t, lp := range logprobs {
		diff := lp - old[t]
		rho := math.Exp(diff)
		a := advantages[t]
		plain := -a * rho
		clipped := -a * min(max(rho, 1-clip), 1+clip)
		if clipped > plain {
			// The clipped branch is the larger only outside the range, where it is constant.
			loss += clipped * weight
			stats.Clipped++
		} else {
			loss += plain * weight
			grad[t] = plain * weight
		}
		stats.Ratio += rho
		stats.ApproxKL += diff * diff / 2
	}
	return loss, grad, stats
}

// ValueLoss returns the clipped value loss summed over positions and scaled by weight,
//
//	max((V-R)^2, (clip(V, V_old-clip, V_old+clip) - R)^2) / 2
//
// its derivative with respect to values, and how many positions the clipping made worse. All
// slices are (n), over one response's buffer; weight is one over the positions of the minibatch.
func ValueLoss(values, old, returns []float64, clip, weight float64) (loss float64, grad []float64, clippedCount float64) {
	grad = make([]float64, len(values))
	for t, v := range values {
		clipped := min(max(v, old[t]-clip), old[t]+clip)
		d, dc := v-returns[t], clipped-returns[t]
		if dc*dc > d*d {
			loss += 0.5 * dc * dc * weight
			clippedCount++
		} else {
			loss += 0.5 * d * d * weight
			grad[t] = d * weight
		}
	}
	return loss, grad, clippedCount
}
