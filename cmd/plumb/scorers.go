package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"plumb/compare"
	"plumb/reward"
)

// scorer is a reward over text. Trainers and compare declare their own interface with their own example type; the adapters
// below join them to it.
type scorer interface {
	Score(ctx context.Context, examples []reward.Example) ([]float64, error)
}

// forCompare is a scorer as compare wants it.
type forCompare struct{ scorer }

func (s forCompare) Score(ctx context.Context, answers []compare.Answer) ([]float64, error) {
	examples := make([]reward.Example, len(answers))
	for i, a := range answers {
		examples[i] = reward.Example{Prompt: a.Prompt, Answer: a.Answer}
	}
	return s.scorer.Score(ctx, examples)
}

// openReward opens a reward model: the adapter with its head, over the given base or the one that its file names.
func (c *modelCache) openReward(dir, base, compute string, maxLength int) (*reward.Model, error) {
	dir = adapterDir(dir)
	if base == "" {
		var err error
		if base, err = baseOf(dir); err != nil {
			return nil, err
		}
	}
	b, err := c.Open(base, compute, false)
	if err != nil {
		return nil, err
	}
	return reward.Load(b, dir, maxLength)
}

// baseOf is the base model that an adapter's file names.
func baseOf(dir string) (string, error) {
	path := filepath.Join(dir, "adapter_config.json")
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var c struct {
		Base string `json:"base_model_name_or_path"`
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if c.Base == "" {
		return "", fmt.Errorf("%s names no base model: give one with --base", path)
	}
	found, err := findModel(c.Base)
	if err != nil {
		return "", errors.Join(fmt.Errorf("%s names the base %s: give another with --base", path, c.Base), err)
	}
	return found, nil
}
