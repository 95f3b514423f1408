package dpo

import (
	"context"
	"encoding/json"
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
	Beta           float64
	LabelSmoothing float64 `json:"label_smoothing"`
	Pairs          []struct {
		Prompt   []int32 `json:"prompt_ids"`
		Chosen   []int32 `json:"chosen_ids"`
		Rejected []int32 `json:"rejected_ids"`
	}
	LogPs    []float64 `json:"logps"`
	RefLogPs []float64 `json:"ref_logps"`
	Losses   map[string]float64
	Metrics  map[string]map[string]float64
	Values   map[string]float64
}

// Loss, metrics, log-probabilities and every gradient of TRL's own losses, on one batch from an
// adapter whose B is not zero.
func TestOracleLosses(t *testing.T) {
	worst, off, count := 0.0, 0.0, 0
	for _, name := range []string{"llama", "gpt2", "llama3", "qwen2"} {
		var c lossCase
		oracletest.JSON(t, &c, testpaths.Oracle(t, "losses", name, "case.json"))
		base := oracletest.Base(t, testpaths.Oracle(t, name, "model"), model.Options{})
		var pairs []encode.Pair
		for _, p := range c.Pairs {
			pairs = append(pairs, encode.Pair{Prompt: p.Prompt, Chosen: p.Chosen, Rejected: p.Rejected})
		}
		for _, loss := range LossTypes() {
			want, ok := c.Losses[loss]
			if _, only := c.Values[loss]; !ok && !only || loss == "sft" {
				continue // sft: a trainer of its own
			}
			if !ok {
				want = c.Values[loss]
			}
			cfg := Defaults()
			cfg.LossType, cfg.Beta, cfg.LabelSmoothing = []string{loss}, c.Beta, c.LabelSmoothing
			tr := &trainer{cfg: cfg, objective: cfg.objective(), base: base.Model, policy: oracletest.Adapter(t, base, testpaths.Oracle(t, name, "adapters", "lora"))}
			tr.policy.SetTrainable(true)
			var err error
			if tr.cache, err = openRefCache(filepath.Join(t.TempDir(), "cache"), [32]byte{}); err != nil {
				t.Fatal(err)
			}
			got, metrics := tr.step(pairs, []int{0, 1, 2, 3, 4, 5}, nil, 0, 1)
			tr.cache.close()
			d := math.Abs(got-want) / math.Max(1, want)
			if off = max(off, d); !(d <= 1e-4) {
				t.Errorf("%s %s: loss %g, want %g", name, loss, got, want)
			}
			for metric, w := range c.Metrics[loss] {
				if metric != "num_tokens" && !(math.Abs(metrics[metric]-w) <= 1e-3) {
					t.Errorf("%s %s: %s is %g, want %g", name, loss, metric, metrics[metric], w)
				}
			}
			if ok {
				d = oracletest.WantTensors(t, name+" "+loss, tr.policy, oracletest.GradOf, 1e-4, testpaths.Oracle(t, "losses", name, loss+".safetensors"))
				worst = max(worst, d)
				count++
			}
		}
		// Each log-probability, policy and reference.
		part := newPart(pairs, []int{0, 1, 2, 3, 4, 5})
		for what, side := range map[string]struct {
			a    *adapters.Adapter
			want []float64
		}{"policy": {oracletest.Adapter(t, base, testpaths.Oracle(t, name, "adapters", "lora")), c.LogPs}, "reference": {nil, c.RefLogPs}} {
			vals := make([]Pair, 6)
			part.fill(vals, part.logProbs(nil, base.Model, side.a, nil), pairs, 1)
			for i, v := range vals {
				if math.Abs(v.Chosen-side.want[i]) > 1e-3 || math.Abs(v.Rejected-side.want[i+6]) > 1e-3 {
					t.Errorf("%s %s: pair %d has %g, %g, want %g, %g", name, what, i, v.Chosen, v.Rejected, side.want[i], side.want[i+6])
				}
			}
		}
	}
	if count < 11 {
		t.Errorf("gradients of %d losses compared, want at least 11", count)
	}
	t.Logf("%d losses: largest difference of a loss %.2g, relative of a gradient %.2g", count, off, worst)
}

