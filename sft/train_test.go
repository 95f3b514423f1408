package sft

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"plumb/adapters"
	"plumb/datasets"
	"plumb/internal/encode"
	"plumb/internal/model"
	"plumb/internal/ops"
	"plumb/internal/oracletest"
	"plumb/internal/run"
	"plumb/internal/testpaths"
)

func demos(n int) []datasets.Record {
	var recs []datasets.Record
	for i := range n {
		a := rune('a' + i%7)
		recs = append(recs, datasets.Record{Prompt: datasets.Text(fmt.Sprintf("say %c: ", a)), Chosen: datasets.Text(strings.Repeat(string(a), 1+i%5))})
	}
	return recs
}

func smallConfig(mode string) Config {
	cfg := Defaults()
	cfg.Mode, cfg.LearningRate, cfg.Epochs, cfg.BatchSize, cfg.LoggingSteps, cfg.SaveSteps = mode, 5e-3, 3, 4, 1, 3
	cfg.Lora.R = 4
	cfg.NewModel = NewModel{Hidden: 16, Layers: 2, Heads: 4, KVHeads: 2, Intermediate: 24, MaxPositions: 64, RopeTheta: 10000, InitRange: 0.1}
	return cfg
}

func TestModesLearn(t *testing.T) {
	for _, mode := range []string{LoRA, Full, Scratch} {
		cfg := smallConfig(mode)
		if mode == Scratch {
			cfg.Epochs, cfg.LearningRate = 30, 1e-2
		}
		in := Inputs{Train: demos(21), Eval: demos(7)}
		if mode != Scratch {
			in.Base = oracletest.Base(t, testpaths.Oracle(t, "llama", "model"), model.Options{Trainable: mode == Full})
		}
		st := oracletest.Stage(t, filepath.Join(t.TempDir(), "sft"), "sft")
		res, err := Train(context.Background(), cfg, in, st)
		if err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		rows, err := run.ReadMetrics(st.Dir())
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"loss", "grad_norm", "learning_rate", "epoch", "num_tokens", "entropy", "mean_token_accuracy"} {
			if _, ok := rows[0].Fields[name]; !ok {
				t.Errorf("%s: metric %s is missing", mode, name)
			}
		}
		if first := rows[0].Fields["loss"]; res.Eval["loss"] > 0.7*first {
			t.Errorf("%s: loss %g at first, %g at the end", mode, first, res.Eval["loss"])
		}
		if mode == LoRA {
			if _, err := adapters.Load(res.Path, in.Base.Model.Linears()); err != nil {
				t.Error(err)
			}
			continue
		}
		// The folder is a model: opened as a frozen base it has the same loss.
		b, err := model.Open(res.Path, model.Options{})
		if err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		tr := &trainer{cfg: cfg, model: b.Model, tok: b.Tokenizer}
		enc := &encode.Encoder{Tok: b.Tokenizer, MaxLength: 64}
		held, err := encode.All(demos(7), func(r *datasets.Record) (encode.Example, error) { return enc.Example(r, true) })
		if err != nil {
			t.Fatal(err)
		}
		got, err := tr.evaluate(context.Background(), held.Items)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(got["loss"]-res.Eval["loss"]) > 1e-5 {
			t.Errorf("%s: loss %g in training, %g as a base", mode, res.Eval["loss"], got["loss"])
		}
	}
}

