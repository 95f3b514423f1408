package train

import (
	"fmt"
	"math"

	"plumb/internal/run"
)

// Options are what every trainer has in common; each trainer's Config holds them inline. The
// names and defaults are those of transformers and TRL where they have the same thing.
type Options struct {
	LearningRate     float64 `yaml:"learning_rate"`
	Epochs           float64 `yaml:"epochs"`
	MaxSteps         int     `yaml:"max_steps"`            // optimiser steps; 0: as many as Epochs make
	StepLimit        int     `yaml:"step_limit,omitempty"` // at most so many optimiser steps, whatever Epochs or MaxSteps say; 0: no limit
	BatchSize        int     `yaml:"batch_size"`           // examples a batch
	GradAccumulation int     `yaml:"grad_accumulation"`    // batches an optimiser step
	MicroBatchTokens int     `yaml:"micro_batch_tokens"`   // rows in memory at once, in passes (batch.PassRows) side by side; a longer example goes alone
	// GradientCheckpointing keeps each block's input only and computes the rest again in the backward pass: a third more
	// time for a fraction of the memory, and the same floats.
	GradientCheckpointing bool    `yaml:"gradient_checkpointing"`
	LRScheduler           string  `yaml:"lr_scheduler"` // linear, cosine or constant
	WarmupSteps           int     `yaml:"warmup_steps"`
	WarmupRatio           float64 `yaml:"warmup_ratio"` // share of all steps, where WarmupSteps is 0
	WeightDecay           float64 `yaml:"weight_decay"`
	AdamBeta1             float64 `yaml:"adam_beta1"`
	AdamBeta2             float64 `yaml:"adam_beta2"`
	AdamEps               float64 `yaml:"adam_eps"`
	MaxGradNorm           float64 `yaml:"max_grad_norm"` // 0: no clipping
	LoggingSteps          int     `yaml:"logging_steps"`
	EvalSteps             int     `yaml:"eval_steps"`       // 0: evaluate at the end only
	SaveSteps             int     `yaml:"save_steps"`       // 0: checkpoint at the end only
	SaveTotalLimit        int     `yaml:"save_total_limit"` // checkpoints kept; 0: all
	Seed                  uint64  `yaml:"seed"`
	Shuffle               bool    `yaml:"shuffle"`
}

// Defaults returns the peers' defaults with the learning rate of a trainer.
func Defaults(learningRate float64) Options {
	return Options{
		LearningRate: learningRate, Epochs: 3, BatchSize: 8, GradAccumulation: 1, MicroBatchTokens: 512,
		LRScheduler: "linear", AdamBeta1: 0.9, AdamBeta2: 0.999, AdamEps: 1e-8, MaxGradNorm: 1,
		LoggingSteps: 10, SaveSteps: 100, SaveTotalLimit: 2, Seed: 42, Shuffle: true,
	}
}

// most is the largest number of epochs, of examples in a batch and of batches in a step: products of them with examples stay integers.
const most = 1 << 20