type trainerCase struct {
	Model, Adapter, Reference string
	Options                   struct {
		Beta1  float64 `json:"adam_beta1"`
		Beta2  float64 `json:"adam_beta2"`
		Eps    float64 `json:"adam_epsilon"`
		Beta   float64
		Loss   string  `json:"loss_type"`
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
	Examples []struct{ Prompt, Chosen, Rejected json.RawMessage }
	Dataset  []struct {
		Prompt   []int32 `json:"prompt_ids"`
		Chosen   []int32 `json:"chosen_ids"`
		Rejected []int32 `json:"rejected_ids"`
	}
	Log []map[string]float64
}

// side reads a text or a list of turns.
func side(t *testing.T, raw json.RawMessage) []datasets.Message {
	t.Helper()
	if raw == nil {
		return nil
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return datasets.Text(s)
	}
	var turns []struct{ Role, Content string }
	if err := json.Unmarshal(raw, &turns); err != nil {
		t.Fatal(err)
	}
	var out []datasets.Message
	for _, m := range turns {
		out = append(out, datasets.Message{Role: m.Role, Content: m.Content})
	}
	return out
}

// Twenty steps of TRL's DPOTrainer from its own examples: the token ids, each loss and metric of
// each step, and the adapter at the end.
func TestOracleTrainer(t *testing.T) {
	for _, name := range []string{"dpo", "dpo_ipo"} {
		var c trainerCase
		oracletest.JSON(t, &c, testpaths.Oracle(t, "trainers", name, "case.json"))
		base := oracletest.Base(t, testpaths.Oracle(t, c.Model, "model"), model.Options{})
		o := c.Options
		cfg := Defaults()
		cfg.LearningRate, cfg.MaxSteps, cfg.BatchSize, cfg.GradAccumulation, cfg.LRScheduler = o.LR, o.Steps, o.Batch, o.Accum, o.Sched
		cfg.AdamBeta1, cfg.AdamBeta2, cfg.AdamEps, cfg.WeightDecay, cfg.WarmupSteps = o.Beta1, o.Beta2, o.Eps, o.Decay, o.Warmup
		cfg.MaxGradNorm, cfg.Seed, cfg.Shuffle, cfg.LoggingSteps, cfg.SaveSteps = o.Clip, o.Seed, false, 1, 0
		cfg.Beta, cfg.MaxLength = o.Beta, o.MaxLen
		if o.Loss != "" {
			cfg.LossType = []string{o.Loss}
		}
		var recs []datasets.Record
		for _, x := range c.Examples {
			recs = append(recs, datasets.Record{Prompt: side(t, x.Prompt), Chosen: side(t, x.Chosen), Rejected: side(t, x.Rejected)})
		}
		enc := &encode.Encoder{Tok: base.Tokenizer}
		for i := range recs {
			got, err := enc.Pair(&recs[i])
			if err != nil {
				t.Fatal(err)
			}
			want := encode.Pair{Prompt: c.Dataset[i].Prompt, Chosen: c.Dataset[i].Chosen, Rejected: c.Dataset[i].Rejected}
			if !slices.Equal(got.Prompt, want.Prompt) || !slices.Equal(got.Chosen, want.Chosen) || !slices.Equal(got.Rejected, want.Rejected) {
				t.Fatalf("%s: example %d is %v, want %v", name, i, got, want)
			}
		}
		in := Inputs{Base: base, Start: oracletest.Adapter(t, base, testpaths.Oracle(t, c.Model, "adapters", c.Adapter)), Train: recs}
		st := oracletest.Stage(t, filepath.Join(t.TempDir(), "dpo"), "dpo")
		res, err := trainWithReference(cfg, in, c.Reference == "base", st)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := run.ReadMetrics(st.Dir())
		if err != nil || len(rows) != len(c.Log) {
			t.Fatalf("%s: %d rows, want %d, %v", name, len(rows), len(c.Log), err)
		}
		loss, worst := oracletest.Logs(t, name, rows, c.Log)
		moved := oracletest.WantTensors(t, name+" final", res.Policy, func(p adapters.Param) []float32 { return ops.F32(p.Param) }, 1e-3, testpaths.Oracle(t, "trainers", name, "final.safetensors"))
		t.Logf("%s: largest difference of a loss %.2g, of any logged number %.2g, of a final tensor %.2g", name, loss, worst, moved)
	}
}

func trainWithReference(cfg Config, in Inputs, bare bool, st *run.Stage) (Result, error) {
	if bare {
		in.Reference = &Reference{}
	}
	return Train(context.Background(), cfg, in, st)
}
