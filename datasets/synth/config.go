package synth

import (
	"fmt"

	"plumb/internal/run"
)

// Config says how much of the world to draw. Seed and counts determine every byte of it.
type Config struct {
	Seed           uint64  `yaml:"seed"`
	Demonstrations int     `yaml:"demonstrations"` // prompts with one clerk's answer, for sft
	Pairs          int     `yaml:"pairs"`          // prompts with two answers and a noisy label
	HeldOut        int     `yaml:"held_out"`       // pairs of orders that appear nowhere else
	Tau            float64 `yaml:"tau"`            // a label follows gold with probability sigmoid(difference/tau)
	ExactCopies    int     `yaml:"exact_copies"`   // pairs planted a second time, byte for byte
	NearCopies     int     `yaml:"near_copies"`    // pairs planted a second time, altered as people alter text
	ShuffleLabels  bool    `yaml:"shuffle_labels"` // a control: labels by coin, from which nothing can be learned
}

// maxRecords keeps the rule that orders differ in two words satisfiable: see prompts.
const maxRecords = 20000

// Defaults are the quickstart's.
func Defaults() Config {
	return Config{Demonstrations: 12800, Pairs: 5200, HeldOut: 520, Tau: 0.14, ExactCopies: 120, NearCopies: 180}
}

// Validate returns every fault at once.
func (c Config) Validate() []error {
	var faults []error
	count := func(key string, v, low, high int) {
		if v < low || v > high {
			faults = append(faults, &run.Fault{Key: key, Value: fmt.Sprint(v), Want: fmt.Sprintf("%d to %d", low, high)})
		}
	}
	count("demonstrations", c.Demonstrations, 1, 200000)
	count("pairs", c.Pairs, 1, maxRecords)
	count("held_out", c.HeldOut, 1, maxRecords)
	count("exact_copies", c.ExactCopies, 0, c.Pairs)
	count("near_copies", c.NearCopies, 0, c.Pairs)
	if c.ExactCopies+c.NearCopies > c.Pairs {
		faults = append(faults, &run.Fault{Key: "near_copies", Value: fmt.Sprint(c.NearCopies),
			Want: fmt.Sprintf("at most %d with these exact_copies: no pair is copied twice", c.Pairs-c.ExactCopies)})
	}
	if !(c.Tau > 0 && c.Tau <= 10) {
		faults = append(faults, &run.Fault{Key: "tau", Value: fmt.Sprint(c.Tau), Want: "above 0, at most 10"})
	}
	return faults
}
