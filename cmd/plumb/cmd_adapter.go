package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/urfave/cli/v2"

	"plumb/internal/run"
	"plumb/internal/weights"
)

type adapterInspectOptions struct {
	Dir  string
	JSON bool
}

func adapterCommand() *cli.Command {
	return &cli.Command{
		Name: "adapter", Usage: "look into LoRA adapters, and merge them",
		Description: describe("Works on adapter folders in PEFT's format.",
			"plumb adapter inspect runs/quickstart/dpo/adapter"),
		Subcommands: []*cli.Command{adapterInspectCommand(), mergeCommand()},
	}
}

func adapterInspectCommand() *cli.Command {
	var o adapterInspectOptions
	return &cli.Command{
		Name: "inspect", Usage: "show an adapter's settings and tensors", ArgsUsage: "DIR",
		Description: describe("Reads adapter_config.json and adapter_model.safetensors; the base model is not needed. DIR may be the run\n"+
			"directory of a stage.",
			"plumb adapter inspect runs/quickstart/dpo/adapter", "plumb adapter inspect runs/quickstart/reward --json"),
		Flags: []cli.Flag{jsonFlag(&o.JSON)},
		Action: func(c *cli.Context) error {
			if c.Args().Len() != 1 {
				return run.Usage(fmt.Errorf("adapter inspect: want one folder"))
			}
			o.Dir = c.Args().First()
			return runAdapterInspect(o, c.App.Writer)
		},
	}
}

// adapterDir accepts an adapter folder, or a stage directory that holds one.
func adapterDir(dir string) string {
	if _, err := os.Stat(filepath.Join(dir, "adapter_config.json")); err != nil {
		if _, err := os.Stat(filepath.Join(dir, "adapter", "adapter_config.json")); err == nil {
			return filepath.Join(dir, "adapter")
		}
	}
	return dir
}

type adapterReport struct {
	Dir        string         `json:"dir"`
	Config     map[string]any `json:"config"`
	Layers     int            `json:"layers"`
	Ranks      map[string]int `json:"ranks"` // rank -> layers with it
	Parameters int            `json:"parameters"`
	Head       bool           `json:"head"`
	SHA256     string         `json:"sha256"`
	Tensors    []tensorReport `json:"tensors"`
}

type tensorReport struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape []int  `json:"shape"`
}

func runAdapterInspect(o adapterInspectOptions, stdout io.Writer) error {
	dir := adapterDir(o.Dir)
	b, err := os.ReadFile(filepath.Join(dir, "adapter_config.json"))
	if err != nil {
		return err
	}
	rep := adapterReport{Dir: dir, Ranks: map[string]int{}}
	if err := json.Unmarshal(b, &rep.Config); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(dir, "adapter_config.json"), err)
	}
	file := filepath.Join(dir, "adapter_model.safetensors")
	set, err := weights.Open(file)
	if err != nil {
		return err
	}
	defer set.Close()
	if rep.SHA256, err = run.HashFile(file); err != nil {
		return err
	}
	for _, name := range set.Names() {
		shape := set.Shape(name)
		t, err := set.Take(name, shape...)
		if err != nil {
			return err
		}
		n := 1
		for _, d := range shape {
			n *= d
		}
		rep.Parameters += n
		rep.Tensors = append(rep.Tensors, tensorReport{name, fmt.Sprint(t.DType), shape})
		switch {
		case strings.HasSuffix(name, ".lora_A.weight") && len(shape) == 2:
			rep.Layers++
			rep.Ranks[fmt.Sprint(shape[0])]++
		case strings.HasSuffix(name, ".score.weight") || strings.HasSuffix(name, ".classifier.weight"):
			rep.Head = true
		}
	}
	sort.Slice(rep.Tensors, func(i, j int) bool { return rep.Tensors[i].Name < rep.Tensors[j].Name })
	if o.JSON {
		return printJSON(stdout, rep)
	}
	fmt.Fprintf(stdout, "%s\nbase        %v\ntask        %v\nrank, alpha %v, %v\nlayers      %d\nparameters  %d\nscore head  %v\nsha256      %s\n\n", dir,
		rep.Config["base_model_name_or_path"], rep.Config["task_type"], rep.Config["r"], rep.Config["lora_alpha"], rep.Layers, rep.Parameters, rep.Head, rep.SHA256)
	rows := [][]string{{"tensor", "type", "shape"}}
	for _, t := range rep.Tensors {
		rows = append(rows, []string{t.Name, t.DType, fmt.Sprint(t.Shape)})
	}
	return table(stdout, rows)
}
