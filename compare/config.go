package compare

import (
	"fmt"

	"plumb/internal/run"
)

// Config says how runs are compared. Every run answers the same prompts.
type Config struct {
	Seed         uint64  `yaml:"seed"`
	Prompts      int     `yaml:"prompts"`        // the first so many are used; 0: all
	Samples      int     `yaml:"samples"`        // answers to a prompt from each run; figures are means over them
	MaxNewTokens int     `yaml:"max_new_tokens"` // of an answer
	Temperature  float64 `yaml:"temperature"`    // of the answers; 0 is greedy. KL is always taken at 1
	BestOf       int     `yaml:"best_of"`        // base samples from which the reward model picks; 1: no such run
	BatchSize    int     `yaml:"batch_size"`     // sequences computed at once; changes no figure
	Resamples    int     `yaml:"resamples"`      // of the bootstrap
	Examples     int     `yaml:"examples"`       // prompts whose answers the page shows
	Base         string  `yaml:"base_name"`      // what the page calls the base
}

// Defaults suit a few hundred prompts and a small model.
func Defaults() Config {
	return Config{Samples: 1, MaxNewTokens: 128, Temperature: 1, BestOf: 8, BatchSize: 128, Resamples: 2000, Examples: 12, Base: "base"}
}

// Validate returns every fault at once.
func (c Config) Validate() []error {
	var faults []error
	check := func(ok bool, key string, v any, want string) {
		if !ok {
			faults = append(faults, &run.Fault{Key: key, Value: fmt.Sprint(v), Want: want})
		}
	}
	check(c.Prompts >= 0, "prompts", c.Prompts, "0 (all) or more")
	check(c.Samples >= 1, "samples", c.Samples, "at least 1")
	check(c.MaxNewTokens >= 1, "max_new_tokens", c.MaxNewTokens, "at least 1")
	check(c.Temperature >= 0 && c.Temperature <= 100, "temperature", c.Temperature, "0 to 100")
	check(c.BestOf >= 1, "best_of", c.BestOf, "at least 1")
	check(c.BatchSize >= 1, "batch_size", c.BatchSize, "at least 1")
	check(c.Resamples >= 100, "resamples", c.Resamples, "at least 100: an interval needs tails")
	check(c.Examples >= 0, "examples", c.Examples, "0 or more")
	check(c.Base != "", "base_name", c.Base, "a name")
	return faults
}