// Validate returns every fault of the options, none when they are good.
func (o Options) Validate() []error {
	var faults []error
	check := func(ok bool, key string, value any, want string) {
		if !ok {
			faults = append(faults, &run.Fault{Key: key, Value: fmt.Sprint(value), Want: want})
		}
	}
	check(o.LearningRate >= 0 && Finite(o.LearningRate), "learning_rate", o.LearningRate, "a number of at least 0")
	check(o.Epochs <= most && (o.Epochs > 0 || o.Epochs == 0 && o.MaxSteps > 0), "epochs", o.Epochs, fmt.Sprintf("a number above 0 and at most %d", most))
	check(o.MaxSteps >= 0, "max_steps", o.MaxSteps, "0 (by epochs) or a number of steps")
	check(o.StepLimit >= 0, "step_limit", o.StepLimit, "0 (no limit) or a number of steps")
	check(o.BatchSize >= 1 && o.BatchSize <= most, "batch_size", o.BatchSize, fmt.Sprintf("a number from 1 to %d", most))
	check(o.GradAccumulation >= 1 && o.GradAccumulation <= most, "grad_accumulation", o.GradAccumulation, fmt.Sprintf("a number from 1 to %d", most))
	check(o.MicroBatchTokens >= 1, "micro_batch_tokens", o.MicroBatchTokens, "at least 1")
	switch o.LRScheduler {
	case "linear", "cosine", "constant":
	default:
		check(false, "lr_scheduler", fmt.Sprintf("%q", o.LRScheduler), "linear, cosine or constant")
	}
	check(o.WarmupSteps >= 0, "warmup_steps", o.WarmupSteps, "at least 0")
	check(o.WarmupRatio >= 0 && o.WarmupRatio < 1, "warmup_ratio", o.WarmupRatio, "at least 0 and below 1")
	check(o.WeightDecay >= 0 && Finite(o.WeightDecay), "weight_decay", o.WeightDecay, "a number of at least 0")
	check(o.AdamBeta1 >= 0 && o.AdamBeta1 < 1, "adam_beta1", o.AdamBeta1, "at least 0 and below 1")
	check(o.AdamBeta2 >= 0 && o.AdamBeta2 < 1, "adam_beta2", o.AdamBeta2, "at least 0 and below 1")
	check(o.AdamEps > 0 && Finite(o.AdamEps), "adam_eps", o.AdamEps, "a number above 0")
	check(o.MaxGradNorm >= 0 && Finite(o.MaxGradNorm), "max_grad_norm", o.MaxGradNorm, "0 (off) or a number above 0")
	check(o.LoggingSteps >= 1, "logging_steps", o.LoggingSteps, "at least 1")
	check(o.EvalSteps >= 0, "eval_steps", o.EvalSteps, "at least 0")
	check(o.SaveSteps >= 0, "save_steps", o.SaveSteps, "at least 0")
	check(o.SaveTotalLimit >= 0, "save_total_limit", o.SaveTotalLimit, "at least 0")
	return faults
}

// LR returns the learning rate of step (0-based) of total, warmed up linearly from 0. Linear
// decay is lr (N-k)/(N-w), cosine lr (1 + cos(pi (k-w)/(N-w)))/2, as in transformers.
func (o Options) LR(step, total int) float64 {
	warmup := o.WarmupSteps
	if warmup == 0 {
		warmup = int(math.Ceil(o.WarmupRatio * float64(total)))
	}
	if step < warmup {
		return o.LearningRate * float64(step) / float64(max(warmup, 1))
	}
	switch o.LRScheduler {
	case "linear":
		return o.LearningRate * max(0, float64(total-step)/float64(max(total-warmup, 1)))
	case "cosine":
		progress := float64(step-warmup) / float64(max(total-warmup, 1))
		return o.LearningRate * max(0, (1+math.Cos(math.Pi*progress))/2)
	}
	return o.LearningRate
}

// Steps returns the optimiser steps of one epoch over n examples and of the whole training.
func (o Options) Steps(n int) (perEpoch, total int) {
	batches := (n + o.BatchSize - 1) / o.BatchSize
	perEpoch = max((batches+o.GradAccumulation-1)/o.GradAccumulation, 1)
	total = o.MaxSteps
	if total == 0 {
		total = int(math.Ceil(o.Epochs * float64(perEpoch)))
	}
	return perEpoch, o.Limited(total)
}

// Limited returns total, or StepLimit where that is less.
func (o Options) Limited(total int) int {
	if o.StepLimit > 0 {
		return min(total, o.StepLimit)
	}
	return total
}

// LimitSteps makes StepLimit at most n.
func (o *Options) LimitSteps(n int) { o.StepLimit = o.Limited(n) }

// Order returns the order in which an epoch visits n examples: as they are, or shuffled by a
// stream that depends on (seed, epoch) only.
func (o Options) Order(n, epoch int) []int {
	if o.Shuffle {
		return run.Rand(o.Seed, "shuffle", uint64(epoch)).Perm(n)
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	return order
}
