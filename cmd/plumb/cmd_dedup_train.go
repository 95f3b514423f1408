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
		Description: describe("Without --model a small byte-level encoder that reads both texts together is trained from nothing; with the folder\n"+
			"or name of an encoder, that one gets an adapter and a head; --model aligned fits new weights of the built-in alignment.\n"+
			"Pairs are planted unless --labels names a file; look-alikes differ in one number, name, negation or opposite. Planted\n"+
			"held-out pairs have another seed and other words.",
			"plumb dedup train-verifier --out verifier",
			"plumb dedup pairs.arrow --out clean.arrow --set verifier.kind=verifier/model",
			"plumb dedup train-verifier --model all-MiniLM-L6-v2 --out verifier",
			"plumb dedup pairs.arrow --out clean.arrow --set verifier.kind=all-MiniLM-L6-v2 --set verifier.adapter=verifier/adapter",
			"plumb dedup train-verifier --model aligned --labels judged.jsonl --out weights.json"),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "model", Usage: "an encoder's `FOLDER` or name, or aligned; none: a small one from nothing", Destination: &o.Model},
			&cli.StringFlag{Name: "labels", Usage: "judged pairs from `FILE`", Destination: &o.Labels},
			&cli.StringFlag{Name: "eval", Usage: "held-out judged pairs from `FILE`", Destination: &o.Eval},
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "the run `DIRECTORY`, or the file of weights", Destination: &o.Out},
			&cli.StringFlag{Name: "config", Usage: "the training from `FILE`", Destination: &o.Config},
			setFlag(),
			computeFlag(&o.Compute),
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
	cfg := crossencoder.SmallDefaults()
	if o.Model != "" {
		cfg = crossencoder.Defaults()
	}
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
		pairs = plantTraining(cfg, o.Model == "")
		trained = fmt.Sprintf("%d pairs planted with seed %d, first half of the word lists", len(pairs), cfg.Seed)
	}
	if o.Eval == "" && o.Labels == "" {
		held = plantPairs(cfg.Seed+1, 1, cfg.EvalPairs, 0)
	}
	var report any
	if o.Model == "aligned" {
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

// plantTraining makes the pairs that a verifier is trained on: short ones for a small encoder, which is to see many.
func plantTraining(cfg crossencoder.Config, small bool) []dedup.Labelled {
	sentences := 0
	if small {
		sentences = crossencoder.SmallSentences
	}
	return plantPairs(cfg.Seed, 0, cfg.Pairs, sentences)
}

// plantPairs makes labelled pairs from one half of the planter's words, of texts of at most so many sentences (0: the planter's).
func plantPairs(seed uint64, half, n, sentences int) []dedup.Labelled {
	p := plant.Planter{Rand: run.Rand(seed, "dedup verifier pairs"), Half: half, Sentences: sentences}
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

// trainCrossEncoder trains an adapter of the encoder that o names, or a small encoder when it names none.
func trainCrossEncoder(ctx context.Context, cfg crossencoder.Config, o trainVerifierOptions, pairs, held []dedup.Labelled, stderr io.Writer) (any, error) {
	files := map[string]string{"labels": o.Labels, "eval": o.Eval}
	var e *model.Encoder
	if o.Model != "" {
		path, err := findModel(o.Model)
		if err != nil {
			return nil, err
		}
		if e, err = model.OpenEncoder(path, model.Options{Compute: computeOf(o.Compute)}); err != nil {
			return nil, err
		}
		files["model"] = path
	}
	st, err := openVerifierStage(o.Out, cfg, files)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	if st.Done() {
		return st.Manifest().Results, nil
	}
	st.SetOutput(stderr)
	var res crossencoder.Result
	if e != nil {
		res, err = crossencoder.Train(ctx, cfg, e, pairs, held, st)
	} else {
		res, err = crossencoder.TrainSmall(ctx, cfg, pairs, held, st)
	}
	if err != nil {
		return nil, errors.Join(err, st.Fail(err))
	}
	results := verifierResults(res, len(pairs))
	return results, st.Finish("done", results)
}

// openVerifierStage opens the directory of a training by its configuration and the content of files, by role; empty paths do not count.
func openVerifierStage(dir string, cfg crossencoder.Config, files map[string]string) (*run.Stage, error) {
	resolved, err := configs.Resolve(cfg)
	if err != nil {
		return nil, err
	}
	inputs := map[string]string{}
	for role, file := range files {
		if file == "" {
			continue
		}
		if inputs[role], err = run.HashTree(file); err != nil {
			return nil, err
		}
	}
	sum := sha256.Sum256(resolved)
	return run.OpenStage(dir, run.Manifest{Stage: "train-verifier", Seed: cfg.Seed, ConfigHash: hex.EncodeToString(sum[:]), Inputs: inputs})
}

func verifierResults(res crossencoder.Result, pairs int) map[string]any {
	results := map[string]any{"steps": res.Steps, "pairs": pairs, "made": res.Folder}
	if res.Eval != nil {
		results["eval"] = *res.Eval
	}
	return results
}
