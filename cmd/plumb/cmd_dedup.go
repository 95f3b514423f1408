package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"plumb/configs"
	"plumb/datasets"
	"plumb/dedup"
	"plumb/internal/run"
)

type dedupOptions struct {
	Files       []string
	Out         string
	Against     []string
	Format      string
	Store       string
	Ledger      string
	Page        string
	Certificate string
	Config      string
	Sets        []string
	Compute     string
	Resume      bool
	Undo        string
	JSON        bool
}

func dedupCommand() *cli.Command {
	var o dedupOptions
	return &cli.Command{
		Name: "dedup", Usage: "remove duplicates, with evidence", ArgsUsage: "FILE...",
		Description: describe("Finds exact copies, near copies (MinHash) and look-alikes (vectors), confirms them, and keeps one record of each cluster.\n"+
			"The ledger has a row for every removal, from which dedup undo restores the input. With --against, records that match\n"+
			"a test set are removed or reported; the exit code is then 3.",
			"plumb dedup pairs.arrow --out clean.arrow --ledger removed.jsonl",
			"plumb dedup a.jsonl b.jsonl --out clean.jsonl --set minhash.threshold=0.8 --set vectors.enabled=false",
			"plumb dedup train.arrow --out clean.arrow --against test.jsonl --certificate leaks.json",
			"plumb dedup pairs.arrow --out clean.arrow --store qdrant://localhost:6334/pairs"),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "the `FILE` to write", Destination: &o.Out},
			&cli.StringSliceFlag{Name: "against", Usage: "a test set `FILE` that must not leak into the data (repeatable)"},
			&cli.StringFlag{Name: "format", Usage: "`FORMAT` of the rows", Value: "auto", Destination: &o.Format},
			&cli.StringFlag{Name: "store", Usage: "where vectors are kept: embedded or qdrant://host:6334/collection", Destination: &o.Store},
			&cli.StringFlag{Name: "ledger", Usage: "write a row for every removal to `FILE`", Destination: &o.Ledger},
			&cli.StringFlag{Name: "page", Usage: "write clusters, scores and examples as a page to `FILE`", Destination: &o.Page},
			&cli.StringFlag{Name: "certificate", Usage: "write what leaked as JSON to `FILE`", Destination: &o.Certificate},
			&cli.StringFlag{Name: "config", Usage: "thresholds and policies from `FILE`", Destination: &o.Config},
			setFlag(),
			computeFlag(&o.Compute),
			resumeFlag(&o.Resume),
			&cli.StringFlag{Name: "undo", Usage: "restore what a dedup removed, from its output and this ledger `FILE`: the same as dedup undo", Destination: &o.Undo},
			jsonFlag(&o.JSON),
		},
		Subcommands: []*cli.Command{undoCommand(), calibrateCommand(), trainVerifierCommand()},
		Action: func(c *cli.Context) error {
			o.Files, o.Against, o.Sets = c.Args().Slice(), c.StringSlice("against"), c.StringSlice("set")
			if o.Undo != "" {
				return runUndo(c.Context, undoOptions{Kept: o.Files, Ledger: o.Undo, Out: o.Out}, c.App.Writer)
			}
			return runDedup(c.Context, o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

// dedupConfig is the configuration of a dedup command line.
func dedupConfig(file string, sets []string, store string) (dedup.Config, error) {
	cfg := dedup.Defaults()
	name, src := "defaults", []byte(nil)
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return cfg, run.Usage(err)
		}
		name, src = file, b
	}
	if store != "" {
		sets = append(sets[:len(sets):len(sets)], "vectors.store="+store)
	}
	return cfg, configs.Load(name, src, sets, &cfg)
}

func runDedup(ctx context.Context, o dedupOptions, stdout, stderr io.Writer) error {
	if len(o.Files) == 0 {
		return run.Usage(errors.New("dedup: want at least one file"))
	}
	if err := needFlags("out", o.Out); err != nil {
		return err
	}
	cfg, err := dedupConfig(o.Config, o.Sets, o.Store)
	if err != nil {
		return err
	}
	rejects := datasets.NewRejectWriter(o.Out)
	job := dedupJob{
		Config: cfg, Compute: o.Compute, Files: o.Files, Format: o.Format, Against: o.Against, Out: o.Out,
		Ledger: o.Ledger, Page: o.Page, Certificate: o.Certificate, TempDir: filepath.Dir(o.Out),
		Progress: func(label string, total int) *run.Progress { return run.NewProgress(stderr, label, total) },
		Rejects:  rejects,
	}
	if o.Resume {
		job.Checkpoint = o.Out + ".checkpoint"
	}
	tightenHeap()
	rep, err := job.run(ctx)
	if err != nil {
		if _, e := os.Stat(job.Checkpoint); job.Checkpoint != "" && e == nil {
			fmt.Fprintf(stderr, "what is done so far is kept in %s: the same command goes on from there\n", job.Checkpoint)
		}
		return err
	}
	if o.JSON {
		err = printJSON(stdout, rep)
	} else {
		_, err = fmt.Fprint(stdout, dedupText(rep))
	}
	if err != nil {
		return err
	}
	findings := rejected(datasets.ConvertReport{Unfit: rejects.Count(), Rejects: rejects.Path()})
	if c := rep.Certificate; c != nil && !c.Clean {
		findings = errors.Join(findings, run.Findings(fmt.Errorf("%d records match a test set", c.TrainLeaked)))
	}
	return findings
}

type undoOptions struct {
	Kept   []string // one
	Ledger string
	Out    string
}

func undoCommand() *cli.Command {
	var o undoOptions
	return &cli.Command{
		Name: "undo", Usage: "restore what a dedup removed", ArgsUsage: "FILE",
		Description: describe("Writes the records that dedup had read, in their order, from what it wrote and its ledger.",
			"plumb dedup undo clean.arrow --ledger removed.jsonl --out restored.arrow"),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "ledger", Usage: "the ledger `FILE` of that dedup", Destination: &o.Ledger},
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "the `FILE` to write", Destination: &o.Out},
		},
		Action: func(c *cli.Context) error {
			o.Kept = c.Args().Slice()
			return runUndo(c.Context, o, c.App.Writer)
		},
	}
}

func runUndo(ctx context.Context, o undoOptions, stdout io.Writer) error {
	if len(o.Kept) != 1 {
		return run.Usage(errors.New("dedup undo: want the one file that dedup wrote"))
	}
	if err := needFlags("ledger", o.Ledger, "out", o.Out); err != nil {
		return err
	}
	ledger, err := os.Open(o.Ledger)
	if err != nil {
		return err
	}
	defer ledger.Close()
	kept, err := datasets.Open(o.Kept[0], datasets.ReadOptions{})
	if err != nil {
		return err
	}
	defer kept.Close()
	out, err := datasets.Create(o.Out, datasets.WriteOptions{})
	if err != nil {
		return run.Usage(err)
	}
	if err := dedup.Undo(ctx, kept, ledger, out); err != nil {
		return errors.Join(err, out.Discard())
	}
	if err := out.Close(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, o.Out)
	return err
}
