package ppo

import "math"

// KL returns the estimate of KL(policy || reference) for one sampled token from its two
// log-probabilities: k1 = lp - ref, k3 = e^(ref-lp) - 1 - (ref-lp). Schulman 2020, "Approximating
// KL divergence".
func KL(estimator string, lp, ref float64) float64 {
	if estimator == "k3" {
		return math.Expm1(ref-lp) - (ref - lp)
	}
	return lp - ref
}

// Rewards returns the reward of each of n buffer positions, given the log-probabilities (L) of a
// response's tokens under policy and reference: -klCoef * KL, and the score. It also returns the
// KL estimates (L).
//
// Ours has n = L and adds the score at the last token. TRL's buffer has one position more where
// it fits (n = L+1) and adds the score there, which with gamma 1 damps it by lambda.
func Rewards(estimator string, klCoef float64, logprobs, ref []float64, score float64, n int) (rewards, kl []float64) {
	rewards = make([]float64, n)
	kl = make([]float64, len(logprobs))
	for t, lp := range logprobs {
		kl[t] = KL(estimator, lp, ref[t])
		rewards[t] = -klCoef * kl[t]
	}
	rewards[n-1] += score
	return rewards, kl
}

// GAE returns generalised advantage estimates and the returns A + V of one response, from its
// rewards and values (n); the value after the last position is 0. Schulman et al. 2016,
// equation 16.
func GAE(rewards, values []float64, gamma, lambda float64) (advantages, returns []float64) {
	n := len(rewards)
	advantages = make([]float64, n)
	returns = make([]float64, n)
	last, next := 0.0, 0.0
	for t := n - 1; t >= 0; t-- {
		last = rewards[t] + gamma*next - values[t] + gamma*lambda*last
		next = values[t]
		advantages[t] = last
		returns[t] = last + values[t]
	}
	return advantages, returns
}

// Whiten scales the first lens[i] elements of each row to variance 1, and to mean 0 unless
// keepMean, in place: (x - mean) / sqrt(var + 1e-8), with the variance's divisor N-1. A single
// element has no variance and is only shifted.
func Whiten(rows [][]float64, lens []int, keepMean bool) {
	count, sum := 0, 0.0
	for i, row := range rows {
		for _, x := range row[:lens[i]] {
			sum += x
		}
		count += lens[i]
	}
	if count == 0 {
		return
	}
	mean, squares := sum/float64(count), 0.0
	for i, row := range rows {
		for _, x := range row[:lens[i]] {
			squares += (x - mean) * (x - mean)
		}
	}
	scale := 1.0
	if count > 1 {
		scale = 1 / math.Sqrt(squares/float64(count-1)+1e-8)
	}
	for i, row := range rows {
		for t := range row[:lens[i]] {
			row[t] = (row[t] - mean) * scale
			if keepMean {
				row[t] += mean
			}
		}
	}
}

// maxKLError bounds the relative error that AdaptKL sees.
const maxKLError = 0.2

// AdaptKL returns the next KL coefficient of the adaptive controller after n episodes whose mean
// KL to the reference was kl: coef * (1 + clip(kl/target - 1, -0.2, 0.2) * n/horizon).
// Ziegler et al. 2019, section 2.2.
func AdaptKL(coef, kl, target, horizon float64, n int) float64 {
	err := min(max(kl/target-1, -maxKLError), maxKLError)
	return coef * (1 + err*float64(n)/horizon)
}
