package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"plumb/configs"
	"plumb/dedup"
	"plumb/dedup/crossencoder"
	"plumb/dedup/plant"
	"plumb/internal/model"
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
			&cli.StringFlag{Name: "compute", Usage: "arithmetic of models: auto, f32 or bf16", Value: "auto", Destination: &o.Compute},
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

type trainVerifierOptions struct {
	Model   string
	Labels  string
	Eval    string
	Out     string
	Config  string
	Sets    []string
	Compute string
	JSON    bool
}

func trainVerifierCommand() *cli.Command {
	var o trainVerifierOptions
	return &cli.Command{
		Name: "train-verifier", Usage: "train what confirms duplicates, on planted pairs or your own",
		Description: describe("With --model an encoder gets an adapter and a head that read both texts together; without, the built-in\n"+
			"alignment gets new weights. Pairs are planted unless --labels names a file; look-alikes differ in one number, name,\n"+
			"negation or opposite. Planted held-out pairs have another seed and other words.",
			"plumb dedup train-verifier --model all-MiniLM-L6-v2 --out verifier",
			"plumb dedup pairs.arrow --out clean.arrow --set verifier.kind=all-MiniLM-L6-v2 --set verifier.adapter=verifier/adapter",
			"plumb dedup train-verifier --labels judged.jsonl --out weights.json"),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "model", Usage: "an encoder's `FOLDER` or name", Destination: &o.Model},
			&cli.StringFlag{Name: "labels", Usage: "judged pairs from `FILE`", Destination: &o.Labels},
			&cli.StringFlag{Name: "eval", Usage: "held-out judged pairs from `FILE`", Destination: &o.Eval},
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "the run `DIRECTORY`, or the file of weights", Destination: &o.Out},
			&cli.StringFlag{Name: "config", Usage: "the training from `FILE`", Destination: &o.Config},
			setFlag(),
			&cli.StringFlag{Name: "compute", Usage: "arithmetic of models: auto, f32 or bf16", Value: "auto", Destination: &o.Compute},
			jsonFlag(&o.JSON),
		},
		Action: func(c *cli.Context) error {
			o.Sets = c.StringSlice("set")
			return runTrainVerifier(c.Context, o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

func runTrainVerifier(ctx context.Context, o trainVerifierOptions, stdout, stderr io.Writer) error {
	if err := needFlags("out", o.Out); err != nil {
		return err
	}
	cfg := crossencoder.Defaults()
	name, src := "defaults", []byte(nil)
	if o.Config != "" {
		b, err := os.ReadFile(o.Config)
		if err != nil {
			return run.Usage(err)
		}
		name, src = o.Config, b
	}
	if err := configs.Load(name, src, o.Sets, &cfg); err != nil {
		return err
	}
	pairs, err := readLabels(o.Labels)
	if err != nil {
		return err
	}
	held, err := readLabels(o.Eval)
	if err != nil {
		return err
	}
	trained := fmt.Sprintf("%d pairs of %s", len(pairs), o.Labels)
	if o.Labels == "" {
		pairs = plantPairs(cfg.Seed, 0, cfg.Pairs)
		trained = fmt.Sprintf("%d pairs planted with seed %d, first half of the word lists", len(pairs), cfg.Seed)
	}
	if o.Eval == "" && o.Labels == "" {
		held = plantPairs(cfg.Seed+1, 1, cfg.EvalPairs)
	}
	var report any
	if o.Model == "" {
		report, err = trainAligned(ctx, pairs, held, trained, o.Out)
	} else {
		report, err = trainCrossEncoder(ctx, cfg, o, pairs, held, stderr)
	}
	if err != nil {
		return err
	}
	if o.JSON {
		return printJSON(stdout, report)
	}
	_, err = fmt.Fprintf(stdout, "%s: %+v\n", o.Out, report)
	return err
}

// plantPairs makes labelled pairs from one half of the planter's words.
func plantPairs(seed uint64, half, n int) []dedup.Labelled {
	p := plant.Planter{Rand: run.Rand(seed, "dedup verifier pairs"), Half: half}
	var out []dedup.Labelled
	for _, x := range p.Pairs(n, nil) {
		out = append(out, dedup.Labelled{A: x.A, B: x.B, Same: x.Same})
	}
	return out
}

// trainAligned writes weights of the built-in verifier and returns how they do on held-out pairs.
func trainAligned(ctx context.Context, pairs, held []dedup.Labelled, trained, out string) (any, error) {
	v, err := dedup.TrainAligned(pairs, trained)
	if err != nil {
		return nil, err
	}
	if err := run.WriteFile(out, v.Save); err != nil {
		return nil, err
	}
	ask, same := make([][2]string, len(held)), make([]bool, len(held))
	for i, p := range held {
		ask[i], same[i] = [2]string{min(p.A, p.B), max(p.A, p.B)}, p.Same
	}
	logits, err := v.Logits(ctx, ask)
	return crossencoder.Measure(logits, same), err
}

func trainCrossEncoder(ctx context.Context, cfg crossencoder.Config, o trainVerifierOptions, pairs, held []dedup.Labelled, stderr io.Writer) (any, error) {
	path, err := findModel(o.Model)
	if err != nil {
		return nil, err
	}
	e, err := model.OpenEncoder(path, model.Options{Compute: computeOf(o.Compute)})
	if err != nil {
		return nil, err
	}
	resolved, err := configs.Resolve(cfg)
	if err != nil {
		return nil, err
	}
	inputs := map[string]string{}
	for role, file := range map[string]string{"labels": o.Labels, "eval": o.Eval, "model": path} {
		if file == "" {
			continue
		}
		if inputs[role], err = run.HashTree(file); err != nil {
			return nil, err
		}
	}
	sum := sha256.Sum256(resolved)
	st, err := run.OpenStage(o.Out, run.Manifest{Stage: "train-verifier", Seed: cfg.Seed, ConfigHash: hex.EncodeToString(sum[:]), Inputs: inputs})
	if err != nil {
		return nil, err
	}
	defer st.Close()
	if st.Done() {
		return st.Manifest().Results, nil
	}
	st.SetOutput(stderr)
	res, err := crossencoder.Train(ctx, cfg, e, pairs, held, st)
	if err != nil {
		return nil, errors.Join(err, st.Fail(err))
	}
	results := map[string]any{"steps": res.Steps, "pairs": len(pairs), "adapter": res.Adapter}
	if res.Eval != nil {
		results["eval"] = *res.Eval
	}
	return results, st.Finish("done", results)
}
