package model

import (
	"math"
	"math/rand/v2"
	"slices"

	"plumb/internal/kernels"
	"plumb/internal/ops"
)

// picker chooses a token from scaled logits.
type picker struct {
	greedy bool
	topP   float64
	topK   int
	chunks []float64 // log Σ exp of each chunk of the vocabulary
	p      []float32
	order  []int32
}

// token draws a token and returns its log-probability, NaN when the logits are not finite.
func (k *picker) token(logits []float32, rng *rand.Rand) (token int32, logProb float32) {
	var lse float64
	lse, k.chunks = ops.LogSumExpChunks(logits, k.chunks[:0])
	switch {
	case math.IsNaN(lse) || math.IsInf(lse, 0):
		return 0, float32(math.NaN())
	case k.greedy:
		token = int32(slices.Index(logits, kernels.Max(logits)))
	case k.topK == 0 && (k.topP == 0 || k.topP == 1):
		token = k.any(logits, lse, rng.Float64())
	default:
		n := k.likely(logits, lse)
		token = k.order[k.invert(rng.Float64(), n)]
	}
	return token, ops.LogProb(logits[token], lse)
}

// any draws from the whole vocabulary: first a chunk of it in proportion to its sum, then a token of that.
func (k *picker) any(logits []float32, lse, u float64) int32 {
	total := 0.0
	for _, c := range k.chunks {
		total += math.Exp(c - lse)
	}
	left, chunk := u*total, -1
	for i, c := range k.chunks {
		m := math.Exp(c - lse)
		if m > 0 {
			chunk = i
		}
		if left < m {
			left /= m
			break
		}
		if left -= m; i == len(k.chunks)-1 { // rounding left u at the very end: the last possible token
			left = 1
		}
	}
	lo := chunk * ops.VocabChunk
	k.probabilities(logits[lo:min(lo+ops.VocabChunk, len(logits))], k.chunks[chunk])
	return int32(lo + k.invert(left, len(k.p)))
}

// probabilities sets p from scaled logits and log Σ exp of them.
func (k *picker) probabilities(logits []float32, lse float64) {
	k.p = append(k.p[:0], logits...)
	for i := range k.p {
		k.p[i] -= float32(lse)
	}
	kernels.Exp(k.p, k.p)
}

// allMass is a distance below the likeliest beyond which tokens have no mass that float32 shows, even all together.
const allMass = 40

// likely sets order and p to the likely tokens, the likeliest first, ties by id, and returns how many of them topK and topP keep. It looks
// at those within some distance of the likeliest, and farther if they do not suffice.
func (k *picker) likely(logits []float32, lse float64) (n int) {
	top := kernels.Max(logits)
	for _, within := range []float32{6, 12, allMass, float32(math.Inf(1))} {
		k.within(logits, top-within)
		n = len(k.order)
		if k.topK > 0 && n < min(k.topK, len(logits)) {
			continue
		}
		sorted := make([]float32, len(k.order))
		for i, id := range k.order {
			sorted[i] = logits[id]
		}
		k.probabilities(sorted, lse)
		if k.topK > 0 {
			// Transformers keeps all that are as likely as the last of the K.
			for n = min(n, k.topK); n < len(sorted) && sorted[n] == sorted[n-1]; {
				n++
			}
		}
		if k.topP == 0 || k.topP == 1 {
			return n
		}
		kept := 1.0
		if k.topK > 0 || within >= allMass {
			kept = sum(k.p[:n])
		}
		var mass float64
		for i, p := range k.p[:n] {
			if mass += float64(p); mass >= k.topP*kept {
				return i + 1
			}
		}
		if k.topK > 0 {
			return n
		}
	}
	return n
}

// within sets order to the tokens whose logit is at least least, the likeliest first, ties by id.
func (k *picker) within(logits []float32, least float32) {
	k.order = k.order[:0]
	for i, c := range k.chunks {
		if c < float64(least)-1e-3-1e-6*math.Abs(float64(least)) { // no logit is more than its chunk's log Σ exp, up to rounding
			continue
		}
		lo := i * ops.VocabChunk
		for j, l := range logits[lo:min(lo+ops.VocabChunk, len(logits))] {
			if l >= least {
				k.order = append(k.order, int32(lo+j))
			}
		}
	}
	slices.SortFunc(k.order, func(a, b int32) int {
		switch {
		case logits[a] > logits[b]:
			return -1
		case logits[a] < logits[b]:
			return 1
		}
		return int(a - b)
	})
}

func sum(p []float32) (s float64) {
	for _, v := range p {
		s += float64(v)
	}
	return s
}

// invert draws one of the first n of p, in proportion to it, by inverting the cumulative distribution at u.
func (k *picker) invert(u float64, n int) int {
	total, mass := sum(k.p[:n]), 0.0
	for i, p := range k.p[:n] {
		if mass += float64(p); mass > u*total {
			return i
		}
	}
	for i := n - 1; i > 0; i-- { // rounding left u at the very end: the last possible one
		if k.p[i] > 0 {
			return i
		}
	}
	return 0
}
