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
		parts := t.parts(pairs, indices)
		outs := make([]passed, len(parts))
		t.cfg.Passes(len(parts), func(i int, _ *ops.Turn) {
			if ctx.Err() != nil {
				return
			}
			p, o := parts[i], &outs[i]
			o.vals = make([]Pair, len(p.indices))
			o.fresh = t.references(p, pairs, o.vals)
			p.fill(o.vals, p.logProbs(nil, t.base, t.policy, &o.stats), pairs, t.cfg.LDAlpha)
		})
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var seen tally
		for i := range outs {
			t.cache.add(outs[i].fresh)
			seen.add(parts[i], outs[i].vals, &outs[i].stats)
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
