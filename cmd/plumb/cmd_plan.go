package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"plumb/datasets"
	"plumb/internal/model"
	"plumb/internal/run"
	"plumb/internal/weights"
)

type planOptions struct {
	File     string
	Sets     []string
	MaxSteps int
	JSON     bool
}

func planCommand() *cli.Command {
	var o planOptions
	return &cli.Command{
		Name: "plan", Usage: "estimate memory and time before anything is loaded", ArgsUsage: "EXPERIMENT.yaml",
		Description: describe("For every training stage: parameters, memory, steps, and time from a short measurement of this machine. Reads the headers\n"+
			"of models and counts records; of data that earlier stages will make only what their configuration says is known. An\n"+
			"estimate: half or twice is within it.",
			"plumb plan configs/quickstart.yaml", "plumb plan configs/hh-smollm2.yaml --set model=SmolLM2-135M-Instruct.gguf --json"),
		Flags: []cli.Flag{setFlag(), &cli.IntFlag{Name: "max-steps", Usage: "as in plumb run", Destination: &o.MaxSteps}, jsonFlag(&o.JSON)},
		Action: func(c *cli.Context) error {
			if c.Args().Len() != 1 {
				return run.Usage(errors.New("plan: want one experiment file"))
			}
			o.File, o.Sets = c.Args().First(), c.StringSlice("set")
			return runPlan(c.Context, o, c.App.Writer)
		},
	}
}

// stagePlan is the estimate for one training stage.
type stagePlan struct {
	Stage     string  `json:"stage"`
	Base      int64   `json:"base_parameters"`
	Trained   int64   `json:"trained_parameters"`
	Memory    int64   `json:"memory_bytes"` // weights, gradients, optimiser state and activations of one pass
	Examples  int64   `json:"examples"`
	Tokens    float64 `json:"tokens_per_example"`
	Steps     int     `json:"steps"`
	Seconds   float64 `json:"seconds"`
	Uncertain string  `json:"uncertain,omitempty"` // what had to be guessed
}

// estimator collects what is known about the data and the models of an experiment.
type estimator struct {
	rate   float64 // products of this machine, in floating-point operations a second
	shapes map[string]shape
	made   map[string]shape  // stage -> the model it makes
	data   map[string]volume // path -> records and their length
}

type volume struct {
	records int64
	tokens  float64 // of a prompt with one answer
	guessed bool
}

// charsPerToken is a rough rate for English in a vocabulary of tens of thousands; byte-level models have 1.
const charsPerToken = 4

func runPlan(ctx context.Context, o planOptions, stdout io.Writer) error {
	src, err := readConfig(o.File)
	if err != nil {
		return err
	}
	x, err := loadExperiment(o.File, src, stageSets(o.Sets), "", o.MaxSteps)
	if err != nil {
		return err
	}
	e := &estimator{shapes: map[string]shape{}, made: map[string]shape{}, data: map[string]volume{}}
	compute := computeOf(x.Compute)
	panel := compute.Panel()
	e.rate = 1e9 * productRate(benchOptions{Rows: 512, Seconds: 0.1}, panel, compute)
	var list []stagePlan
	for _, p := range x.plans {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, ok := p.body.(interface {
			estimate(e *estimator, p *plan) (stagePlan, error)
		})
		if !ok {
			e.volumes(p)
			continue
		}
		s, err := b.estimate(e, p)
		if err != nil {
			return fmt.Errorf("stage %s: %w", p.name, err)
		}
		s.Stage = p.name
		list = append(list, s)
	}
	if o.JSON {
		return printJSON(stdout, list)
	}
	rows := [][]string{{"stage", "base", "trained", "memory", "examples", "tokens each", "steps", "time"}}
	total := 0.0
	for _, s := range list {
		total += s.Seconds
		rows = append(rows, []string{s.Stage, millions(s.Base), millions(s.Trained), bytesText(s.Memory), fmt.Sprint(s.Examples),
			fmt.Sprintf("%.0f", s.Tokens), fmt.Sprint(s.Steps), seconds(s.Seconds)})
	}
	if err := table(stdout, rows); err != nil {
		return err
	}
	for _, s := range list {
		if s.Uncertain != "" {
			fmt.Fprintf(stdout, "%s: guessed: %s\n", s.Stage, s.Uncertain)
		}
	}
	_, err = fmt.Fprintf(stdout, "training in all about %s at %.0f GFLOP/s\n", seconds(total), e.rate/1e9)
	return err
}

func millions(n int64) string { return fmt.Sprintf("%.2fM", float64(n)/1e6) }

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}

// modelOf finds the shape of a stage's base: from a header, or from the stage that will make it.
func (e *estimator) modelOf(in input) (shape, error) {
	if s, ok := e.made[in.Stage]; ok && in.Stage != "" {
		return s, nil
	}
	if s, ok := e.shapes[in.Path]; ok {
		return s, nil
	}
	c, err := configOf(in.Path)
	if err != nil {
		return shape{}, err
	}
	s := shapeOf(c)
	e.shapes[in.Path] = s
	return s, nil
}

// configOf reads the shape of a model without its weights.
func configOf(path string) (model.Config, error) {
	if src, err := os.ReadFile(filepath.Join(path, "config.json")); err == nil {
		return model.ParseConfig(src)
	}
	set, err := weights.Open(path)
	if err != nil {
		return model.Config{}, err
	}
	defer set.Close()
	src, err := set.ConfigJSON()
	if err != nil {
		return model.Config{}, err
	}
	return model.ParseConfig(src)
}

// volumes notes what a stage that makes data will make.
func (e *estimator) volumes(p *plan) {
	switch s := p.body.(type) {
	case *synthStage:
		// About 130 characters of request and answer; see docs/quickstart.md.
		e.data[p.makes[pairs]] = volume{int64(s.Config.Pairs + s.Config.ExactCopies + s.Config.NearCopies), 130, true}
		e.data[p.makes[heldOut]] = volume{int64(s.Config.HeldOut), 130, true}
		e.data[p.makes[demos]] = volume{int64(s.Config.Demonstrations), 130, true}
	case *dataStage:
		var all volume
		for _, f := range s.Files {
			v := e.read(f, datasets.ReadOptions{Format: s.Format, Pairs: s.Pairs, DuplicateIDs: s.DuplicateIDs})
			all.tokens = (all.tokens*float64(all.records) + v.tokens*float64(v.records)) / float64(max(all.records+v.records, 1))
			all.records += v.records
		}
		e.data[p.makes[pairs]] = volume{max(all.records-s.HeldOut, 0), all.tokens, true}
		e.data[p.makes[heldOut]] = volume{s.HeldOut, all.tokens, true}
	case *dedupStage:
		v := e.volume(firstOf(p.inputs, roleData))
		v.guessed = true // what will be removed is not known
		e.data[p.makes[pairs]] = v
	}
}

// volume is what is known of a file that is there or will be made.
func (e *estimator) volume(path string) volume {
	if v, ok := e.data[path]; ok {
		return v
	}
	v := e.read(path, datasets.ReadOptions{})
	e.data[path] = v
	return v
}

// read counts the records of a file and their characters.
func (e *estimator) read(path string, opt datasets.ReadOptions) volume {
	opt.OnReject = func(datasets.Reject) {}
	in, err := datasets.Inspect(context.Background(), []string{path}, opt, datasets.InspectOptions{Examples: 1, MaxLanguages: 1})
	if err != nil || in.Records == 0 {
		return volume{guessed: true}
	}
	return volume{in.Records, in.Characters["prompt"].Mean + in.Characters["chosen"].Mean, false}
}