// One batch of 8, 8 batches of one and micro-batches of a few rows: the loss is a mean over the
// labels of the step, so all are the same.
func TestAccumulation(t *testing.T) {
	base := oracletest.Base(t, testpaths.Oracle(t, "gpt2", "model"), model.Options{})
	adapter, err := adapters.Load(testpaths.Oracle(t, "gpt2", "adapters", "lora"), base.Model.Linears())
	if err != nil {
		t.Fatal(err)
	}
	enc := &encode.Encoder{Tok: base.Tokenizer, MaxLength: 64}
	set, err := encode.All(demos(8), func(r *datasets.Record) (encode.Example, error) { return enc.Example(r, true) })
	if err != nil {
		t.Fatal(err)
	}
	gradients := func(batch, tokens int) (float64, map[string][]float32) {
		cfg := smallConfig(LoRA)
		cfg.MicroBatchTokens = tokens
		tr := &trainer{cfg: cfg, model: base.Model, tok: base.Tokenizer, adapter: adapter.Clone()}
		all := []int{0, 1, 2, 3, 4, 5, 6, 7}
		labels, loss := countLabels(set.Items, all), 0.0
		for i := 0; i < 8; i += batch {
			l, _ := tr.step(set.Items, all[i:i+batch], 0, labels)
			loss += l
		}
		out := map[string][]float32{}
		for _, p := range tr.adapter.Params() {
			out[p.Name] = slices.Clone(ops.Grad(p.Param))
		}
		return loss, out
	}
	want, grads := gradients(8, 1<<20)
	worst := 0.0
	for _, c := range [][2]int{{1, 1 << 20}, {8, 20}} {
		got, g := gradients(c[0], c[1])
		if math.Abs(got-want) > 1e-6 {
			t.Errorf("batch %d, %d tokens: loss %g, want %g", c[0], c[1], got, want)
		}
		for name, w := range grads {
			d := oracletest.Distance(g[name], w)
			if worst = max(worst, d); !(d <= 1e-5) {
				t.Errorf("batch %d, %d tokens: gradient of %s differs by %g", c[0], c[1], name, d)
			}
		}
	}
	t.Logf("largest relative difference of a gradient %.2g", worst)
}

// countdown is a context that is cancelled after being asked a number of times.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestResume(t *testing.T) {
	train := func(ctx context.Context, dir string) error {
		st := oracletest.Stage(t, dir, "sft")
		defer st.Close()
		cfg := smallConfig(Scratch)
		cfg.BatchSize, cfg.GradAccumulation = cfg.BatchSize/2, 2 // some stops are within a step
		_, err := Train(ctx, cfg, Inputs{Train: demos(21), Eval: demos(3)}, st)
		return err
	}
	straight, broken := filepath.Join(t.TempDir(), "sft"), filepath.Join(t.TempDir(), "sft")
	if err := train(context.Background(), straight); err != nil {
		t.Fatal(err)
	}
	stops := 0
	for n := 1; ; n += 2 {
		err := train(&countdown{Context: context.Background(), left: n}, broken)
		if err == nil {
			break
		}
		stops++
		var exit *run.ExitError
		if !errors.As(err, &exit) || exit.Code != run.CodeInterrupted {
			t.Fatal(err)
		}
	}
	if stops < 2 {
		t.Errorf("only %d interruptions", stops)
	}
	for _, name := range []string{"model/model.safetensors", "model/config.json", "model/tokenizer.json", "checkpoints/step-00000018/training_state.safetensors", "checkpoints/step-00000018/trainer_state.json"} {
		a, err := os.ReadFile(filepath.Join(straight, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(broken, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(a) != string(b) {
			t.Errorf("%s differs", name)
		}
	}
}

func TestBadInput(t *testing.T) {
	frozen := oracletest.Base(t, testpaths.Oracle(t, "llama", "model"), model.Options{})
	for name, c := range map[string]struct {
		mode string
		in   Inputs
		want string
	}{
		"empty":       {Scratch, Inputs{}, "empty"},
		"no base":     {LoRA, Inputs{Train: demos(3)}, "needs a base"},
		"frozen base": {Full, Inputs{Base: frozen, Train: demos(3)}, "opened as trainable"},
		"prompt only": {LoRA, Inputs{Base: frozen, Train: []datasets.Record{{Prompt: datasets.Text("x")}}}, "no answer"},
	} {
		_, err := Train(context.Background(), smallConfig(c.mode), c.in, oracletest.Stage(t, filepath.Join(t.TempDir(), "sft"), "sft"))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if f := Defaults().Validate(); len(f) != 0 {
		t.Errorf("defaults: %v", f)
	}
	if f := Defaults().NewModel.Validate(); len(f) != 0 {
		t.Errorf("default model: %v", f)
	}
	if f := (NewModel{Heads: 3, Hidden: 10}).Validate(); len(f) != 7 {
		t.Errorf("%d faults: %v", len(f), f)
	}
}
