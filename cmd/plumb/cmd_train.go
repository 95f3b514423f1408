package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"plumb/configs"
	"plumb/internal/run"
)

type trainOptions struct {
	Kind     string
	File     string
	Sets     []string
	Out      string
	MaxSteps int
	JSON     bool
}

// trainCommands are the stages that run by themselves: one file says what one stage of an experiment would say.
func trainCommands() []*cli.Command {
	var list []*cli.Command
	for _, t := range []struct{ kind, usage, text, example string }{
		{"sft", "imitate demonstrations: an adapter, all weights, or a new model",
			"Trains on the answers of demonstrations (or the chosen sides of pairs). mode: lora makes an adapter, full and scratch a model folder.",
			"plumb sft sft.yaml --set model=SmolLM2-135M-Instruct.gguf --set data=demos.jsonl --out runs/sft"},
		{"reward", "train a reward model on pairs, score texts, evaluate it",
			"Trains an adapter with a score head, so that chosen answers score above rejected ones.",
			"plumb reward reward.yaml --set model=SmolLM2-135M-Instruct.gguf --set data=pairs.arrow --out runs/reward"},
		{"dpo", "align a policy by direct preference optimisation",
			"Trains an adapter on pairs against the frozen base, or against the adapter it starts from.",
			"plumb dpo dpo.yaml --set beta=0.05 --out runs/dpo"},
		{"ppo", "align a policy by proximal policy optimisation",
			"Samples answers, scores them as text with a reward model (of any family), and trains an adapter and a critic.",
			"plumb ppo ppo.yaml --set reward=runs/reward --set kl_coef=0.02 --out runs/ppo"},
	} {
		c := trainCommand(t.kind, t.usage, t.text, t.example)
		if t.kind == "reward" {
			c.Subcommands = rewardSubcommands()
		}
		list = append(list, c)
	}
	return list
}

func trainCommand(kind, usage, text, example string) *cli.Command {
	o := trainOptions{Kind: kind}
	return &cli.Command{
		Name: kind, Usage: usage, ArgsUsage: "CONFIG.yaml",
		Description: describe(text+"\nCONFIG.yaml has the keys of one stage; plumb config defaults "+kind+" prints them. The config.yaml of a run\n"+
			"directory is such a file. A run that was interrupted continues from its last checkpoint.", example),
		Flags: []cli.Flag{
			setFlag(),
			&cli.StringFlag{Name: "out", Usage: "run `DIR`ectory; default runs/" + kind, Destination: &o.Out},
			&cli.IntFlag{Name: "max-steps", Usage: "at most `N` optimiser steps", Destination: &o.MaxSteps},
			jsonFlag(&o.JSON),
		},
		Action: func(c *cli.Context) error {
			if c.Args().Len() != 1 {
				return run.Usage(fmt.Errorf("%s: want one configuration file, got %d arguments", kind, c.Args().Len()))
			}
			o.File, o.Sets = c.Args().First(), c.StringSlice("set")
			return runTrain(c.Context, o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

// loadStage plans a stage that stands alone.
func loadStage(o trainOptions) (*plan, error) {
	src, err := readConfig(o.File)
	if err != nil {
		return nil, err
	}
	node, err := configs.Parse(o.File, src, o.Sets)
	if err != nil {
		return nil, err
	}
	out := o.Out
	if out == "" {
		out = filepath.Join("runs", o.Kind)
	}
	x := &experiment{Name: o.Kind, Seed: 42, Compute: "auto", Out: filepath.Dir(out)}
	faults := &configs.Faults{}
	p := &plan{name: filepath.Base(out), kind: o.Kind, dir: out, body: kinds[o.Kind](x), makes: map[string]string{}, x: x}
	if err := node.Decode(p.body, "kind"); err != nil {
		faults.Add(o.File, err)
	}
	if k := node.Get("kind"); k != nil && k.Text() != o.Kind {
		faults.Add(o.File, k.Fault("this is a %s stage: use plumb %s", k.Text(), k.Text()))
	}
	if s, ok := p.body.(stepper); ok && o.MaxSteps > 0 {
		s.limitSteps(o.MaxSteps)
	}
	for _, err := range p.body.plan(p) {
		faults.Add(o.File, locate(node, err))
	}
	return p, faults.Err()
}

func runTrain(ctx context.Context, o trainOptions, stdout, stderr io.Writer) error {
	if o.MaxSteps < 0 {
		return run.Usage(fmt.Errorf("--max-steps %d: want 1 or more", o.MaxSteps))
	}
	p, err := loadStage(o)
	if err != nil {
		return err
	}
	pl := newPipeline(stderr)
	defer pl.models.Close()
	rep, err := pl.runStage(ctx, p)
	var exit *run.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.Code == run.CodeFindings) {
		return err
	}
	if o.JSON {
		return errors.Join(err, printJSON(stdout, rep))
	}
	var made []string
	for _, path := range p.makes {
		made = append(made, path)
	}
	_, perr := fmt.Fprintln(stdout, strings.Join(uniqueSorted(made), "\n"))
	return errors.Join(err, perr)
}
