package ppo

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"plumb/adapters"
	"plumb/datasets"
	"plumb/internal/batch"
	"plumb/internal/model"
	"plumb/internal/ops"
	"plumb/internal/oracletest"
	"plumb/internal/testpaths"
	"plumb/internal/train"
	"plumb/internal/weights"
)

type oracleCase struct {
	Model, Adapter string
	ValueAdapter   string `json:"value_adapter"`
	RewardModel    string `json:"reward_model"`
	Options        struct {
		Beta1    float64 `json:"adam_beta1"`
		Beta2    float64 `json:"adam_beta2"`
		Eps      float64 `json:"adam_epsilon"`
		Clip     float64 `json:"cliprange"`
		ClipV    float64 `json:"cliprange_value"`
		Gamma    float64
		Accum    int     `json:"gradient_accumulation_steps"`
		KLCoef   float64 `json:"kl_coef"`
		KL       string  `json:"kl_estimator"`
		Lam      float64
		LR       float64  `json:"learning_rate"`
		Sched    string   `json:"lr_scheduler_type"`
		Penalty  *float64 `json:"missing_eos_penalty"`
		Mini     int      `json:"num_mini_batches"`
		Epochs   int      `json:"num_ppo_epochs"`
		Batch    int      `json:"per_device_train_batch_size"`
		Length   int      `json:"response_length"`
		Temp     float64  `json:"temperature"`
		VF       float64  `json:"vf_coef"`
		Decay    float64  `json:"weight_decay"`
		Whiten   bool     `json:"whiten_rewards"`
		Sequence uint64   `json:"seed"`
	}
	Updates []struct {
		Queries, Responses [][]int32
		Steps              []struct {
			Epoch       int
			Mini        int `json:"mini_batch"`
			Indices     []int
			Updated     bool
			EntropyReal float64 `json:"entropy_real"`
			PG          float64 `json:"pg_loss"`
			VF          float64 `json:"vf_loss"`
			VFClip      float64 `json:"vf_clipfrac"`
			ApproxKL    float64 `json:"approxkl"`
			Ratio       float64
			PGClip      float64 `json:"pg_clipfrac"`
		}
		Metrics map[string]float64
	}
}

// golden is a file of tensors.
type golden struct {
	t   *testing.T
	set *weights.Set
}

func openGolden(t *testing.T, elem ...string) golden {
	t.Helper()
	set, err := weights.Open(testpaths.Oracle(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close() })
	return golden{t, set}
}

func (g golden) take(name string, shape ...int) []float32 {
	g.t.Helper()
	tensor, err := g.set.Take(name, shape...)
	if err != nil {
		g.t.Fatal(err)
	}
	return tensor.Float32()
}

// wantParams compares tensors of an adapter with those of a golden file, relative to their norm.
func (g golden) wantParams(what, prefix string, a *adapters.Adapter, get func(adapters.Param) []float32, tol float64) float64 {
	g.t.Helper()
	worst := 0.0
	for _, p := range a.Params() {
		want := g.take(prefix+".base_model.model."+p.Name, p.Shape()...)
		got := get(p)
		var d, n float64
		for i, w := range want {
			x := float32(0)
			if got != nil {
				x = got[i]
			}
			d += float64(x-w) * float64(x-w)
			n += float64(w) * float64(w)
		}
		rel := math.Sqrt(d / n)
		worst = max(worst, rel)
		if !(rel <= tol) {
			g.t.Errorf("%s: %s differs by %g, want at most %g", what, p.Name, rel, tol)
		}
	}
	return worst
}

// TRL's PPOTrainer on recorded rollouts that mix an EOS at once, in the middle, at the end and
// none: scores, KL, rewards, values, advantages, returns, every loss and gradient, the metrics of
// three updates and the parameters after them.
func TestOracle(t *testing.T) {
	for _, name := range []string{"llama", "gpt2"} {
		t.Run(name, func(t *testing.T) { oracleRun(t, name) })
	}
}

