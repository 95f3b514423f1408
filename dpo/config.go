package dpo

import (
	"fmt"
	"slices"
	"strings"

	"plumb/adapters"
	"plumb/internal/run"
	"plumb/internal/train"
)

// Config is a DPO training. Names and defaults are those of TRL's DPOConfig where it has them.
type Config struct {
	train.Options        `yaml:",inline"`
	MaxLength            int             `yaml:"max_length"` // tokens of prompt and completion; the end is cut
	Beta                 float64         `yaml:"beta"`
	LossType             []string        `yaml:"loss_type"` // any of LossTypes; several are summed
	LossWeights          []float64       `yaml:"loss_weights"`
	LabelSmoothing       float64         `yaml:"label_smoothing"` // of robust, cdpo, exo_pair, aot, aot_unpaired, simpo, cpo
	DiscoPOPTau          float64         `yaml:"discopop_tau"`
	SimPOGamma           float64         `yaml:"simpo_gamma"`
	FDivergenceType      string          `yaml:"f_divergence_type"`
	FAlphaDivergenceCoef float64         `yaml:"f_alpha_divergence_coef"`
	LDAlpha              float64         `yaml:"ld_alpha"`       // weight of a completion's tokens past the other's length; 1: all alike
	ReferenceFree        bool            `yaml:"reference_free"` // take every reference log-probability as 0
	Lora                 adapters.Config `yaml:"lora"`           // of an adapter that is continued its dropout alone
}

// Defaults returns TRL's defaults with the LoRA shape of adapters.Defaults.
func Defaults() Config {
	return Config{
		Options: train.Defaults(1e-6), MaxLength: 1024, Beta: 0.1, LossType: []string{"sigmoid"}, DiscoPOPTau: 0.05,
		SimPOGamma: 0.5, FDivergenceType: "reverse_kl", FAlphaDivergenceCoef: 0.5, LDAlpha: 1, Lora: adapters.Defaults(),
	}
}

// smoothing names the losses that LabelSmoothing changes.
var smoothing = []string{"robust", "cdpo", "exo_pair", "aot", "aot_unpaired", "simpo", "cpo"}

// Validate returns every fault of the configuration's own keys; options and lora report theirs.
func (c Config) Validate() []error {
	faults := c.Options.Validate()
	check := func(ok bool, key string, value any, want string) {
		if !ok {
			faults = append(faults, &run.Fault{Key: key, Value: fmt.Sprint(value), Want: want})
		}
	}
	check(c.MaxLength >= 2, "max_length", c.MaxLength, "at least 2")
	check(c.Beta > 0 && train.Finite(c.Beta), "beta", c.Beta, "a number above 0")
	check(len(c.LossType) > 0, "loss_type", "nothing", "at least one loss")
	known := LossTypes()
	for _, name := range c.LossType {
		check(slices.Contains(known, name), "loss_type", fmt.Sprintf("%q", name), "one of "+strings.Join(known, ", "))
	}
	has := func(name string) bool { return slices.Contains(c.LossType, name) }
	check(train.Finite(c.LossWeights...), "loss_weights", c.LossWeights, "numbers")
	check(len(c.LossWeights) == 0 || len(c.LossWeights) == len(c.LossType), "loss_weights", c.LossWeights, "one weight for each loss_type")
	check(c.LabelSmoothing >= 0 && c.LabelSmoothing < 1, "label_smoothing", c.LabelSmoothing, "at least 0 and below 1")
	check(c.LabelSmoothing == 0 || slices.ContainsFunc(c.LossType, func(name string) bool { return slices.Contains(smoothing, name) }), "label_smoothing", c.LabelSmoothing,
		"0, for no loss_type here has any: it is of "+strings.Join(smoothing, ", ")+"; a smoothed sigmoid is cdpo")
	check(!has("robust") || c.LabelSmoothing < 0.5, "label_smoothing", c.LabelSmoothing, "below 0.5 for robust")
	check(!has("exo_pair") || c.LabelSmoothing > 0, "label_smoothing", c.LabelSmoothing, "above 0 for exo_pair (its paper recommends 0.001)")
	check(c.DiscoPOPTau > 0 && train.Finite(c.DiscoPOPTau), "discopop_tau", c.DiscoPOPTau, "a number above 0")
	check(train.Finite(c.SimPOGamma), "simpo_gamma", c.SimPOGamma, "a number")
	check(train.Finite(c.FAlphaDivergenceCoef), "f_alpha_divergence_coef", c.FAlphaDivergenceCoef, "a number")
	check(c.LDAlpha >= 0 && c.LDAlpha <= 1, "ld_alpha", c.LDAlpha, "a number from 0 to 1")
	switch c.FDivergenceType {
	case "reverse_kl":
	case "forward_kl", "js_divergence", "alpha_divergence":
		for _, name := range c.LossType {
			check(divergent[name], "f_divergence_type", fmt.Sprintf("%s with %s", c.FDivergenceType, name), "reverse_kl: this loss does not depend on a difference of scores")
		}
	default:
		check(false, "f_divergence_type", fmt.Sprintf("%q", c.FDivergenceType), "reverse_kl, forward_kl, js_divergence or alpha_divergence")
	}
	return faults
}

// objective returns the loss that the configuration describes.
func (c Config) objective() Objective {
	return Objective{
		Types: c.LossType, Weights: c.LossWeights, Beta: c.Beta, LabelSmoothing: c.LabelSmoothing, DiscoPOPTau: c.DiscoPOPTau,
		SimPOGamma: c.SimPOGamma, Divergence: c.FDivergenceType, AlphaDivergence: c.FAlphaDivergenceCoef,
	}
}

// needsReference tells whether any loss reads reference log-probabilities.
func (c Config) needsReference() bool {
	return !c.ReferenceFree && slices.ContainsFunc(c.LossType, func(name string) bool { return !referenceFree[name] })
}
