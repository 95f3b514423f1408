// Package crossencoder trains and opens cross-encoders that confirm what dedup proposes: an encoder reads both texts
// together, a LoRA adapter and a head on its first token say how probable it is that they say the same.
//
// It owns the loss, the loop and the files of such a verifier. It must not know how pairs are proposed or planted: it is
// given labelled pairs.
package crossencoder

import (
	"fmt"

	"plumb/adapters"
	"plumb/internal/run"
	"plumb/internal/train"
)

// Config is the training of a verifier.
type Config struct {
	train.Options `yaml:",inline"`
	HeadInitStd   float64         `yaml:"head_init_std"` // of the head's first weights
	Lora          adapters.Config `yaml:"lora"`
	Pairs         int             `yaml:"pairs"` // planted where the user has none
	EvalPairs     int             `yaml:"eval_pairs"`
	Small         SmallModel      `yaml:"new_model"` // of an encoder trained from nothing
}

// Defaults returns what trains MiniLM to tell copies from look-alikes.
func Defaults() Config {
	c := Config{Options: train.Defaults(5e-4), HeadInitStd: 0.02, Lora: adapters.Defaults(), Pairs: 6000, EvalPairs: 1000, Small: smallModel}
	c.BatchSize, c.Epochs = 32, 1
	return c
}

// SmallSentences is how long the texts are, at most, from which pairs for a small encoder are planted.
const SmallSentences = 3

var smallModel = SmallModel{Hidden: 96, Layers: 3, Heads: 4, Intermediate: 192, MaxPositions: 512}

// SmallDefaults returns what trains a small encoder from nothing.
func SmallDefaults() Config {
	c := Defaults()
	c.LearningRate, c.LRScheduler, c.WarmupRatio, c.AdamBeta2 = 1e-3, "cosine", 0.05, 0.98
	c.Pairs, c.BatchSize, c.MicroBatchTokens, c.LoggingSteps, c.SaveSteps = 10000, 32, 4096, 50, 0
	return c
}

// Validate returns every fault of the configuration's own keys; options and lora report theirs.
func (c Config) Validate() []error {
	faults := c.Options.Validate()
	check := func(ok bool, key string, value any, want string) {
		if !ok {
			faults = append(faults, &run.Fault{Key: key, Value: fmt.Sprint(value), Want: want})
		}
	}
	check(c.HeadInitStd >= 0, "head_init_std", c.HeadInitStd, "at least 0")
	check(c.Pairs >= 2, "pairs", c.Pairs, "at least 2")
	check(c.Small.Hidden >= 48 && c.Small.Hidden%12 == 0, "new_model.hidden", c.Small.Hidden, "a multiple of 12 from 48 on")
	check(c.Small.Layers >= 1, "new_model.layers", c.Small.Layers, "at least 1")
	check(c.Small.Heads >= 1 && c.Small.Hidden%max(c.Small.Heads, 1) == 0 && c.Small.Hidden/max(c.Small.Heads, 1) >= 12, "new_model.heads", c.Small.Heads,
		"a divisor of new_model.hidden that leaves 12 numbers or more to each head")
	check(c.Small.Intermediate >= 1, "new_model.intermediate", c.Small.Intermediate, "at least 1")
	check(c.Small.MaxPositions >= 64, "new_model.max_positions", c.Small.MaxPositions, "at least 64")
	check(c.EvalPairs >= 0, "eval_pairs", c.EvalPairs, "at least 0")
	return faults
}
