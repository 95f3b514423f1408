package ppo

import (
	"fmt"
	"math"
	"strings"
	"time"

	"plumb/adapters"
	"plumb/internal/run"
	"plumb/internal/train"
)

// Config is a PPO training. Names and defaults are those of TRL's PPOConfig where it has them; an
// update has batch_size * grad_accumulation episodes.
type Config struct {
	train.Options     `yaml:",inline"`
	TotalEpisodes     int             `yaml:"total_episodes"` // 0: epochs times the prompts
	NumPPOEpochs      int             `yaml:"num_ppo_epochs"`
	NumMiniBatches    int             `yaml:"num_mini_batches"`  // optimiser steps an epoch of an update
	MaxPromptLength   int             `yaml:"max_prompt_length"` // tokens; a longer prompt is dropped
	ResponseLength    int             `yaml:"response_length"`   // most tokens of a response
	Temperature       float64         `yaml:"temperature"`
	StopToken         string          `yaml:"stop_token"` // eos (the tokenizer's and the model's) or none
	MissingEOSPenalty float64         `yaml:"missing_eos_penalty"`
	KLCoef            float64         `yaml:"kl_coef"`
	KLEstimator       string          `yaml:"kl_estimator"` // k1 or k3
	KLTarget          float64         `yaml:"kl_target"`    // above 0: kl_coef adapts towards this KL an episode
	KLHorizon         float64         `yaml:"kl_horizon"`   // episodes of the adaptation
	ClipRange         float64         `yaml:"cliprange"`
	ClipRangeValue    float64         `yaml:"cliprange_value"`
	VFCoef            float64         `yaml:"vf_coef"`
	Gamma             float64         `yaml:"gamma"`
	Lam               float64         `yaml:"lam"`
	WhitenRewards     bool            `yaml:"whiten_rewards"`
	ValueLearningRate float64         `yaml:"value_learning_rate"`      // 0: learning_rate
	ValueHeadInitStd  float64         `yaml:"value_head_init_std"`      // 0: values start at 0
	RewardCommand     []string        `yaml:"reward_command"`           // a program that scores, see CommandScorer
	RewardURL         string          `yaml:"reward_url"`               // a service that scores, see HTTPScorer
	RewardTimeout     float64         `yaml:"reward_timeout,omitempty"` // seconds that the program, or an attempt to ask the service, may take for each answer; 0: 60
	Compat            string          `yaml:"compat"`                   // trl: also its quirks, see docs/NUMERICS.md
	Lora              adapters.Config `yaml:"lora"`                     // of policy and critic, where they are not continued
}

// Defaults returns TRL's defaults with the LoRA shape of adapters.Defaults; unlike TRL a response ends at
// the stop token by default, and every update is logged.
func Defaults() Config {
	opt := train.Defaults(3e-6)
	opt.Epochs, opt.LoggingSteps, opt.SaveSteps = 1, 1, 10
	return Config{
		Options: opt, NumPPOEpochs: 4, NumMiniBatches: 1, MaxPromptLength: 512, ResponseLength: 53, Temperature: 0.7,
		StopToken: "eos", KLCoef: 0.05, KLEstimator: "k1", KLHorizon: 10000, ClipRange: 0.2, ClipRangeValue: 0.2,
		VFCoef: 0.1, Gamma: 1, Lam: 0.95, Lora: adapters.Defaults(),
	}
}

// External returns the scorer that the configuration itself names, nil when it names none.
func (c Config) External() Scorer {
	timeout := time.Duration(c.RewardTimeout * float64(time.Second))
	if timeout == 0 {
		timeout = time.Minute
	}
	switch {
	case len(c.RewardCommand) > 0:
		return CommandScorer{Args: c.RewardCommand, Timeout: timeout}
	case c.RewardURL != "":
		return HTTPScorer{URL: c.RewardURL, Timeout: timeout}
	}
	return nil
}

// Episodes is the number of episodes of an update.
func (c Config) Episodes() int { return c.BatchSize * c.GradAccumulation }

// Updates is the number of updates over n prompts.
func (c Config) Updates(n int) int {
	if c.MaxSteps > 0 {
		return c.Limited(c.MaxSteps)
	}
	total := c.TotalEpisodes
	if total == 0 {
		total = int(math.Ceil(c.Epochs * float64(n)))
	}
	return c.Limited(max((total+c.Episodes()-1)/c.Episodes(), 1))
}

