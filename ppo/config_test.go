package ppo

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"plumb/internal/run"
	"plumb/internal/train"
)

func TestValidate(t *testing.T) {
	if f := Defaults().Validate(); len(f) != 0 {
		t.Errorf("defaults: %v", f)
	}
	bad := Config{Options: train.Defaults(1), NumMiniBatches: 3, Temperature: math.NaN(), StopToken: "x", MissingEOSPenalty: -1, KLCoef: -1,
		KLEstimator: "k2", Gamma: 2, Lam: -1, Compat: "openrlhf"}
	var keys []string
	for _, err := range bad.Validate() {
		var f *run.Fault
		if !errors.As(err, &f) {
			t.Fatalf("%v is no Fault", err)
		}
		keys = append(keys, f.Key)
	}
	want := []string{"num_ppo_epochs", "num_mini_batches", "max_prompt_length", "response_length", "temperature", "stop_token", "missing_eos_penalty",
		"kl_coef", "kl_estimator", "kl_horizon", "cliprange", "cliprange_value", "gamma", "lam", "compat"}
	if !slices.Equal(keys, want) {
		t.Errorf("faults %v,\nwant %v", keys, want)
	}
}

// In compat trl an update's batches fill optimiser steps: what waited for the next update would be in no checkpoint.
func TestWholeSteps(t *testing.T) {
	for _, c := range []struct {
		batch, accum, mini, epochs int
		ok                         bool
	}{{2, 3, 2, 2, false}, {2, 3, 2, 3, true}, {4, 2, 1, 1, true}, {4, 4, 2, 4, true}, {1, 4, 2, 1, true}, {3, 4, 2, 1, true}, {4, 3, 6, 1, true}, {3, 2, 3, 1, false}} {
		cfg := Defaults()
		cfg.Compat, cfg.BatchSize, cfg.GradAccumulation, cfg.NumMiniBatches, cfg.NumPPOEpochs = "trl", c.batch, c.accum, c.mini, c.epochs
		if faults := cfg.Validate(); (len(faults) == 0) != c.ok {
			t.Errorf("%+v: %v", c, faults)
		}
	}
}

// A coefficient that is adapted stays above 0.
func TestHorizon(t *testing.T) {
	cfg := Defaults()
	cfg.BatchSize, cfg.KLTarget, cfg.KLHorizon = 100, 6, 20
	if f := cfg.Validate(); len(f) != 1 || !strings.Contains(f[0].Error(), "kl_horizon") {
		t.Error(f)
	}
	if cfg.KLHorizon = 21; len(cfg.Validate()) != 0 || AdaptKL(1, 0, 6, 21, 100) <= 0 || AdaptKL(1, 0, 6, 20, 100) > 0 {
		t.Error(cfg.Validate())
	}
}

func TestUpdates(t *testing.T) {
	cfg := smallConfig() // 16 episodes an update
	cfg.Epochs = 1.5
	limited := cfg
	for limit, want := range map[int]int{3: 3, 100: 4} {
		if limited.StepLimit = limit; limited.Updates(40) != want {
			t.Errorf("%d updates of at most %d", limited.Updates(40), limit)
		}
	}
	if n := cfg.Updates(40); n != 4 {
		t.Errorf("%d updates of 60 episodes", n)
	}
	cfg.TotalEpisodes = 33
	if n := cfg.Updates(40); n != 3 {
		t.Errorf("%d updates of 33 episodes", n)
	}
	trl := cfg
	trl.Compat = "trl"
	tr := &trainer{cfg: trl, prompts: 40}
	for u, last := range []bool{false, true, false, true} { // 40 prompts, 16 an update: 2 and a rest
		if tr.lastOfPass(u) != last {
			t.Errorf("update %d: want the last of a pass: %v", u, last)
		}
	}
	tr = &trainer{cfg: cfg}
	prompts := make([]prompt, 10)
	for i := range prompts {
		prompts[i].tokens = []int32{int32(i)}
	}
	var seen []int32
	for u := range 5 { // 80 episodes: 8 epochs of 10
		for _, e := range tr.episodes(prompts, u) {
			if e.key != uint64(len(seen)) {
				t.Fatalf("key %d, want %d", e.key, len(seen))
			}
			seen = append(seen, e.prompt[0])
		}
	}
	for e := 0; e < 80; e += 10 {
		part := slices.Sorted(slices.Values(seen[e : e+10]))
		if part[0] != 0 || part[9] != 9 || slices.Equal(seen[e:e+10], part) {
			t.Errorf("epoch %d visits %v", e/10, seen[e:e+10])
		}
	}
}
