package ppo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"plumb/adapters"
	"plumb/datasets"
	"plumb/internal/model"
	"plumb/internal/ops"
	"plumb/internal/oracletest"
	"plumb/internal/run"
	"plumb/internal/testpaths"
)

func questions(n int) []datasets.Record {
	var recs []datasets.Record
	for i := range n {
		recs = append(recs, datasets.Record{Prompt: datasets.Text(fmt.Sprintf("question %c%d", 'a'+i%7, i))})
	}
	return recs
}

// scorerFunc scores one answer at a time.
type scorerFunc func(Example) float64

func (f scorerFunc) Score(_ context.Context, xs []Example) ([]float64, error) {
	out := make([]float64, len(xs))
	for i, x := range xs {
		out[i] = f(x)
	}
	return out, nil
}

// letters rewards the share of a small set of characters.
func letters(x Example) float64 {
	n, hits := 0, 0
	for _, r := range x.Answer {
		n++
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyz", r) {
			hits++
		}
	}
	if n == 0 {
		return 0
	}
	return float64(hits) / float64(n)
}

func smallConfig() Config {
	cfg := Defaults()
	cfg.LearningRate, cfg.BatchSize, cfg.GradAccumulation, cfg.ResponseLength, cfg.Temperature = 5e-3, 8, 2, 10, 1
	cfg.LRScheduler, cfg.SaveSteps, cfg.Lora.R = "constant", 2, 4
	return cfg
}

func TestTrainLearns(t *testing.T) {
	base := oracletest.Base(t, testpaths.Oracle(t, "llama", "model"), model.Options{})
	cfg := smallConfig()
	const updates = 18
	cfg.MaxSteps, cfg.NumMiniBatches, cfg.BatchSize, cfg.KLCoef, cfg.LearningRate = updates, 2, 32, 1e-3, 3e-3
	st := oracletest.Stage(t, filepath.Join(t.TempDir(), "ppo"), "ppo")
	res, err := Train(context.Background(), cfg, Inputs{Base: base, Reward: scorerFunc(letters), Train: questions(40), Eval: questions(32)}, st)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := run.ReadMetrics(st.Dir())
	if err != nil || len(rows) != updates+1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	first, last := rows[0].Fields, rows[updates-1].Fields
	if last["objective/scores"] < first["objective/scores"]+0.15 {
		t.Errorf("score %g at first, %g at the end", first["objective/scores"], last["objective/scores"])
	}
	if first["objective/kl"] != 0 {
		t.Errorf("KL of an untouched policy is %g", first["objective/kl"])
	}
	if last["objective/kl"] <= 0.01 {
		t.Errorf("KL %g: the policy did not move", last["objective/kl"])
	}
	for _, name := range []string{"objective/kl", "objective/entropy", "objective/non_score_reward", "objective/rlhf_reward", "objective/scores",
		"policy/approxkl_avg", "policy/clipfrac_avg", "policy/entropy_avg", "loss/policy_avg", "loss/value_avg",
		"val/clipfrac_avg", "val/ratio", "val/ratio_var", "val/num_eos_tokens", "lr", "episode"} {
		if _, ok := first[name]; !ok {
			t.Errorf("metric %s is missing", name)
		}
	}
	if first["episode"] != 64 || last["episode"] != updates*64 {
		t.Errorf("episodes %g, %g", first["episode"], last["episode"])
	}
	if res.Eval["objective/scores"] < first["objective/scores"]+0.1 {
		t.Errorf("evaluation %v", res.Eval)
	}
	if _, err := adapters.Load(res.Adapter, base.Model.Linears()); err != nil {
		t.Error(err)
	}
	if c, err := adapters.Load(st.Path("critic"), base.Model.Linears()); err != nil || c.Head == nil {
		t.Errorf("critic: %v", err)
	}
}

