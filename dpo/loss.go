package dpo

import (
	"math"
	"slices"

	"plumb/internal/train"
)

// Pair is what a loss sees of one preference pair: log-probabilities summed over completion tokens.
type Pair struct {
	Chosen, Rejected             float64 // log pi(completion | prompt), tail weighted by ld_alpha if set
	RefChosen, RefRejected       float64 // the same under the reference, 0 when there is none
	ChosenTokens, RejectedTokens int     // completion tokens
	ChosenRaw                    float64 // log pi(chosen | prompt) with every token weighted 1
	ChosenScored                 int     // tokens in ChosenRaw: one fewer than ChosenTokens when nothing precedes the first
}

// Grad is the derivative of the loss with respect to the fields of Pair of the same name.
type Grad struct{ Chosen, Rejected, ChosenRaw float64 }

// Batch holds what the means of a batch divide by, so that a batch computed in parts gives the
// same loss as one computed at once.
type Batch struct {
	Pairs        int
	ChosenTokens int // sum of Pair.ChosenScored
}

// Of returns the Batch of pairs that are all there is.
func Of(pairs []Pair) Batch {
	b := Batch{Pairs: len(pairs)}
	for _, p := range pairs {
		b.ChosenTokens += p.ChosenScored
	}
	return b
}

// Objective is a weighted sum of pairwise losses. c and r below are the log ratios of policy and
// reference of chosen and rejected, b is Beta, e is LabelSmoothing, s the logistic function.
type Objective struct {
	Types           []string
	Weights         []float64 // one a type; nil: all 1
	Beta            float64
	LabelSmoothing  float64
	DiscoPOPTau     float64
	SimPOGamma      float64 // target margin of simpo, before division by Beta
	Divergence      string  // reverse_kl (or empty), forward_kl, js_divergence, alpha_divergence
	AlphaDivergence float64 // coefficient of alpha_divergence
}

// coupled losses sort within the batch: they need all its pairs at once.
func (o Objective) coupled() bool {
	return slices.Contains(o.Types, "aot") || slices.Contains(o.Types, "aot_unpaired")
}

// Loss returns the share of pairs in the mean loss of the batch and its gradients, one a pair.
// Formulas are those of lossTypes; each is named after the paper it comes from there.
func (o Objective) Loss(pairs []Pair, in Batch) (float64, []Grad) {
	grads := make([]Grad, len(pairs))
	total := 0.0
	inv := 1 / float64(in.Pairs)
	for t, name := range o.Types {
		w := 1.0
		if len(o.Weights) > 0 {
			w = o.Weights[t]
		}
		switch name {
		case "aot", "aot_unpaired":
			total += o.aot(pairs, grads, name == "aot_unpaired", w*inv)
		case "sft":
			inv := w / float64(max(in.ChosenTokens, 1))
			for i, p := range pairs {
				total -= p.ChosenRaw * inv
				grads[i].ChosenRaw -= inv
			}
		default:
			f := lossTypes[name]
			for i, p := range pairs {
				l, g := f(o, p)
				total += l * w * inv
				grads[i].Chosen += g.Chosen * w * inv
				grads[i].Rejected += g.Rejected * w * inv
			}
		}
	}
	return total, grads
}

// score maps a log ratio to f'(pi/ref) of the f-divergence and returns its derivative.
// Wang et al. 2023, "Beyond Reverse KL".
func (o Objective) score(x float64) (float64, float64) {
	switch o.Divergence {
	case "forward_kl": // f'(t) = 1 - 1/t
		e := math.Exp(-x)
		return 1 - e, e
	case "js_divergence": // f'(t) = log(2t/(t+1))
		return math.Ln2 + train.LogSigmoid(x), train.Sigmoid(-x)
	case "alpha_divergence": // f'(t) = (t^(a-1) - 1)/(a-1)
		a := o.AlphaDivergence - 1
		if math.Abs(a) < 1e-6 {
			return x, 1
		}
		if a*x > 80 { // where the peer clamps too: exp must stay a float32
			return (math.Exp(80) - 1) / a, 0
		}
		e := math.Exp(a * x)
		return (e - 1) / a, e
	}
	return x, 1
}

// delta returns b(score(c) - score(r)) and a function that turns the derivative with respect to
// it into a Grad.
func (o Objective) delta(p Pair) (float64, func(float64) Grad) {
	sc, dc := o.score(p.Chosen - p.RefChosen)
	sr, dr := o.score(p.Rejected - p.RefRejected)
	return o.Beta * (sc - sr), func(g float64) Grad {
		return Grad{Chosen: g * o.Beta * dc, Rejected: -g * o.Beta * dr}
	}
}

// normed is delta without Beta, each score divided by its number of completion tokens.
func (o Objective) normed(p Pair) (float64, func(float64) Grad) {
	sc, dc := o.score(p.Chosen - p.RefChosen)
	sr, dr := o.score(p.Rejected - p.RefRejected)
	nc := float64(max(p.ChosenTokens, 1))
	nr := float64(max(p.RejectedTokens, 1))
	return sc/nc - sr/nr, func(g float64) Grad {
		return Grad{Chosen: g * dc / nc, Rejected: -g * dr / nr}
	}
}

// aot sorts within the batch and compares quantile by quantile: policy log ratios with the
// reference's (paired), or chosen with rejected (unpaired). Melnyk et al. 2024.
func (o Objective) aot(pairs []Pair, grads []Grad, unpaired bool, inv float64) float64 {
	n := len(pairs)
	a, b := make([]float64, n), make([]float64, n)
	ia, ib := make([]int, n), make([]int, n)
	for i, p := range pairs {
		ia[i], ib[i] = i, i
		if unpaired {
			a[i], b[i] = p.Chosen-p.RefChosen, p.Rejected-p.RefRejected
		} else {
			a[i], b[i] = p.Chosen-p.Rejected, p.RefChosen-p.RefRejected
		}
	}
	byValue := func(v []float64) func(x, y int) int {
		return func(x, y int) int {
			switch {
			case v[x] < v[y]:
				return -1
			case v[x] > v[y]:
				return 1
			}
			return x - y
		}
	}
	slices.SortFunc(ia, byValue(a))
	slices.SortFunc(ib, byValue(b))
	total := 0.0
	for q := range ia {
		l, g := smoothed(o.Beta*(a[ia[q]]-b[ib[q]]), o.LabelSmoothing)
		total += l * inv
		g *= o.Beta * inv
		grads[ia[q]].Chosen += g
		if unpaired {
			grads[ib[q]].Rejected -= g
		} else {
			grads[ia[q]].Rejected -= g
		}
	}
	return total
}
