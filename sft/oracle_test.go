package sft

import (
	"context"
	"math"
	"path/filepath"
	"slices"
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
	worst, off := 0.0, 0.0
	for _, name := range []string{"llama", "gpt2", "llama3", "qwen2"} {
		var c lossCase
		oracletest.JSON(t, &c, testpaths.Oracle(t, "losses", name, "case.json"))
		base := oracletest.Base(t, testpaths.Oracle(t, name, "model"), model.Options{})
		var items []encode.Example
		var all []int
		for i, r := range c.Rows {
			items, all = append(items, encode.Example{Tokens: r.Tokens, From: r.From}), append(all, i)
		}
		tr := &trainer{cfg: Defaults(), model: base.Model, tok: base.Tokenizer, adapter: oracletest.Adapter(t, base, testpaths.Oracle(t, name, "adapters", "lora"))}
		tr.adapter.SetTrainable(true)
		got, metrics := tr.step(items, all, 0, countLabels(items, all))
		want := c.Losses["sft"]
		if off = max(off, math.Abs(got-want)); !(math.Abs(got-want) <= 1e-4) {
			t.Errorf("%s: loss %g, want %g", name, got, want)
		}
		for _, metric := range []string{"entropy", "mean_token_accuracy"} {
			if w, ok := c.Metrics["sft"][metric]; !ok || !(math.Abs(metrics[metric]-w) <= 1e-4) {
				t.Errorf("%s: %s is %g, want %g", name, metric, metrics[metric], w)
			}
		}
		worst = max(worst, oracletest.WantTensors(t, name, tr.adapter, oracletest.GradOf, 1e-4, testpaths.Oracle(t, "losses", name, "sft.safetensors")))
	}
	t.Logf("largest difference of a loss %.2g, relative of a gradient %.2g", off, worst)
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
		oracletest.JSON(t, &c, testpaths.Oracle(t, "trainers", name, "case.json"))
		base := oracletest.Base(t, testpaths.Oracle(t, c.Model, "model"), model.Options{})
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
		st := oracletest.Stage(t, filepath.Join(t.TempDir(), "sft"), "sft")
		res, err := Train(context.Background(), cfg, Inputs{Base: base, Start: oracletest.Adapter(t, base, testpaths.Oracle(t, c.Model, "adapters", c.Adapter)), Train: recs}, st)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := run.ReadMetrics(st.Dir())
		if err != nil || len(rows) != len(c.Log) {
			t.Fatalf("%s: %d rows, want %d, %v", name, len(rows), len(c.Log), err)
		}
		loss, worst := oracletest.Logs(t, name, rows, c.Log)
		moved := oracletest.WantTensors(t, name+" final", res.Adapter, func(p adapters.Param) []float32 { return ops.F32(p.Param) }, 1e-3, testpaths.Oracle(t, "trainers", name, "final.safetensors"))
		t.Logf("%s: largest difference of a loss %.2g, of any logged number %.2g, of a final tensor %.2g", name, loss, worst, moved)
	}
}
