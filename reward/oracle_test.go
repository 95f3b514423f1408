package reward

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"plumb/adapters"
	"plumb/datasets"
	"plumb/internal/batch"
	"plumb/internal/encode"
	"plumb/internal/model"
	"plumb/internal/ops"
	"plumb/internal/oracletest"
	"plumb/internal/run"
	"plumb/internal/testpaths"
)

type lossCase struct {
	Pairs []struct {
		Chosen   []int32 `json:"chosen_ids"`
		Rejected []int32 `json:"rejected_ids"`
		Margin   float64
	} `json:"reward_pairs"`
	Scores  []float64
	Losses  map[string]float64
	Metrics map[string]map[string]float64
}

// pair splits two sequences at their common prefix.
func pair(chosen, rejected []int32, margin float64) encode.Pair {
	n := batch.CommonPrefix(chosen, rejected)
	return encode.Pair{Prompt: chosen[:n], Chosen: chosen[n:], Rejected: rejected[n:], Margin: margin, HasMargin: true}
}

// Loss, metrics, scores and every gradient of TRL's reward losses, on one batch from an adapter
// whose B is not zero.
func TestOracleLosses(t *testing.T) {
	worst, off := 0.0, 0.0
	for _, name := range []string{"llama", "gpt2"} {
		var c lossCase
		oracletest.JSON(t, &c, testpaths.Oracle(t, "losses", name, "case.json"))
		base := oracletest.Base(t, testpaths.Oracle(t, name, "model"), model.Options{})
		for _, loss := range []string{"reward", "reward_margin"} {
			cfg := Defaults()
			var pairs []encode.Pair
			for _, p := range c.Pairs {
				if loss == "reward" {
					p.Margin = 0
				} else {
					cfg.CenterRewardsCoefficient = 0.05
				}
				pairs = append(pairs, pair(p.Chosen, p.Rejected, p.Margin))
			}
			tr := &trainer{cfg: cfg, base: base.Model, adapter: oracletest.Adapter(t, base, testpaths.Oracle(t, name, "adapters", "reward")), pairs: pairs}
			tr.adapter.SetTrainable(true)
			got, metrics := tr.step([]int{0, 1, 2, 3, 4, 5}, 0, 1)
			want := c.Losses[loss]
			if off = max(off, math.Abs(got-want)); !(math.Abs(got-want) <= 1e-5) {
				t.Errorf("%s %s: loss %g, want %g", name, loss, got, want)
			}
			for metric, w := range c.Metrics[loss] {
				if metric != "num_tokens" && !(math.Abs(metrics[metric]-w) <= 1e-4) {
					t.Errorf("%s %s: %s is %g, want %g", name, loss, metric, metrics[metric], w)
				}
			}
			worst = max(worst, oracletest.WantTensors(t, name+" "+loss, tr.adapter, oracletest.GradOf, 1e-4, testpaths.Oracle(t, "losses", name, loss+".safetensors")))
			m := &Model{Bundle: base, Adapter: tr.adapter}
			for i, p := range pairs {
				tree := &batch.Tree{}
				a, b := encode.AddRewardPair(tree, p, 0)
				s := m.scores(tree, []int{a, b})
				if math.Abs(float64(s[0])-c.Scores[i]) > 1e-4 || math.Abs(float64(s[1])-c.Scores[i+6]) > 1e-4 {
					t.Errorf("%s: pair %d scores %v, want %g, %g", name, i, s, c.Scores[i], c.Scores[i+6])
				}
			}
		}
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
		Center float64 `json:"center_rewards_coefficient"`
		Seed   uint64
	}
	Examples []struct {
		Prompt, Chosen, Rejected string
		Margin                   *float64
	}
	Dataset []struct {
		Chosen   []int32 `json:"chosen_ids"`
		Rejected []int32 `json:"rejected_ids"`
	}
	Log []map[string]float64
}

// Twenty steps of TRL's RewardTrainer from its own examples: the token ids, each loss and metric
// of each step, and the adapter and head at the end.
func TestOracleTrainer(t *testing.T) {
	for _, name := range []string{"reward", "reward_margin"} {
		var c trainerCase
		oracletest.JSON(t, &c, testpaths.Oracle(t, "trainers", name, "case.json"))
		base := oracletest.Base(t, testpaths.Oracle(t, c.Model, "model"), model.Options{})
		o := c.Options
		cfg := Defaults()
		cfg.LearningRate, cfg.MaxSteps, cfg.BatchSize, cfg.GradAccumulation, cfg.LRScheduler = o.LR, o.Steps, o.Batch, o.Accum, o.Sched
		cfg.AdamBeta1, cfg.AdamBeta2, cfg.AdamEps, cfg.WeightDecay, cfg.WarmupSteps = o.Beta1, o.Beta2, o.Eps, o.Decay, o.Warmup
		cfg.MaxGradNorm, cfg.Seed, cfg.Shuffle, cfg.LoggingSteps, cfg.SaveSteps = o.Clip, o.Seed, false, 1, 0
		cfg.MaxLength, cfg.CenterRewardsCoefficient = o.MaxLen, o.Center
		var recs []datasets.Record
		for _, x := range c.Examples {
			recs = append(recs, datasets.Record{Prompt: datasets.Text(x.Prompt), Chosen: datasets.Text(x.Chosen), Rejected: datasets.Text(x.Rejected), Margin: x.Margin})
		}
		set, err := encode.All(recs, encoder(base, o.MaxLen).RewardPair)
		if err != nil || len(set.Items) != len(c.Dataset) || len(set.Items) != len(recs)-1 {
			t.Fatalf("%s: %d pairs, want %d of %d, %v", name, len(set.Items), len(c.Dataset), len(recs), err)
		}
		for i, p := range set.Items {
			if !slices.Equal(slices.Concat(p.Prompt, p.Chosen), c.Dataset[i].Chosen) || !slices.Equal(slices.Concat(p.Prompt, p.Rejected), c.Dataset[i].Rejected) {
				t.Errorf("%s: pair %d is %v", name, i, p)
			}
		}
		st := oracletest.Stage(t, filepath.Join(t.TempDir(), "reward"), "reward")
		res, err := Train(context.Background(), cfg, Inputs{Base: base, Start: oracletest.Adapter(t, base, testpaths.Oracle(t, c.Model, "adapters", c.Adapter)), Train: recs}, st)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := run.ReadMetrics(st.Dir())
		if err != nil || len(rows) != len(c.Log) {
			t.Fatalf("%s: %d rows, want %d, %v", name, len(rows), len(c.Log), err)
		}
		loss, worst := oracletest.Logs(t, name, rows, c.Log)
		moved := oracletest.WantTensors(t, name+" final", res.Model.Adapter, func(p adapters.Param) []float32 { return ops.F32(p.Param) }, 1e-3, testpaths.Oracle(t, "trainers", name, "final.safetensors"))
		t.Logf("%s: largest difference of a loss %.2g, of any logged number %.2g, of a final tensor %.2g", name, loss, worst, moved)
	}
}
