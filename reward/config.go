package reward

import (
	"fmt"

	"plumb/adapters"
	"plumb/internal/run"
	"plumb/internal/train"
)

// Config is a reward training. Names and defaults are those of TRL's RewardConfig.
type Config struct {
	train.Options            `yaml:",inline"`
	MaxLength                int             `yaml:"max_length"` // tokens of a side; a pair over it is dropped
	CenterRewardsCoefficient float64         `yaml:"center_rewards_coefficient"`
	HeadInitStd              float64         `yaml:"head_init_std"` // of the score head's first weights
	Lora                     adapters.Config `yaml:"lora"`          // of an adapter that is continued its dropout alone
}

// Defaults returns TRL's defaults with the LoRA shape of adapters.Defaults.
func Defaults() Config {
	return Config{Options: train.Defaults(1e-4), MaxLength: 1024, HeadInitStd: 0.02, Lora: adapters.Defaults()}
}

// Validate returns every fault of the configuration's own keys; options and lora report theirs.
func (c Config) Validate() []error {
	faults := c.Options.Validate()
	if c.MaxLength < 1 {
		faults = append(faults, &run.Fault{Key: "max_length", Value: fmt.Sprint(c.MaxLength), Want: "at least 1"})
	}
	if !(c.CenterRewardsCoefficient >= 0) || !train.Finite(c.CenterRewardsCoefficient) {
		faults = append(faults, &run.Fault{Key: "center_rewards_coefficient", Value: fmt.Sprint(c.CenterRewardsCoefficient), Want: "0 (off) or a number above 0"})
	}
	if !(c.HeadInitStd >= 0) || !train.Finite(c.HeadInitStd) {
		faults = append(faults, &run.Fault{Key: "head_init_std", Value: fmt.Sprint(c.HeadInitStd), Want: "at least 0"})
	}
	return faults
}
