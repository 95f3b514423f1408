package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"plumb/adapters"
	"plumb/internal/kernels"
	"plumb/internal/model"
	"plumb/internal/run"
)

type mergeOptions struct {
	Model   string
	Adapter string
	Out     string
	JSON    bool
}

func mergeCommand() *cli.Command {
	var o mergeOptions
	return &cli.Command{
		Name: "merge", Usage: "write a model with an adapter merged in", ArgsUsage: "DIR",
		Description: describe("Adds the adapter's update to the base's weights and writes a model folder in f32 (config.json, model.safetensors,\n"+
			"tokenizer.json) that transformers loads. Without --model the base is the one that the adapter's file names.",
			"plumb adapter merge runs/quickstart/dpo --out merged",
			"plumb adapter merge runs/hh-smollm2/dpo --model SmolLM2-135M-Instruct.gguf --out merged"),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "model", Aliases: []string{"m"}, Usage: "the base `MODEL`", Destination: &o.Model},
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "the `DIR`ectory to write", Destination: &o.Out},
			jsonFlag(&o.JSON),
		},
		Action: func(c *cli.Context) error {
			if c.Args().Len() != 1 {
				return run.Usage(errors.New("adapter merge: want one adapter folder"))
			}
			o.Adapter = c.Args().First()
			return runMerge(o, c.App.Writer)
		},
	}
}

func runMerge(o mergeOptions, stdout io.Writer) error {
	if err := needFlags("out", o.Out); err != nil {
		return err
	}
	if entries, err := os.ReadDir(o.Out); err == nil && len(entries) > 0 {
		return run.Usage(fmt.Errorf("--out %s: want a new or an empty folder", o.Out))
	}
	dir := adapterDir(o.Adapter)
	base := o.Model
	if base == "" {
		var err error
		if base, err = baseOf(dir); err != nil {
			return err
		}
	}
	path, err := findModel(base)
	if err != nil {
		return err
	}
	b, err := model.Open(path, model.Options{Compute: kernels.F32})
	if err != nil {
		return err
	}
	a, err := adapters.Load(dir, b.Model.Linears())
	if err != nil {
		return err
	}
	if a.Head != nil {
		return fmt.Errorf("%s has a score head: a reward model cannot be merged into a language model", dir)
	}
	if err := b.Model.Save(o.Out, a); err != nil {
		return err
	}
	if err := b.Tokenizer.Save(o.Out); err != nil {
		return err
	}
	if o.JSON {
		return printJSON(stdout, map[string]any{"out": o.Out, "base": path, "adapter": dir, "layers": len(a.Layers)})
	}
	_, err = fmt.Fprintln(stdout, o.Out)
	return err
}
