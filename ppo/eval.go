package ppo

import (
	"context"

	"plumb/internal/ops"
)

// evalKey parts the random streams of evaluation from those of training.
const evalKey = 1 << 63

// evaluate samples one response to each held-out prompt and returns mean score, KL to the
// reference by the configured estimator (summed over a response), entropy estimate and length.
// The same prompts are answered from the same random streams every time. update is how many have been done.
func (t *trainer) evaluate(ctx context.Context, prompts []prompt, update int) (map[string]float64, error) {
	episodes := make([]*episode, len(prompts))
	for i, p := range prompts {
		episodes[i] = &episode{record: p.record, prompt: p.tokens, key: evalKey + uint64(i)}
	}
	if err := t.sample(ctx, episodes); err != nil {
		return nil, err
	}
	if err := t.scoreOnce(ctx, update, true, episodes); err != nil {
		return nil, err
	}
	m := map[string]float64{"objective/scores": 0, "objective/kl": 0, "objective/entropy": 0, "objective/response_length": 0, "objective/ended": 0}
	n := float64(len(episodes))
	for _, e := range episodes {
		e.n = len(e.tokens)
	}
	passes := parts(episodes, t.cfg.MicroBatchTokens)
	refs := make([][]float64, len(passes))
	t.cfg.Passes(len(passes), func(i int, _ *ops.Turn) {
		if ctx.Err() == nil {
			refs[i] = passes[i].logProbs(t.base, t.reference, t.cfg.Temperature)
		}
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for at, p := range passes {
		ref := refs[at]
		for i, e := range p.episodes {
			for k, lp := range e.logprobs {
				m["objective/kl"] += KL(t.cfg.KLEstimator, lp, ref[p.spans[i].target+k]) / n
				m["objective/entropy"] -= lp / n
			}
			m["objective/scores"] += e.score / n
			m["objective/response_length"] += float64(len(e.tokens)) / n
			if e.stopped {
				m["objective/ended"] += 1 / n
			}
		}
	}
	return m, nil
}
