package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"plumb/configs"
	"plumb/internal/run"
)

type runOptions struct {
	File     string
	Sets     []string
	Out      string
	Only     string
	MaxSteps int
	DryRun   bool
	JSON     bool
}

func runCommand() *cli.Command {
	var o runOptions
	return &cli.Command{
		Name: "run", Usage: "run all stages of an experiment", ArgsUsage: "EXPERIMENT.yaml",
		Description: describe("Runs the stages of an experiment in the order of its file. A stage that is done (equal configuration and equal\n"+
			"inputs) is skipped, an interrupted one resumes from its last checkpoint. A name without a folder is also looked for\n"+
			"among the experiments that come with Plumb.",
			"plumb run configs/quickstart.yaml",
			"plumb run configs/quickstart.yaml --set dpo.beta=0.2 --out runs/beta",
			"plumb run configs/hh-smollm2.yaml --max-steps 10 --dry-run"),
		Flags: []cli.Flag{
			setFlag(),
			&cli.StringFlag{Name: "out", Usage: "run `DIR`ectory instead of the file's", Destination: &o.Out},
			&cli.StringFlag{Name: "only", Usage: "run this `STAGE` alone, on what earlier ones left", Destination: &o.Only},
			&cli.IntFlag{Name: "max-steps", Usage: "at most `N` optimiser steps in every training stage", Destination: &o.MaxSteps},
			&cli.BoolFlag{Name: "dry-run", Usage: "say what would run, and why", Destination: &o.DryRun},
			jsonFlag(&o.JSON),
		},
		Action: func(c *cli.Context) error {
			if c.Args().Len() != 1 {
				return run.Usage(fmt.Errorf("run: want one experiment file, got %d arguments", c.Args().Len()))
			}
			o.File, o.Sets = c.Args().First(), c.StringSlice("set")
			return runRun(c.Context, o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

// readConfig reads a configuration file, or one of those in the binary when there is no such file.
func readConfig(path string) ([]byte, error) {
	src, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return src, err
	}
	if dir, base := filepath.Split(path); dir == "" || filepath.Clean(dir) == "configs" {
		if src, err := configs.FS.ReadFile(base); err == nil {
			return src, nil
		}
		if src, err := configs.FS.ReadFile(base + ".yaml"); err == nil {
			return src, nil
		}
	}
	return nil, run.Usage(err)
}

// stageSets lets an override begin with a stage: dpo.beta is stages.dpo.beta.
func stageSets(sets []string) []string {
	top := []string{"name", "seed", "out", "model", "compute", "stages"}
	list := make([]string, len(sets))
next:
	for i, s := range sets {
		list[i] = s
		key, _, _ := strings.Cut(s, "=")
		first, _, dotted := strings.Cut(key, ".")
		if !dotted {
			continue
		}
		for _, t := range top {
			if first == t {
				continue next
			}
		}
		list[i] = "stages." + s
	}
	return list
}

type runReport struct {
	Name   string        `json:"name"`
	Out    string        `json:"out"`
	Stages []stageReport `json:"stages"`
}

func runRun(ctx context.Context, o runOptions, stdout, stderr io.Writer) error {
	src, err := readConfig(o.File)
	if err != nil {
		return err
	}
	if o.MaxSteps < 0 {
		return run.Usage(fmt.Errorf("--max-steps %d: want 1 or more", o.MaxSteps))
	}
	x, err := loadExperiment(o.File, src, stageSets(o.Sets), o.Out, o.MaxSteps)
	if err != nil {
		return err
	}
	plans := x.plans
	if o.Only != "" {
		plans = nil
		var names []string
		for _, p := range x.plans {
			names = append(names, p.name)
			if p.name == o.Only {
				plans = append(plans, p)
			}
		}
		if plans == nil {
			return run.Usage(fmt.Errorf("--only %s: the stages are %s", o.Only, strings.Join(names, ", ")))
		}
	}
	pl := newPipeline(stderr)
	defer pl.models.Close()
	rep := runReport{Name: x.Name, Out: x.Out}
	var findings []error
	for _, p := range plans {
		if o.DryRun {
			state, err := pl.state(p)
			if err != nil {
				return fmt.Errorf("stage %s: %w", p.name, err)
			}
			rep.Stages = append(rep.Stages, stageReport{Stage: p.name, Kind: p.kind, Dir: p.dir, State: state, Inputs: p.inputs})
			continue
		}
		s, err := pl.runStage(ctx, p)
		rep.Stages = append(rep.Stages, s)
		var exit *run.ExitError
		if errors.As(err, &exit) && exit.Code == run.CodeFindings {
			findings = append(findings, fmt.Errorf("stage %s: %w", p.name, err))
		} else if err != nil {
			return errors.Join(err, printRun(stdout, rep, o.JSON))
		}
	}
	return errors.Join(errors.Join(findings...), printRun(stdout, rep, o.JSON))
}

func printRun(w io.Writer, rep runReport, asJSON bool) error {
	if asJSON {
		return printJSON(w, rep)
	}
	rows := [][]string{{"stage", "kind", "state", "seconds", "reads"}}
	for _, s := range rep.Stages {
		var reads []string
		for _, in := range s.Inputs {
			from := in.Path
			if in.Stage != "" {
				from = in.Stage
			}
			reads = append(reads, in.Role+"="+from)
		}
		seconds := ""
		if s.Seconds > 0 {
			seconds = fmt.Sprintf("%.1f", s.Seconds)
		}
		rows = append(rows, []string{s.Stage, s.Kind, s.State, seconds, strings.Join(reads, " ")})
	}
	return table(w, rows)
}
