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
	"plumb/internal/run"
)

type compareOptions struct {
	Runs   []string
	Model  string
	Data   string
	Reward string
	Out    string
	Sets   []string
	JSON   bool
}

func compareCommand() *cli.Command {
	var o compareOptions
	return &cli.Command{
		Name: "compare", Usage: "set runs side by side on the same prompts", ArgsUsage: "RUN...",
		Description: describe("Samples answers of the base and of each run to the same prompts and reports rewards, exact KL to the base, lengths and\n"+
			"paired intervals. The page is self-contained; report.json and samples.jsonl lie beside it in --out without its ending.",
			"plumb compare runs/quickstart/dpo runs/quickstart/ppo --data runs/quickstart/synth/held_out.arrow --out report.html",
			"plumb compare runs/dpo --reward runs/reward --data prompts.jsonl --set prompts=100 --out report.html"),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "model", Aliases: []string{"m"}, Usage: "the base `MODEL`; default: the one that the first run's adapter names", Destination: &o.Model},
			&cli.StringFlag{Name: "data", Usage: "records in `FILE` whose prompts are answered", Destination: &o.Data},
			&cli.StringFlag{Name: "reward", Usage: "reward model `RUN` that judges too", Destination: &o.Reward},
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "the page `FILE`", Value: "report.html", Destination: &o.Out},
			setFlag(),
			jsonFlag(&o.JSON),
		},
		Action: func(c *cli.Context) error {
			o.Runs, o.Sets = c.Args().Slice(), c.StringSlice("set")
			return runCompare(c.Context, o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

func runCompare(ctx context.Context, o compareOptions, stdout, stderr io.Writer) error {
	if len(o.Runs) == 0 {
		return run.Usage(errors.New("compare: want at least one run"))
	}
	if err := needFlags("data", o.Data, "out", o.Out); err != nil {
		return err
	}
	node, err := configs.Parse("defaults", nil, o.Sets)
	if err != nil {
		return err
	}
	dir := o.Out
	if ext := filepath.Ext(dir); ext != "" {
		dir = dir[:len(dir)-len(ext)]
	}
	x := &experiment{Name: "compare", Seed: 42, Compute: "auto", Out: filepath.Dir(dir)}
	s := kinds["compare"](x).(*compareStage)
	s.Model, s.Data, s.Reward, s.Policies = o.Model, o.Data, o.Reward, o.Runs
	if s.Model == "" {
		if s.Model, err = baseOf(adapterDir(o.Runs[0])); err != nil {
			return err
		}
	}
	faults := &configs.Faults{}
	faults.Add("compare", node.Decode(s))
	p := &plan{name: filepath.Base(dir), kind: "compare", dir: dir, body: s, makes: map[string]string{}, x: x}
	for _, err := range s.plan(p) {
		faults.Add("compare", locate(node, err))
	}
	if err := faults.Err(); err != nil {
		return err
	}
	pl := newPipeline(stderr)
	defer pl.models.Close()
	if _, err := pl.runStage(ctx, p); err != nil {
		return err
	}
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil {
		return err
	}
	if filepath.Ext(o.Out) != "" {
		if err := run.WriteFile(o.Out, func(w io.Writer) error { _, err := w.Write(page); return err }); err != nil {
			return err
		}
	}
	if o.JSON {
		b, err := os.ReadFile(filepath.Join(dir, "report.json"))
		if err != nil {
			return err
		}
		_, err = stdout.Write(b)
		return err
	}
	_, err = fmt.Fprintln(stdout, o.Out)
	return err
}
