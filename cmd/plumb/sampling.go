package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"plumb/adapters"
	"plumb/internal/model"
	"plumb/internal/run"
)

// sampling is what generate and chat share: a model, adapters on it, and how to draw.
type sampling struct {
	Model       string
	Adapters    []string
	Compute     string
	MaxNew      int
	Temperature float64
	TopP        float64
	TopK        int
	Seed        uint64
}

func (s *sampling) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "model", Aliases: []string{"m"}, Usage: "`MODEL`: folder, .gguf file or hub name", Destination: &s.Model},
		&cli.StringSliceFlag{Name: "adapter", Aliases: []string{"a"}, Usage: "adapter `DIR` on that model (repeatable)"},
		&cli.StringFlag{Name: "compute", Usage: "auto, f32, bf16 or int16; auto is int16 for a quantised model, which suits few answers at once (f32 without AVX2)", Value: "auto", Destination: &s.Compute},
		&cli.IntFlag{Name: "max-new", Usage: "at most `N` new tokens", Value: 128, Destination: &s.MaxNew},
		&cli.Float64Flag{Name: "temperature", Usage: "0 is greedy", Value: 0.7, Destination: &s.Temperature},
		&cli.Float64Flag{Name: "top-p", Usage: "keep the likeliest tokens up to this mass; 0: all", Destination: &s.TopP},
		&cli.IntFlag{Name: "top-k", Usage: "keep the `N` likeliest tokens; 0: all", Destination: &s.TopK},
		&cli.Uint64Flag{Name: "seed", Usage: "`N`umber that all draws depend on", Value: 42, Destination: &s.Seed},
	}
}

func (s *sampling) validate() error {
	errs := []error{needFlags("model", s.Model)}
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(slices.Contains(computes, s.Compute), "--compute %s: want one of %s", s.Compute, strings.Join(computes, ", "))
	check(s.MaxNew >= 1, "--max-new %d: want 1 or more", s.MaxNew)
	check(s.Temperature >= 0, "--temperature %g: want 0 or more", s.Temperature)
	check(s.TopP >= 0 && s.TopP <= 1, "--top-p %g: want 0 to 1", s.TopP)
	check(s.TopK >= 0, "--top-k %d: want 0 or more", s.TopK)
	return run.Usage(errors.Join(errs...))
}

func (s *sampling) options(b *model.Bundle) model.GenOptions {
	return model.GenOptions{
		MaxNew: s.MaxNew, Temperature: s.Temperature, TopP: s.TopP, TopK: s.TopK, Stop: b.Tokenizer.StopIDs(), Seed: s.Seed,
	}
}

// policy is a base with one adapter, or with none.
type policy struct {
	Name    string
	Adapter *adapters.Adapter
}

// open opens the model once, and every adapter on it; without adapters the base itself is the only policy.
func (s *sampling) open() (*model.Bundle, []policy, error) {
	path, err := findModel(s.Model)
	if err != nil {
		return nil, nil, err
	}
	tightenHeap()
	opt := optionsOf(s.Compute)
	opt.FewRows = true
	b, err := model.Open(path, opt)
	if err != nil {
		return nil, nil, err
	}
	if len(s.Adapters) == 0 {
		return b, []policy{{Name: "base"}}, nil
	}
	var list []policy
	for _, dir := range s.Adapters {
		a, err := adapters.Load(adapterDir(dir), b.Model.Linears())
		if err != nil {
			return nil, nil, err
		}
		list = append(list, policy{dir, a})
	}
	return b, list, nil
}