// Validate returns every fault of the configuration's own keys; options and lora report theirs.
func (c Config) Validate() []error {
	faults := c.Options.Validate()
	check := func(ok bool, key string, value any, want string) {
		if !ok {
			faults = append(faults, &run.Fault{Key: key, Value: fmt.Sprint(value), Want: want})
		}
	}
	positive := func(x float64) bool { return x > 0 && train.Finite(x) }
	notNegative := func(x float64) bool { return x >= 0 && train.Finite(x) }
	check(c.TotalEpisodes >= 0, "total_episodes", c.TotalEpisodes, "0 (by epochs) or a number of episodes")
	check(c.NumPPOEpochs >= 1, "num_ppo_epochs", c.NumPPOEpochs, "at least 1")
	check(c.NumMiniBatches >= 1 && c.Episodes()%max(c.NumMiniBatches, 1) == 0, "num_mini_batches", c.NumMiniBatches,
		fmt.Sprintf("a divisor of batch_size * grad_accumulation = %d", c.Episodes()))
	check(c.MaxPromptLength >= 1, "max_prompt_length", c.MaxPromptLength, "at least 1")
	check(c.ResponseLength >= 1, "response_length", c.ResponseLength, "at least 1")
	check(positive(c.Temperature), "temperature", c.Temperature, "a number above 0")
	check(c.StopToken == "eos" || c.StopToken == "none", "stop_token", fmt.Sprintf("%q", c.StopToken), "eos or none")
	check(notNegative(c.MissingEOSPenalty), "missing_eos_penalty", c.MissingEOSPenalty, "at least 0: it is subtracted")
	check(notNegative(c.KLCoef), "kl_coef", c.KLCoef, "at least 0")
	check(c.KLEstimator == "k1" || c.KLEstimator == "k3", "kl_estimator", fmt.Sprintf("%q", c.KLEstimator), "k1 or k3")
	check(notNegative(c.KLTarget), "kl_target", c.KLTarget, "0 (a fixed coefficient) or a number above 0")
	check(c.KLTarget == 0 || c.KLCoef > 0, "kl_coef", c.KLCoef, "above 0 to be adapted")
	check(positive(c.KLHorizon), "kl_horizon", c.KLHorizon, "a number above 0")
	check(c.KLTarget == 0 || c.KLHorizon > maxKLError*float64(c.Episodes()), "kl_horizon", c.KLHorizon,
		fmt.Sprintf("more than %g of an update's %d episodes: below that kl_coef may turn negative", maxKLError, c.Episodes()))
	check(positive(c.ClipRange), "cliprange", c.ClipRange, "a number above 0")
	check(positive(c.ClipRangeValue), "cliprange_value", c.ClipRangeValue, "a number above 0")
	check(notNegative(c.VFCoef), "vf_coef", c.VFCoef, "at least 0")
	check(c.Gamma >= 0 && c.Gamma <= 1, "gamma", c.Gamma, "a number from 0 to 1")
	check(c.Lam >= 0 && c.Lam <= 1, "lam", c.Lam, "a number from 0 to 1")
	check(!c.WhitenRewards || c.Episodes()/max(c.NumMiniBatches, 1) >= 8, "whiten_rewards", c.WhitenRewards, "false, or at least 8 episodes a minibatch")
	check(notNegative(c.ValueLearningRate), "value_learning_rate", c.ValueLearningRate, "0 (learning_rate) or a number above 0")
	check(notNegative(c.ValueHeadInitStd), "value_head_init_std", c.ValueHeadInitStd, "at least 0")
	check(len(c.RewardCommand) == 0 || c.RewardURL == "", "reward_url", c.RewardURL, "nothing, where there is a reward_command")
	check(c.RewardURL == "" || strings.HasPrefix(c.RewardURL, "http://") || strings.HasPrefix(c.RewardURL, "https://"), "reward_url", c.RewardURL, "an http or https address")
	check(notNegative(c.RewardTimeout) && c.RewardTimeout <= 1e5, "reward_timeout", c.RewardTimeout, "0 (60) or a number of seconds of at most 100000")
	if c.Compat == "trl" && c.NumMiniBatches >= 1 && c.BatchSize >= 1 && c.GradAccumulation >= 1 {
		// Gradients that wait for the next update are in no checkpoint.
		mini := c.Episodes() / c.NumMiniBatches
		group := max(1, min(mini, c.BatchSize))
		groups := c.NumMiniBatches * ((mini + group - 1) / group) * c.NumPPOEpochs
		check(groups%c.GradAccumulation == 0, "num_mini_batches", c.NumMiniBatches,
			fmt.Sprintf("in compat trl, such that an update's %d batches are a multiple of grad_accumulation = %d", groups, c.GradAccumulation))
	}
	check(c.Compat == "" || c.Compat == "trl", "compat", fmt.Sprintf("%q", c.Compat), "trl or nothing")
	return faults
}
