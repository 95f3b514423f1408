package dpo

import (
	"context"

	"plumb/internal/encode"
	"plumb/internal/ops"
)

// evaluate returns loss and metrics over held-out pairs in batches of BatchSize; each batch counts
// by its pairs.
func (t *trainer) evaluate(ctx context.Context, pairs []encode.Pair) (map[string]float64, error) {
	total := map[string]float64{}
	for first := 0; first < len(pairs); first += t.cfg.BatchSize {
		var indices []int
		for i := first; i < min(first+t.cfg.BatchSize, len(pairs)); i++ {
			indices = append(indices, i)
		}
		var seen tally
		parts := t.parts(pairs, indices)
		for _, p := range parts {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			vals := make([]Pair, len(p.indices))
			t.references(p, pairs, vals)
			var stats ops.TokenStats
			p.fill(vals, p.logProbs(t.base, t.policy, &stats), pairs, t.cfg.LDAlpha)
			seen.add(p, vals, &stats)
		}
		loss, _ := t.objective.Loss(seen.pairs, totals(parts))
		metrics := seen.metrics(t.cfg.Beta)
		metrics["loss"] = loss
		for name, v := range metrics {
			total[name] += v * float64(len(indices)) / float64(len(pairs))
		}
	}
	if t.cache != nil {
		if err := t.cache.flush(); err != nil {
			return nil, err
		}
	}
	return total, nil
}
