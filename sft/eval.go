package sft

import (
	"context"

	"plumb/internal/encode"
	"plumb/internal/ops"
)

// evaluate returns the mean negative log-likelihood over all predicted labels of the held-out examples, and
// the metrics of training.
func (t *trainer) evaluate(ctx context.Context, items []encode.Example) (map[string]float64, error) {
	all := make([]int, len(items))
	labels := 0
	for i, x := range items {
		all[i] = i
		labels += len(x.Tokens) - max(x.From, 1)
	}
	loss := 0.0
	var y tally
	for _, p := range t.parts(items, all) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var stats ops.TokenStats
		lp := t.model.Score(nil, p.tree, t.adapter, p.targets, 1, &stats)
		l, _ := Loss(ops.Widen(ops.F32(lp)), labels)
		loss += l
		y.add(&stats)
		ops.Release(nil, lp)
	}
	m := y.metrics()
	m["loss"] = loss
	return m, nil
}
