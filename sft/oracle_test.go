package sft

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"plumb/adapters"
	"plumb/datasets"
	"plumb/internal/encode"
	"plumb/internal/model"
	"plumb/internal/ops"
	"plumb/internal/run"
	"plumb/internal/testpaths"
	"plumb/internal/weights"
)

// prefix is PEFT's before every name.
const prefix = "base_model.model."

func readJSON(t *testing.T, into any, elem ...string) {
	t.Helper()
	b, err := os.ReadFile(testpaths.Oracle(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// wantTensors compares each parameter's values (got) with the tensor of that name in a golden file: norm of
// the difference over norm of the golden, at most tol. It returns the largest.
func wantTensors(t *testing.T, what string, a *adapters.Adapter, got func(adapters.Param) []float32, tol float64, elem ...string) float64 {
	t.Helper()
	set, err := weights.Open(testpaths.Oracle(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	worst := 0.0
	for _, p := range a.Params() {
		tensor, err := set.Take(prefix+p.Name, p.Shape()...)
		if err != nil {
			t.Fatal(err)
		}
		d := distance(got(p), tensor.Float32())
		worst = max(worst, d)
		if !(d <= tol) {
			t.Errorf("%s: %s differs by %g, want at most %g", what, p.Name, d, tol)
		}
	}
	if err := set.Unused(); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	return worst
}

func gradOf(p adapters.Param) []float32 { return ops.Grad(p.Param) }

func loadAdapter(t *testing.T, base *model.Bundle, elem ...string) *adapters.Adapter {
	t.Helper()
	a, err := adapters.Load(testpaths.Oracle(t, elem...), base.Model.Linears())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// distance is the norm of a - b over that of b.
func distance(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	var d, n float64
	for i := range b {
		d += float64(a[i]-b[i]) * float64(a[i]-b[i])
		n += float64(b[i]) * float64(b[i])
	}
	return math.Sqrt(d / n)
}

type lossCase struct {
	Rows []struct {
		Tokens []int32 `json:"input_ids"`
		From   int     `json:"completion_start"`
	} `json:"sft_rows"`
	Losses  map[string]float64
	Metrics map[string]map[string]float64
}

// Loss, metrics and every gradient of TRL's SFT loss on completions, from an adapter whose B is
// not zero.
func TestOracleLoss(t *testing.T) {
	worst := 0.0
	for _, name := range []string{"llama", "gpt2", "llama3", "qwen2"} {
		var c lossCase
		readJSON(t, &c, "losses", name, "case.json")
		base := openBase(t, name, false)
		var items []encode.Example
		var all []int
		for i, r := range c.Rows {
			items, all = append(items, encode.Example{Tokens: r.Tokens, From: r.From}), append(all, i)
		}
		tr := &trainer{cfg: Defaults(), model: base.Model, tok: base.Tokenizer, adapter: loadAdapter(t, base, name, "adapters", "lora")}
		tr.adapter.SetTrainable(true)
		got, metrics := tr.step(items, all, 0, countLabels(items, all))
		if want := c.Losses["sft"]; math.Abs(got-want) > 1e-4 {
			t.Errorf("%s: loss %g, want %g", name, got, want)
		}
		for _, metric := range []string{"entropy", "mean_token_accuracy"} {
			if w, ok := c.Metrics["sft"][metric]; !ok || !(math.Abs(metrics[metric]-w) <= 1e-4) {
				t.Errorf("%s: %s is %g, want %g", name, metric, metrics[metric], w)
			}
		}
		worst = max(worst, wantTensors(t, name, tr.adapter, gradOf, 1e-4, "losses", name, "sft.safetensors"))
	}
	t.Logf("largest relative difference of a gradient: %.2g", worst)
}

type trainerCase struct {
	Model, Adapter string
	Options        struct {
		Beta1  float64 `json:"adam_beta1"`
		Beta2  float64 `json:"adam_beta2"`
		Eps    float64 `json:"adam_epsilon"`
		Accum  int     `json:"gradient_accumulation_steps"`
		LR     float64 `json:"learning_rate"`
		Sched  string  `json:"lr_scheduler_type"`
		Clip   float64 `json:"max_grad_norm"`
		MaxLen int     `json:"max_length"`
		Steps  int     `json:"max_steps"`
		Batch  int     `json:"per_device_train_batch_size"`
		Warmup int     `json:"warmup_steps"`
		Decay  float64 `json:"weight_decay"`
		Seed   uint64
	}
	Examples []struct{ Prompt, Completion, Text string }
	Dataset  []struct {
		Tokens []int32 `json:"input_ids"`
		From   int     `json:"completion_start"`
	}
	Log []map[string]float64
}

// Twenty steps of TRL's SFTTrainer from its own examples: the token ids, each loss and metric of
// each step, and the adapter at the end.
func TestOracleTrainer(t *testing.T) {
	for _, name := range []string{"sft", "sft_text"} {
		var c trainerCase
		readJSON(t, &c, "trainers", name, "case.json")
		base := openBase(t, c.Model, false)
		o := c.Options
		cfg := Defaults()
		cfg.LearningRate, cfg.MaxSteps, cfg.BatchSize, cfg.GradAccumulation, cfg.LRScheduler = o.LR, o.Steps, o.Batch, o.Accum, o.Sched
		cfg.AdamBeta1, cfg.AdamBeta2, cfg.AdamEps, cfg.WeightDecay, cfg.WarmupSteps = o.Beta1, o.Beta2, o.Eps, o.Decay, o.Warmup
		cfg.MaxGradNorm, cfg.Seed, cfg.Shuffle, cfg.LoggingSteps, cfg.SaveSteps = o.Clip, o.Seed, false, 1, 0
		cfg.MaxLength = o.MaxLen
		var recs []datasets.Record
		for _, x := range c.Examples {
			recs = append(recs, datasets.Record{Prompt: datasets.Text(x.Prompt), Chosen: datasets.Text(x.Completion + x.Text)})
		}
		enc := &encode.Encoder{Tok: base.Tokenizer, MaxLength: o.MaxLen}
		for i := range recs {
			x, err := enc.Example(&recs[i], true)
			want := c.Dataset[i]
			want.Tokens = want.Tokens[:min(len(want.Tokens), o.MaxLen)]
			if err != nil || !slices.Equal(x.Tokens, want.Tokens) || x.From != want.From {
				t.Errorf("%s: example %d is %v, want %v, %v", name, i, x, want, err)
			}
		}
		st := openStage(t, filepath.Join(t.TempDir(), "sft"))
		res, err := Train(context.Background(), cfg, Inputs{Base: base, Start: loadAdapter(t, base, c.Model, "adapters", c.Adapter), Train: recs}, st)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := run.ReadMetrics(st.Dir())
		if err != nil || len(rows) != len(c.Log) {
			t.Fatalf("%s: %d rows, want %d, %v", name, len(rows), len(c.Log), err)
		}
		worst := compareLogs(t, name, rows, c.Log)
		moved := wantTensors(t, name+" final", res.Adapter, func(p adapters.Param) []float32 { return ops.F32(p.Param) }, 1e-3, "trainers", name, "final.safetensors")
		t.Logf("%s: largest difference of a logged number %.2g, of a final tensor %.2g", name, worst, moved)
	}
}

// compareLogs compares every number of every step within 1e-3, large ones (grad_norm, logps) relatively.
func compareLogs(t *testing.T, what string, rows []run.Entry, want []map[string]float64) float64 {
	t.Helper()
	worst := 0.0
	for i, w := range want {
		for metric, v := range w {
			got, ok := rows[i].Fields[metric]
			d := math.Abs(got-v) / math.Max(1, math.Abs(v))
			worst = max(worst, d)
			if !ok || !(d <= 1e-3) {
				t.Errorf("%s step %d: %s is %.7g (logged: %v), want %.7g", what, i+1, metric, got, ok, v)
			}
		}
	}
	first, last := want[0]["loss"], want[len(want)-1]["loss"]
	if math.Abs(first-last) < 0.05 {
		t.Errorf("%s: the peer's loss moves from %g to %g only: the comparison shows little", what, first, last)
	}
	return worst
}
