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
}

// Defaults returns what trains MiniLM to tell copies from look-alikes.
func Defaults() Config {
	c := Config{Options: train.Defaults(5e-4), HeadInitStd: 0.02, Lora: adapters.Defaults(), Pairs: 6000, EvalPairs: 1000}
	c.BatchSize, c.Epochs = 32, 1
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
	check(c.EvalPairs >= 0, "eval_pairs", c.EvalPairs, "at least 0")
	return faults
}