// prepared returns a trainer and episodes that were sampled and judged.
func prepared(t *testing.T, cfg Config) (*trainer, []*episode) {
	t.Helper()
	base := oracletest.Base(t, testpaths.Oracle(t, "llama", "model"), model.Options{})
	load := func(name string) *adapters.Adapter {
		a, err := adapters.Load(testpaths.Oracle(t, "llama", "adapters", name), base.Model.Linears())
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	tr, err := newTrainer(cfg, Inputs{Base: base, Start: load("lora"), Critic: load("reward"), Reward: scorerFunc(letters)})
	if err != nil {
		t.Fatal(err)
	}
	prompts, _, err := encodePrompts(cfg, base, questions(20))
	if err != nil {
		t.Fatal(err)
	}
	episodes := tr.episodes(prompts, 0)
	ctx := context.Background()
	if err := tr.sample(ctx, episodes); err != nil {
		t.Fatal(err)
	}
	if err := tr.score(ctx, episodes); err != nil {
		t.Fatal(err)
	}
	if err := tr.refer(ctx, episodes); err != nil {
		t.Fatal(err)
	}
	tr.rewardAll(episodes, cfg.KLCoef)
	if _, err := tr.appraise(ctx, episodes, [][]*episode{episodes}, 0, 1); err != nil {
		t.Fatal(err)
	}
	return tr, episodes
}

// The first pass over an update sees the sampler's own log-probabilities: ratio 1 exactly, nothing
// clipped; and the KL of an untouched policy is 0 exactly.
func TestFirstRatioIsOne(t *testing.T) {
	for _, compat := range []string{"", "trl"} {
		cfg := smallConfig()
		cfg.Compat, cfg.MicroBatchTokens = compat, 50
		tr, episodes := prepared(t, cfg)
		s, err := tr.gradients(context.Background(), episodes, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(s.ratio-1) > 1e-12 || s.approxKL != 0 || s.clipFrac != 0 || s.valueClipFrac != 0 {
			t.Errorf("compat %q: %+v", compat, s)
		}
		if s.entropy < 1 || s.value <= 0 {
			t.Errorf("compat %q: %+v", compat, s)
		}
		for _, e := range episodes {
			if slices.Max(e.kl) != 0 || slices.Min(e.kl) != 0 {
				t.Errorf("compat %q: KL %v", compat, e.kl)
			}
			want := len(e.tokens)
			if compat == "trl" && want < tr.longest {
				want++
			}
			if e.n != want || len(e.values) != want || len(e.returns) != want {
				t.Errorf("compat %q: buffer %d of %d tokens, longest %d", compat, e.n, len(e.tokens), tr.longest)
			}
		}
	}
}

// The critic learns the same from the pass that its values come from, where a step has all episodes, some or several groups.
func TestAppraiseLearns(t *testing.T) {
	for _, c := range []struct {
		mini, perStep int
		compat        string
	}{{1, 1, ""}, {2, 1, ""}, {1, 2, "trl"}, {2, 3, "trl"}} {
		cfg := smallConfig()
		cfg.Compat, cfg.NumMiniBatches, cfg.MicroBatchTokens = c.compat, c.mini, 70
		tr, episodes := prepared(t, cfg)
		groups := tr.groups(episodes, tr.order(len(episodes), 0, 0))
		learn := min(c.perStep, len(groups))
		var apart []stats
		for _, g := range groups[:learn] {
			s, err := tr.gradients(context.Background(), g, 0.5, nil)
			if err != nil {
				t.Fatal(err)
			}
			apart = append(apart, s)
		}
		want := map[string][]float32{}
		for _, p := range tr.critic.Params() {
			want[p.Name] = slices.Clone(ops.Grad(p.Param))
		}
		tr.criticOpt.ZeroGrad()
		var before []episode
		for _, e := range episodes {
			before = append(before, *e)
			e.values, e.advantages, e.returns = nil, nil, nil
		}
		got, err := tr.appraise(context.Background(), episodes, groups, learn, 0.5)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range got {
			if s.value != apart[i].value || s.valueClipFrac != 0 || s.value == 0 {
				t.Errorf("%+v: group %d has a loss of %g, apart %g", c, i, s.value, apart[i].value)
			}
		}
		for i, e := range episodes {
			if !slices.Equal(e.values, before[i].values) || !slices.Equal(e.advantages, before[i].advantages) || !slices.Equal(e.returns, before[i].returns) {
				t.Errorf("%+v: episode %d is appraised otherwise", c, i)
			}
		}
		for _, p := range tr.critic.Params() {
			if !slices.Equal(ops.Grad(p.Param), want[p.Name]) {
				t.Errorf("%+v: %s has another gradient", c, p.Name)
			}
		}
	}
}

// Micro-batches change no gradient of a minibatch beyond rounding.
func TestMicroBatches(t *testing.T) {
	var want map[string][]float32
	var first stats
	for _, tokens := range []int{1 << 20, 1, 70} {
		cfg := smallConfig()
		cfg.MicroBatchTokens = tokens
		tr, episodes := prepared(t, cfg)
		for i, e := range episodes { // as if the policy had moved since
			for k := range e.logprobs {
				e.logprobs[k] += 0.3 * math.Sin(float64(7*i+k))
			}
		}
		s, err := tr.gradients(context.Background(), episodes, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]float32{}
		for _, a := range []*adapters.Adapter{tr.policy, tr.critic} {
			for _, p := range a.Params() {
				got[a.TaskType+" "+p.Name] = slices.Clone(ops.Grad(p.Param))
			}
		}
		if want == nil {
			want, first = got, s
			if s.clipFrac == 0 {
				t.Error("nothing is clipped: the test shows little")
			}
			continue
		}
		if math.Abs(s.policy-first.policy) > 1e-6 || math.Abs(s.value-first.value) > 1e-6 {
			t.Errorf("%d tokens: %+v, want %+v", tokens, s, first)
		}
		for name, w := range want {
			var d, n float64
			for i := range w {
				d += float64(got[name][i]-w[i]) * float64(got[name][i]-w[i])
				n += float64(w[i]) * float64(w[i])
			}
			if !(math.Sqrt(d/n) < 1e-5) {
				t.Errorf("%d tokens: gradient of %s differs by %g", tokens, name, math.Sqrt(d/n))
			}
		}
	}
}

// countdown is a context that is cancelled after being asked a number of times: it stops a
// training in a rollout, in scoring or between passes, at a place that depends on no clock.
type countdown struct {
	context.Context
	left atomic.Int64
}

func countDown(n int) *countdown {
	c := &countdown{Context: context.Background()}
	c.left.Store(int64(n))
	return c
}

func (c *countdown) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

var timeField = regexp.MustCompile(`,"time":"[^"]*"`)

func outcome(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"adapter/*", "critic/*", "checkpoints/*/*", "metrics.jsonl", recordName} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			rel, _ := filepath.Rel(dir, name)
			if info, err := os.Stat(name); err != nil || info.IsDir() {
				continue
			}
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			out[rel] = timeField.ReplaceAllString(string(b), "")
		}
	}
	if len(out) < 8 {
		t.Fatalf("only %d files in %s", len(out), dir)
	}
	return out
}

