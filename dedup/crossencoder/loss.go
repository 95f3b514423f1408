package crossencoder

import (
	"math"
	"slices"

	"plumb/internal/train"
)

// Loss is the mean binary cross-entropy of logits (n) with labels (n), and its gradient, both divided by total, the pairs
// of the whole batch: -y log s(z) - (1-y) log s(-z); d/dz = s(z) - y.
func Loss(logits []float64, same []bool, total int) (loss float64, grad []float64) {
	grad = make([]float64, len(logits))
	for i, z := range logits {
		p := train.Sigmoid(z)
		if same[i] {
			loss -= train.LogSigmoid(z)
			grad[i] = (p - 1) / float64(total)
		} else {
			loss -= train.LogSigmoid(-z)
			grad[i] = p / float64(total)
		}
	}
	return loss / float64(total), grad
}

// Report measures a verifier on labelled pairs.
type Report struct {
	Pairs     int     `json:"pairs"`
	Loss      float64 `json:"loss"`
	Accuracy  float64 `json:"accuracy"`  // at probability 0.5
	Precision float64 `json:"precision"` // of "the same", at 0.5
	Recall    float64 `json:"recall"`
	AUC       float64 `json:"auc"` // probability that a pair that is the same scores above one that is not
}

// Measure computes a report from logits.
func Measure(logits []float64, same []bool) Report {
	r := Report{Pairs: len(logits)}
	r.Loss, _ = Loss(logits, same, max(len(logits), 1))
	var right, said, hit, positive int
	for i, z := range logits {
		yes := z >= 0
		if yes == same[i] {
			right++
		}
		if yes {
			said++
		}
		if same[i] {
			positive++
			if yes {
				hit++
			}
		}
	}
	share := func(a, b int) float64 { return float64(a) / float64(max(b, 1)) }
	r.Accuracy, r.Precision, r.Recall = share(right, len(logits)), share(hit, said), share(hit, positive)
	r.AUC = auc(logits, same)
	return r
}

// auc counts ties as half; 0.5 when a class is absent.
func auc(logits []float64, same []bool) float64 {
	order := make([]int, len(logits))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case logits[a] < logits[b]:
			return -1
		case logits[a] > logits[b]:
			return 1
		}
		return 0
	})
	var wins, positives, negatives float64
	for lo := 0; lo < len(order); {
		hi := lo
		var p, n float64
		for hi < len(order) && logits[order[hi]] == logits[order[lo]] {
			if same[order[hi]] {
				p++
			} else {
				n++
			}
			hi++
		}
		wins += p * (negatives + n/2)
		positives, negatives = positives+p, negatives+n
		lo = hi
	}
	if positives == 0 || negatives == 0 {
		return 0.5
	}
	return math.Min(wins/(positives*negatives), 1)
}
