// Package adapters owns LoRA adapters as values: their initialisation, the files of PEFT in and out,
// and merging into a base. A forward pass takes an adapter; nothing is injected into a model.
//
// The package is given the shapes of the layers that can be adapted and never sees a model.
package adapters

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
)

// Config is what shapes an adapter. The zero value is not usable: start from Defaults.
type Config struct {
	R            int                `yaml:"r" json:"r"`
	Alpha        float64            `yaml:"alpha" json:"alpha"`
	Dropout      float64            `yaml:"dropout" json:"dropout"`
	RSLoRA       bool               `yaml:"use_rslora" json:"use_rslora"`
	Targets      []string           `yaml:"target_modules" json:"target_modules"`
	RankPattern  map[string]int     `yaml:"rank_pattern,omitempty" json:"rank_pattern,omitempty"`
	AlphaPattern map[string]float64 `yaml:"alpha_pattern,omitempty" json:"alpha_pattern,omitempty"`
}

// AllLinear names every linear layer but the language model's head, as PEFT does.
const AllLinear = "all-linear"

// Defaults returns rank 8, alpha 16 on all linear layers.
func Defaults() Config {
	return Config{R: 8, Alpha: 16, Targets: []string{AllLinear}}
}

// Fault is a wrong value of one key.
type Fault struct{ Key, Value, Want string }

func (f Fault) Error() string { return fmt.Sprintf("%s: %s: want %s", f.Key, f.Value, f.Want) }

// FaultKey names the key, for a loader that knows its line.
func (f Fault) FaultKey() string { return f.Key }

// Validate lists everything that is wrong.
func (c Config) Validate() (faults []error) {
	bad := func(key string, v any, want string) {
		faults = append(faults, Fault{key, fmt.Sprint(v), want})
	}
	if c.R < 1 {
		bad("r", c.R, "a rank of at least 1")
	}
	if !(c.Alpha > 0) || math.IsInf(c.Alpha, 0) {
		bad("alpha", c.Alpha, "a number above 0")
	}
	if !(c.Dropout >= 0 && c.Dropout < 1) {
		bad("dropout", c.Dropout, "a probability in [0, 1)")
	}
	if len(c.Targets) == 0 {
		bad("target_modules", "[]", `module names, or "all-linear"`)
	}
	for _, k := range slices.Sorted(maps.Keys(c.RankPattern)) {
		if c.RankPattern[k] < 1 {
			bad("rank_pattern", fmt.Sprintf("%s: %d", k, c.RankPattern[k]), "a rank of at least 1")
		}
		if _, err := pattern(k); err != nil {
			bad("rank_pattern", k, "a module name or regular expression: "+err.Error())
		}
	}
	for _, k := range slices.Sorted(maps.Keys(c.AlphaPattern)) {
		if v := c.AlphaPattern[k]; !(v > 0) || math.IsInf(v, 0) {
			bad("alpha_pattern", fmt.Sprintf("%s: %g", k, v), "a number above 0")
		}
		if _, err := pattern(k); err != nil {
			bad("alpha_pattern", k, "a module name or regular expression: "+err.Error())
		}
	}
	return faults
}

// pattern compiles a key of a rank or alpha pattern: PEFT lets it match the end of a module's path.
func pattern(key string) (*regexp.Regexp, error) {
	return regexp.Compile(`^(?:.*\.)?(?:` + key + `)$`)
}

// lookup returns the value of the first pattern, in sorted order, that matches path.
func lookup[V any](patterns map[string]V, path string, otherwise V) V {
	for _, k := range slices.Sorted(maps.Keys(patterns)) {
		if re, err := pattern(k); err == nil && re.MatchString(path) {
			return patterns[k]
		}
	}
	return otherwise
}

// targets reports whether the configuration adapts the layer at path.
func (c Config) targets(path string) bool {
	for _, t := range c.Targets {
		if t == AllLinear || t == path || strings.HasSuffix(path, "."+t) {
			return true
		}
	}
	return false
}
