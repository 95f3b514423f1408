package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"plumb/dedup"
	"plumb/internal/run"
)

type calibrateOptions struct {
	Files     []string
	Config    string
	Sets      []string
	Format    string
	Labels    string
	Samples   string
	PerBin    int
	Precision float64
	Compute   string
	JSON      bool
}

func calibrateCommand() *cli.Command {
	var o calibrateOptions
	return &cli.Command{
		Name: "calibrate", Usage: "estimate precision and recall of thresholds, and say which to use", ArgsUsage: "FILE...",
		Description: describe("Draws pairs from every bin of scores around each threshold and has them judged: by a file of labels\n"+
			"({\"a\":..., \"b\":..., \"same\": true} a line), else by the verifier. Intervals are 95%.",
			"plumb dedup calibrate pairs.arrow --samples judge-these.jsonl",
			"plumb dedup calibrate pairs.arrow --labels judged.jsonl --precision 0.98"),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config", Usage: "thresholds from `FILE`", Destination: &o.Config},
			setFlag(),
			&cli.StringFlag{Name: "format", Usage: "`FORMAT` of the rows", Value: "auto", Destination: &o.Format},
			&cli.StringFlag{Name: "labels", Usage: "judged pairs from `FILE`", Destination: &o.Labels},
			&cli.StringFlag{Name: "samples", Usage: "write the drawn pairs to `FILE`, for people to judge", Destination: &o.Samples},
			&cli.IntFlag{Name: "per-bin", Usage: "`PAIRS` drawn from each bin", Value: 50, Destination: &o.PerBin},
			&cli.Float64Flag{Name: "precision", Usage: "what the lower end of precision has to reach", Value: 0.95, Destination: &o.Precision},
			computeFlag(&o.Compute),
			jsonFlag(&o.JSON),
		},
		Action: func(c *cli.Context) error {
			o.Files, o.Sets = c.Args().Slice(), c.StringSlice("set")
			return runCalibrate(c.Context, o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

func runCalibrate(ctx context.Context, o calibrateOptions, stdout, stderr io.Writer) error {
	if len(o.Files) == 0 {
		return run.Usage(errors.New("dedup calibrate: want at least one file"))
	}
	cfg, err := dedupConfig(o.Config, o.Sets, "")
	if err != nil {
		return err
	}
	job := dedupJob{Config: cfg, Compute: o.Compute}
	tools := dedup.Tools{Progress: func(label string, total int) *run.Progress { return run.NewProgress(stderr, label, total) }}
	if err := job.openModels(&tools); err != nil {
		return err
	}
	labels, err := readLabels(o.Labels)
	if err != nil {
		return err
	}
	list, err := dedup.Calibrate(ctx, cfg, fileSource{paths: o.Files, format: o.Format}, tools,
		dedup.CalibrateOptions{PerBin: o.PerBin, Precision: o.Precision, Labels: labels})
	if err != nil {
		return err
	}
	if o.Samples != "" {
		if err := run.WriteFile(o.Samples, func(w io.Writer) error { return dedup.WriteSamples(w, list) }); err != nil {
			return err
		}
	}
	if o.JSON {
		return printJSON(stdout, list)
	}
	for _, c := range list {
		fmt.Fprintf(stdout, "%s, judged by %s\nthreshold    pairs  judged  precision              recall\n", c.Stage, c.Judge)
		for _, p := range c.Points {
			fmt.Fprintf(stdout, "%9.2f %8d %7d  %.3f (%.3f to %.3f)  %.3f (%.3f to %.3f)\n", p.Threshold, p.Pairs, p.Judged,
				p.Precision.Value, p.Precision.Low, p.Precision.High, p.Recall.Value, p.Recall.Low, p.Recall.High)
		}
		if c.Reached {
			fmt.Fprintf(stdout, "use %.2f (now %.2f)\n\n", c.Use, c.Threshold)
		} else {
			fmt.Fprintf(stdout, "no threshold reaches the precision wanted; nearest is %.2f (now %.2f)\n\n", c.Use, c.Threshold)
		}
	}
	return nil
}

func readLabels(path string) ([]dedup.Labelled, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := dedup.ReadLabels(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}
