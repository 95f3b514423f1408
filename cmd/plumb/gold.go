package main

import (
	"context"

	"plumb/datasets/synth/gold"
	"plumb/reward"
)

// This file alone may call the known reward of synthetic data: compare reports it, and one control trains on it. It is never
// used for tuning or for choosing a checkpoint; internal/rules holds that.

// goldScore is the known reward of an answer.
func goldScore(prompt, answer string) float64 { return gold.Score(prompt, answer) }

// goldReward is the control "PPO on gold itself": it stands where a reward model stands.
type goldReward struct{}

// Score returns the known reward of each example.
func (goldReward) Score(_ context.Context, examples []reward.Example) ([]float64, error) {
	out := make([]float64, len(examples))
	for i, x := range examples {
		if n := len(x.Prompt); n > 0 {
			out[i] = gold.Score(x.Prompt[n-1].Content, x.Answer)
		}
	}
	return out, nil
}
