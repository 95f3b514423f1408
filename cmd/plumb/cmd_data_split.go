package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"plumb/datasets"
	"plumb/internal/run"
)

type splitOptions struct {
	Files  []string
	Out    string
	Parts  []string
	Seed   uint64
	Near   bool
	NearBy string
	Resume bool
	Ext    string
	Format string
	Pairs  string
	IDs    string
	JSON   bool
}

func splitCommand() *cli.Command {
	var o splitOptions
	return &cli.Command{
		Name: "split", Usage: "deal records out to parts, never a prompt to two of them", ArgsUsage: "FILE...",
		Description: describe("Writes one file a part into --out. A part is NAME=FRACTION, NAME=COUNT or NAME=rest. Records whose prompts are equal or\n"+
			"nearly so stay together (--near=false: only equal ones). Where a record goes does not depend on the order.",
			"plumb data split pairs.arrow --out parts --part train=rest --part test=300",
			"plumb data split pairs.arrow --out parts --part train=0.9 --part test=rest --near-by minhash"),
		Flags: append(readFlags(&o.Format, &o.Pairs, &o.IDs),
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "the `DIR`ectory to write", Destination: &o.Out},
			&cli.StringSliceFlag{Name: "part", Usage: "`NAME=SIZE` of a part (repeatable)", Value: cli.NewStringSlice("train=0.9", "test=rest")},
			&cli.Uint64Flag{Name: "seed", Usage: "`N`umber that the deal depends on", Value: 42, Destination: &o.Seed},
			&cli.BoolFlag{Name: "near", Usage: "keep near-duplicate prompts together too", Value: true, Destination: &o.Near},
			&cli.StringFlag{Name: "near-by", Usage: "what finds them: minhash, vectors (and minhash), or auto: vectors up to 50,000 records", Value: "auto", Destination: &o.NearBy},
			&cli.StringFlag{Name: "ext", Usage: "extension of the files to write", Value: ".arrow", Destination: &o.Ext},
			resumeFlag(&o.Resume),
			jsonFlag(&o.JSON)),
		Action: func(c *cli.Context) error {
			o.Files, o.Parts = c.Args().Slice(), c.StringSlice("part")
			return runSplit(c.Context, o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

// parseParts reads NAME=0.9, NAME=300 and NAME=rest.
func parseParts(list []string) ([]datasets.Part, error) {
	var parts []datasets.Part
	for _, s := range list {
		name, size, ok := strings.Cut(s, "=")
		p := datasets.Part{Name: name}
		n, nerr := strconv.ParseInt(size, 10, 64)
		x, xerr := strconv.ParseFloat(size, 64)
		switch {
		case !ok || !stageName.MatchString(name):
			return nil, run.Usage(fmt.Errorf("--part %s: want NAME=SIZE, the name in lower-case letters, digits, - and _", s))
		case size == "rest":
		case nerr == nil && n > 0:
			p.Count = n
		case xerr == nil && x > 0 && x < 1:
			p.Fraction = x
		default:
			return nil, run.Usage(fmt.Errorf("--part %s: want a count, a fraction below 1, or rest", s))
		}
		parts = append(parts, p)
	}
	return parts, nil
}

type splitReport struct {
	Part    string `json:"part"`
	File    string `json:"file"`
	Records int64  `json:"records"`
}

func runSplit(ctx context.Context, o splitOptions, stdout, stderr io.Writer) error {
	if len(o.Files) == 0 {
		return run.Usage(errors.New("data split: want at least one file"))
	}
	if err := needFlags("out", o.Out); err != nil {
		return err
	}
	parts, err := parseParts(o.Parts)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return err
	}
	opt := datasets.SplitOptions{Parts: parts, Seed: o.Seed}
	if _, err := datasets.NewSplitter(opt); err != nil {
		return run.Usage(err)
	}
	read := datasets.ReadOptions{Format: o.Format, Pairs: o.Pairs, DuplicateIDs: o.IDs}
	var reps []splitReport
	var outs []string
	for _, p := range parts {
		path := filepath.Join(o.Out, p.Name+o.Ext)
		outs = append(outs, path)
		reps = append(reps, splitReport{Part: p.Name, File: path})
	}
	if o.Near {
		keep := filepath.Join(o.Out, "split.checkpoint.near")
		if !o.Resume {
			keep = ""
		}
		defer func() {
			_, err := os.Stat(datasets.CheckpointPath(datasets.SplitBase(outs)))
			if ctx.Err() == nil && err != nil { // it is over, well or not: only a run that was stopped goes on, or one that left a checkpoint
				os.Remove(keep)
			}
		}()
		tightenHeap()
		if opt.Group, opt.By, err = nearGroups(ctx, o.Files, read, o.NearBy, keep, stderr); err != nil {
			return err
		}
	}
	bar := &fileBar{stderr: stderr}
	rep, err := datasets.SplitFiles(ctx, o.Files, outs, datasets.ConvertOptions{Read: read, Resume: o.Resume, OnProgress: bar.show}, opt)
	bar.done()
	if err != nil {
		return err
	}
	rows := [][]string{{"part", "records", "file"}}
	for i := range reps {
		reps[i].Records = rep.Parts[i]
		rows = append(rows, []string{reps[i].Part, fmt.Sprint(rep.Parts[i]), reps[i].File})
	}
	if o.JSON {
		err = printJSON(stdout, reps)
	} else {
		err = table(stdout, rows)
	}
	return errors.Join(err, rejected(rep.ConvertReport))
}

// exportCommand is convert under the name of what people look for.
func exportCommand() *cli.Command {
	var o convertOptions
	return &cli.Command{
		Name: "export", Usage: "write records for another program", ArgsUsage: "FILE...",
		Description: describe("Writes the rows of a format that another program reads: trl for TRL and datasets, openai, alpaca, sharegpt,\n"+
			"kto and so on (plumb data formats). Says first what the format cannot hold; records that do not fit are rejected.",
			"plumb data export pairs.arrow --to trl --out pairs.jsonl", "plumb data export pairs.arrow --out pairs.parquet"),
		Flags: append(readFlags(&o.Format, &o.Pairs, &o.DuplicateIDs),
			&cli.StringFlag{Name: "to", Usage: "`FORMAT` of the rows", Value: "trl", Destination: &o.To},
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "the `FILE` to write", Destination: &o.Out},
			resumeFlag(&o.Resume),
			jsonFlag(&o.JSON)),
		Action: func(c *cli.Context) error {
			o.Files = c.Args().Slice()
			return runExport(c.Context, o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

func runExport(ctx context.Context, o convertOptions, stdout, stderr io.Writer) error {
	if err := needFlags("out", o.Out); err != nil {
		return err
	}
	if ext := strings.ToLower(filepath.Ext(o.Out)); ext == ".arrow" || ext == ".parquet" || ext == ".feather" {
		if o.To == "trl" {
			fmt.Fprintln(stderr, "a table has the columns of the plumb schema: TRL's DPO and reward trainers take them as they are, for SFT and KTO write .jsonl")
		}
		o.To = "plumb" // tables always hold everything
	}
	from := "plumb"
	if o.Format != "auto" && o.Format != "" {
		from = o.Format
	}
	lost, err := datasets.Losses(from, o.To+":"+o.Out)
	if err != nil {
		return run.Usage(err)
	}
	for _, l := range lost {
		what := "written without"
		if l.Row {
			what = "rejects"
		}
		fmt.Fprintf(stderr, "%s: %s %s: %s\n", o.To, what, l.What, l.Why)
	}
	return runConvert(ctx, o, stdout, stderr)
}
