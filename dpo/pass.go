package dpo

import (
	"plumb/adapters"
	"plumb/internal/batch"
	"plumb/internal/encode"
	"plumb/internal/model"
	"plumb/internal/ops"
)

// part is some pairs of a batch as one prefix tree.
type part struct {
	indices []int // of the pairs
	tree    *batch.Tree
	targets []batch.Target
	spans   []span // one a pair
}

// span is where a pair's targets are, and the weight of each side's tokens.
type span struct {
	chosen, rejected, end int // targets[chosen:rejected], targets[rejected:end]
	shared                int // tokens before the shorter completion ends
}

func newPart(pairs []encode.Pair, indices []int) *part {
	p := &part{indices: indices, tree: &batch.Tree{}}
	for _, i := range indices {
		s := span{chosen: len(p.targets)}
		c, r := encode.AddPair(p.tree, pairs[i], uint64(i))
		p.targets = append(p.targets, c...)
		s.rejected = len(p.targets)
		p.targets = append(p.targets, r...)
		s.end, s.shared = len(p.targets), min(len(c), len(r))
		p.spans = append(p.spans, s)
	}
	return p
}

// sum adds token log-probabilities in float64, those from shared on times alpha.
func sum(lp []float32, shared int, alpha float64) float64 {
	var head, tail float64
	for t, x := range lp {
		if t < shared || alpha == 1 {
			head += float64(x)
		} else {
			tail += float64(x)
		}
	}
	return head + alpha*tail
}

// logProbs returns the log-probabilities of the part's targets, under the dropout of a tape where there is one, and keeps nothing for a gradient.
func (p *part) logProbs(tape *ops.Tape, m *model.Model, a *adapters.Adapter, stats *ops.TokenStats) []float32 {
	lp := m.Score(tape, p.tree, a, p.targets, 1, stats)
	out := append([]float32(nil), ops.F32(lp)...)
	if tape != nil {
		tape.Run() // without a seed: no gradient, and the memory is given back
		return out
	}
	ops.Release(nil, lp)
	return out
}

// fill sets the policy's side of Pairs from token log-probabilities.
func (p *part) fill(out []Pair, lp []float32, pairs []encode.Pair, alpha float64) {
	for k, i := range p.indices {
		s := p.spans[k]
		out[k].Chosen = sum(lp[s.chosen:s.rejected], s.shared, alpha)
		out[k].Rejected = sum(lp[s.rejected:s.end], s.shared, alpha)
		out[k].ChosenRaw = sum(lp[s.chosen:s.rejected], 0, 1)
		out[k].ChosenTokens, out[k].RejectedTokens = len(pairs[i].Chosen), len(pairs[i].Rejected)
		out[k].ChosenScored = s.rejected - s.chosen
	}
}

// seed spreads the gradients of the pairs over their tokens, times share.
func (p *part) seed(grads []Grad, alpha, share float64) []float32 {
	out := make([]float32, len(p.targets))
	for k, g := range grads {
		s := p.spans[k]
		for t := s.chosen; t < s.end; t++ {
			d, at := g.Chosen, t-s.chosen
			if t >= s.rejected {
				d, at = g.Rejected, t-s.rejected
			}
			if at >= s.shared {
				d *= alpha
			}
			if t < s.rejected {
				d += g.ChosenRaw
			}
			out[t] = float32(d * share)
		}
	}
	return out
}

// tally collects what TRL logs about a batch.
type tally struct {
	pairs                                          []Pair
	entropy, chosenLogits, rejectedLogits, correct float64
	chosenTokens, rejectedTokens                   float64
}

func (y *tally) add(p *part, pairs []Pair, stats *ops.TokenStats) {
	y.pairs = append(y.pairs, pairs...)
	for _, s := range p.spans {
		for t := s.chosen; t < s.end; t++ {
			y.entropy += float64(stats.Entropy[t])
			if t >= s.rejected {
				y.rejectedLogits += float64(stats.MeanLogit[t])
				continue
			}
			y.chosenLogits += float64(stats.MeanLogit[t])
			if stats.Correct[t] {
				y.correct++
			}
		}
		y.chosenTokens += float64(s.rejected - s.chosen)
		y.rejectedTokens += float64(s.end - s.rejected)
	}
}

// metrics returns TRL's metrics of the batch: rewards are beta times the log ratios, logps their
// sums, logits and entropy means over completion tokens, mean_token_accuracy over chosen ones.
func (y *tally) metrics(beta float64) map[string]float64 {
	m := map[string]float64{
		"entropy":             y.entropy / (y.chosenTokens + y.rejectedTokens),
		"logits/chosen":       y.chosenLogits / y.chosenTokens,
		"logits/rejected":     y.rejectedLogits / y.rejectedTokens,
		"mean_token_accuracy": y.correct / y.chosenTokens,
	}
	n := float64(len(y.pairs))
	for _, p := range y.pairs {
		c, r := beta*(p.Chosen-p.RefChosen), beta*(p.Rejected-p.RefRejected)
		m["rewards/chosen"] += c / n
		m["rewards/rejected"] += r / n
		m["rewards/margins"] += (c - r) / n
		if c > r {
			m["rewards/accuracies"] += 1 / n
		} else {
			m["rewards/accuracies"] += 0
		}
		m["logps/chosen"] += p.Chosen / n
		m["logps/rejected"] += p.Rejected / n
	}
	return m
}