// The same bytes at any thread count, and however often the run was interrupted, in a rollout or in training.
func TestSameBytes(t *testing.T) {
	base := oracletest.Base(t, testpaths.Oracle(t, "gpt2", "model"), model.Options{})
	cfg := smallConfig()
	cfg.BatchSize, cfg.NumPPOEpochs, cfg.KLTarget, cfg.MaxSteps, cfg.EvalSteps = 2, 2, 0.5, 5, 3
	cfg.ResponseLength = 6
	train := func(ctx context.Context, dir string) error {
		st := oracletest.Stage(t, dir, "ppo")
		defer st.Close()
		_, err := Train(ctx, cfg, Inputs{Base: base, Reward: scorerFunc(letters), Train: questions(7), Eval: questions(2)}, st)
		return err
	}
	straight := filepath.Join(t.TempDir(), "ppo")
	if err := train(context.Background(), straight); err != nil {
		t.Fatal(err)
	}
	want := outcome(t, straight)
	same := func(what, dir string) {
		got := outcome(t, dir)
		for name := range want {
			if got[name] != want[name] {
				t.Errorf("%s: %s differs or is missing", what, name)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d files, want %d", what, len(got), len(want))
		}
	}
	one := filepath.Join(t.TempDir(), "ppo")
	procs := runtime.GOMAXPROCS(1)
	err := train(context.Background(), one)
	runtime.GOMAXPROCS(procs)
	if err != nil {
		t.Fatal(err)
	}
	same("one thread", one)

	broken := filepath.Join(t.TempDir(), "ppo")
	stops := 0
	for n := 1; ; n++ {
		err := train(countDown(n), broken)
		if err == nil {
			break
		}
		stops++
		var exit *run.ExitError
		if !errors.As(err, &exit) || exit.Code != run.CodeInterrupted {
			t.Fatal(err)
		}
	}
	if stops < 10 {
		t.Errorf("only %d interruptions", stops)
	}
	same("interrupted", broken)
}

// A scorer that does not answer twice alike is asked once about a sample, even where several updates and an evaluation are done again, for the process was killed
// long after its last checkpoint.
func TestScoresAreKept(t *testing.T) {
	base := oracletest.Base(t, testpaths.Oracle(t, "gpt2", "model"), model.Options{})
	cfg := smallConfig()
	cfg.BatchSize, cfg.NumPPOEpochs, cfg.ResponseLength, cfg.MaxSteps, cfg.SaveSteps, cfg.EvalSteps = 2, 1, 4, 6, 4, 3
	calls := 0
	moody := scorerFunc(func(Example) float64 { calls++; return float64(calls) })
	train := func(ctx context.Context, dir string) error {
		st := oracletest.Stage(t, dir, "ppo")
		defer st.Close()
		_, err := Train(ctx, cfg, Inputs{Base: base, Reward: moody, Train: questions(7), Eval: questions(2)}, st)
		return err
	}
	straight := filepath.Join(t.TempDir(), "ppo")
	if err := train(context.Background(), straight); err != nil {
		t.Fatal(err)
	}
	want, asked := outcome(t, straight), calls

	killed := filepath.Join(t.TempDir(), "ppo")
	calls = 0
	for n := 40; n < 10000; n += 40 { // later and later
		if train(countDown(n), killed) == nil {
			break
		}
		// An interruption saves where it is; a kill does not.
		saved, err := filepath.Glob(filepath.Join(killed, "checkpoints", "step-*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range saved {
			if filepath.Base(dir) != "step-00000004" {
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if calls != asked {
		t.Errorf("asked %d times, want %d", calls, asked)
	}
	for name, w := range want {
		if got := outcome(t, killed)[name]; got != w {
			t.Errorf("%s differs or is missing", name)
		}
	}
}

// A line that was cut is taken off; a line that is damaged otherwise is an error that names it.
func TestRecordOfADisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), recordName)
	r, err := openRecord(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	for u := 1; u <= 2; u++ {
		if err := r.add(rollout{Update: u, Samples: []rolloutSample{{"a", "b", "0x1p+00"}}}); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, whole[:len(whole)-3], 0o644); err != nil {
		t.Fatal(err)
	}
	if r, err = openRecord(path, 0); err != nil || len(r.lines) != 1 {
		t.Fatal(r, err)
	}
	if err := r.add(rollout{Update: 2, Samples: []rolloutSample{{"a", "b", "0x1p+00"}}}); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(path); err != nil || string(again) != string(whole) {
		t.Errorf("%q, want %q, %v", again, whole, err)
	}
	if err := os.WriteFile(path, append([]byte("{}}\n"), whole...), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openRecord(path, 0); err == nil || !strings.Contains(err.Error(), recordName+": line 1:") {
		t.Error(err)
	}
}

type badScorer struct {
	scores []float64
	err    error
}

func (b badScorer) Score(context.Context, []Example) ([]float64, error) { return b.scores, b.err }

func TestBadInput(t *testing.T) {
	base := oracletest.Base(t, testpaths.Oracle(t, "llama", "model"), model.Options{})
	nan := slices.Repeat([]float64{math.NaN()}, 16)
	for name, c := range map[string]struct {
		reward Scorer
		recs   []datasets.Record
		change func(*Config)
		want   string
	}{
		"empty":        {scorerFunc(letters), nil, nil, "empty"},
		"scorer fails": {badScorer{err: errors.New("judge is out")}, questions(3), nil, "update 1: reward: judge is out"},
		"few scores":   {badScorer{scores: []float64{1}}, questions(3), nil, "1 scores for 16 examples"},
		"NaN score":    {badScorer{scores: nan}, questions(3), nil, "is NaN"},
		"no room":      {scorerFunc(letters), questions(3), func(c *Config) { c.ResponseLength = 1 << 20 }, "leaves no room"},
		"long prompts": {scorerFunc(letters), questions(3), func(c *Config) { c.MaxPromptLength = 3 }, "over max_length 3"},
	} {
		cfg := smallConfig()
		if c.change != nil {
			c.change(&cfg)
		}
		_, err := Train(context.Background(), cfg, Inputs{Base: base, Reward: c.reward, Train: c.recs}, oracletest.Stage(t, filepath.Join(t.TempDir(), "ppo"), "ppo"))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