func oracleRun(t *testing.T, name string) {
	b, err := os.ReadFile(testpaths.Oracle(t, "ppo", name, "case.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c oracleCase
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	o := c.Options
	cfg := Defaults()
	cfg.Compat = "trl"
	cfg.LearningRate, cfg.LRScheduler, cfg.BatchSize, cfg.GradAccumulation, cfg.NumMiniBatches, cfg.NumPPOEpochs = o.LR, o.Sched, o.Batch, o.Accum, o.Mini, o.Epochs
	cfg.AdamBeta1, cfg.AdamBeta2, cfg.AdamEps, cfg.WeightDecay = o.Beta1, o.Beta2, o.Eps, o.Decay
	cfg.ClipRange, cfg.ClipRangeValue, cfg.Gamma, cfg.Lam, cfg.KLCoef, cfg.KLEstimator = o.Clip, o.ClipV, o.Gamma, o.Lam, o.KLCoef, o.KL
	cfg.ResponseLength, cfg.Temperature, cfg.VFCoef, cfg.WhitenRewards, cfg.MaxGradNorm = o.Length, o.Temp, o.VF, o.Whiten, 0
	if o.Penalty != nil {
		cfg.MissingEOSPenalty = *o.Penalty
	}
	base := oracletest.Base(t, testpaths.Oracle(t, c.Model, "model"), model.Options{})
	load := func(m *model.Model, elem ...string) *adapters.Adapter {
		a, err := adapters.Load(testpaths.Oracle(t, elem...), m.Linears())
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	tr, err := newTrainer(cfg, Inputs{Base: base, Start: load(base.Model, c.Model, "adapters", c.Adapter),
		Critic: load(base.Model, c.Model, "adapters", c.ValueAdapter)})
	if err != nil {
		t.Fatal(err)
	}
	tr.reference = nil // TRL turns the adapter off
	tr.prompts = 16
	st := oracletest.Stage(t, filepath.Join(t.TempDir(), "ppo"), "ppo")
	loop, err := train.NewLoop(st, cfg.Options, 16, len(c.Updates), tr.policyOpt, tr.criticOpt)
	if err != nil {
		t.Fatal(err)
	}
	judgeModel := oracletest.Base(t, testpaths.Oracle(t, c.RewardModel, "model"), model.Options{})
	judge := load(judgeModel.Model, c.RewardModel, "adapters", "reward")
	rollouts, grads, final := openGolden(t, "ppo", name, "rollouts.safetensors"), openGolden(t, "ppo", name, "grads.safetensors"), openGolden(t, "ppo", name, "final.safetensors")
	ctx := context.Background()
	worst, worstGrad := 0.0, 0.0
	within := func(what string, got, want float64) {
		t.Helper()
		d := math.Abs(got-want) / math.Max(1, math.Abs(want))
		worst = max(worst, d)
		if !(d <= 1e-3) {
			t.Errorf("%s is %g, want %g", what, got, want)
		}
	}
	for u, up := range c.Updates {
		label := func(s string) string { return string(rune('0'+u)) + "." + s }
		n, T := len(up.Responses), o.Length
		var episodes []*episode
		for i, r := range up.Responses {
			e := &episode{record: &datasets.Record{}, key: uint64(i), prompt: up.Queries[i], tokens: r}
			e.stopped = r[len(r)-1] == tr.tok.EOS()
			episodes = append(episodes, e)
		}
		// The sampler's log-probabilities and the score, by TRL's models on the same ids.
		tr.buffers(episodes)
		lp, ref, scores := rollouts.take(label("logprobs"), n, T), rollouts.take(label("ref_logprobs"), n, T), rollouts.take(label("scores"), n)
		for _, p := range parts(episodes, 1<<20) {
			now := p.logProbs(base.Model, tr.policy, cfg.Temperature)
			for i, e := range p.episodes {
				e.logprobs = now[p.spans[i].target : p.spans[i].target+len(e.tokens)]
			}
		}
		for _, e := range episodes {
			seq := append(append([]int32(nil), e.prompt...), e.tokens...)
			critic := part{tree: treeOf(seq), valueRows: []int{len(seq) - 1}}
			e.score = critic.values(judgeModel.Model, judge)[0]
		}
		if err := tr.refer(ctx, episodes); err != nil {
			t.Fatal(err)
		}
		tr.rewardAll(episodes, cfg.KLCoef)
		if _, err := tr.appraise(ctx, episodes, [][]*episode{episodes}, 0, 1); err != nil {
			t.Fatal(err)
		}
		values, kl, rewards := rollouts.take(label("values"), n, T), rollouts.take(label("kl"), n, T), rollouts.take(label("rewards"), n, T)
		adv, returns := rollouts.take(label("advantages"), n, T), rollouts.take(label("returns"), n, T)
		for i, e := range episodes {
			within(label("score"), e.score, float64(scores[i]))
			for k := range T {
				at := i*T + k
				if k < len(e.tokens) {
					within(label("logprob"), e.logprobs[k], float64(lp[at]))
					within(label("reference logprob"), e.ref[k], float64(ref[at]))
					within(label("KL"), e.kl[k], float64(kl[at]))
					within(label("advantage"), e.advantages[k], float64(adv[at]))
				}
				if k < e.n {
					within(label("value"), e.values[k], float64(values[at]))
					within(label("reward"), e.rewards[k], float64(rewards[at]))
					within(label("return"), e.returns[k], float64(returns[at]))
				} else if values[at] != 0 || rewards[at] != 0 {
					t.Errorf("%s: episode %d has value %g and reward %g at %d, beyond its buffer of %d", label("buffer"), i, values[at], rewards[at], k, e.n)
				}
			}
		}
		// Training in the peer's order; the gradients of the first update are looked at on the way.
		var order [][]int
		for _, s := range up.Steps {
			for len(order) <= s.Epoch {
				order = append(order, nil)
			}
			order[s.Epoch] = append(order[s.Epoch], s.Indices...)
		}
		if u == 0 {
			// Before any step: the first micro-batch alone.
			group := pick(episodes, up.Steps[0].Indices)
			if _, err := tr.gradients(ctx, group, 1/float64(o.Accum), nil); err != nil {
				t.Fatal(err)
			}
			worstGrad = max(worstGrad, grads.wantParams("0.0", "0.0.policy", tr.policy, oracletest.GradOf, 1e-4), grads.wantParams("0.0", "0.0.value", tr.critic, oracletest.GradOf, 1e-4))
			tr.policyOpt.ZeroGrad()
			tr.criticOpt.ZeroGrad()
		}
		var snapshots int
		if u == 0 {
			// The last micro-batch of the first update, after the steps before it.
			tr.policyOpt.Snapshot()
			tr.criticOpt.Snapshot()
			for _, s := range up.Steps {
				if _, err := tr.gradients(ctx, pick(episodes, s.Indices), 1/float64(o.Accum), nil); err != nil {
					t.Fatal(err)
				}
				if snapshots++; snapshots == len(up.Steps) {
					break
				}
				if s.Updated {
					tr.policyOpt.Step(loop.LR())
					tr.criticOpt.Step(loop.LR())
				}
			}
			worstGrad = max(worstGrad, grads.wantParams("0.3", "0.3.policy", tr.policy, oracletest.GradOf, 1e-4), grads.wantParams("0.3", "0.3.value", tr.critic, oracletest.GradOf, 1e-4))
			tr.policyOpt.Restore()
			tr.criticOpt.Restore()
		}
		all, err := tr.optimise(ctx, loop, episodes, func(epoch int) []int { return order[epoch] })
		if err != nil {
			t.Fatal(err)
		}
		if len(all) != len(up.Steps) {
			t.Fatalf("%d micro-batches, want %d", len(all), len(up.Steps))
		}
		for i, s := range up.Steps {
			within(label("policy loss"), all[i].policy, s.PG)
			within(label("value loss"), all[i].value, s.VF)
			within(label("policy clip fraction"), all[i].clipFrac, s.PGClip)
			within(label("value clip fraction"), all[i].valueClipFrac, s.VFClip)
			within(label("approximate KL"), all[i].approxKL, s.ApproxKL)
			within(label("ratio"), all[i].ratio, s.Ratio)
			within(label("entropy"), all[i].entropy, s.EntropyReal)
		}
		metrics := tr.metrics(episodes, all, cfg.KLCoef, loop.LR())
		metrics["episode"] = float64((u + 1) * n)
		for metric, want := range up.Metrics {
			if metric != "policy/entropy_avg" { // TRL's also averages what it computes at padding
				within(label(metric), metrics[metric], want)
			}
		}
		if err := loop.End(ctx, nil); err != nil {
			t.Fatal(err)
		}
	}
	value := func(p adapters.Param) []float32 { return ops.F32(p.Param) }
	moved := max(final.wantParams("final", "policy", tr.policy, value, 1e-3), final.wantParams("final", "value", tr.critic, value, 1e-3))
	t.Logf("largest difference of a number %.2g, of a gradient %.2g, of a final tensor %.2g", worst, worstGrad, moved)
}

func treeOf(seq []int32) *batch.Tree {
	tree := &batch.Tree{}
	tree.Add(-1, seq, 0)
	return tree
}

func pick(episodes []*episode, indices []int) []*episode {
	var out []*episode
	for _, i := range indices {
		out = append(out, episodes[i])
	}
	return out
}
