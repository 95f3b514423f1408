package compare

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"plumb/adapters"
	"plumb/datasets"
	"plumb/internal/batch"
	"plumb/internal/model"
	"plumb/internal/ops"
	"plumb/internal/run"
	"plumb/internal/tokenizer"
)

// bundle is a small random model that reads bytes, frozen.
func bundle(t *testing.T) *model.Bundle {
	t.Helper()
	tok := tokenizer.NewByteLevel("")
	m, err := model.NewRandom(model.Config{Type: "llama", Hidden: 32, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 8, Intermediate: 48,
		Vocab: tok.VocabSize(), MaxPositions: 256, NormEps: 1e-5, RopeTheta: 10000, Tied: true, Act: "silu", InitRange: 0.3}, 1)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := m.Save(dir, nil); err != nil {
		t.Fatal(err)
	}
	if m, err = model.OpenWeights(dir, model.Options{}); err != nil {
		t.Fatal(err)
	}
	return &model.Bundle{Model: m, Tokenizer: tok, Path: dir}
}

// moved is an adapter that changes the model's distribution by about scale.
func moved(t *testing.T, b *model.Bundle, seed uint64, scale float64) *adapters.Adapter {
	t.Helper()
	a, err := adapters.New(adapters.Config{R: 4, Alpha: 8, Targets: []string{adapters.AllLinear}}, b.Model.Linears(), seed)
	if err != nil {
		t.Fatal(err)
	}
	rng := run.Rand(seed, "test")
	for _, l := range a.Layers {
		w := ops.F32(l.LoRA.B)
		for i := range w {
			w[i] = float32(rng.NormFloat64() * scale)
		}
	}
	return a
}

func records(n int) []datasets.Record {
	var list []datasets.Record
	for i := range n {
		list = append(list, datasets.Record{ID: string(rune('a' + i)), Prompt: []datasets.Message{{Role: "user", Content: strings.Repeat("ab", i%5+1)}}})
	}
	return list
}

// letters rewards small letters; any function of the text would do.
type letters struct{ asked int }

func (v *letters) Score(_ context.Context, answers []Answer) ([]float64, error) {
	scores := make([]float64, len(answers))
	for i, a := range answers {
		scores[i] = countLetters("", a.Answer)
	}
	v.asked += len(answers)
	return scores, nil
}

func countLetters(_, answer string) float64 {
	n := strings.Count(answer, "")
	for _, c := range answer {
		if c < 'a' || c > 'z' {
			n--
		}
	}
	return float64(n-1) / 4
}

func stage(t *testing.T) *run.Stage {
	t.Helper()
	st, err := run.OpenStage(filepath.Join(t.TempDir(), "compare"), run.Manifest{Stage: "compare"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

func small() Config {
	cfg := Defaults()
	cfg.MaxNewTokens, cfg.BestOf, cfg.Resamples, cfg.Examples, cfg.Seed = 12, 8, 200, 3, 7
	return cfg
}

func TestRun(t *testing.T) {
	b, st, cfg := bundle(t), stage(t), small()
	log := filepath.Join(t.TempDir(), "metrics.jsonl")
	if err := os.WriteFile(log, []byte(`{"step":1,"loss":0.7,"grad_norm":1}`+"\n"+`{"step":2,"loss":null}`+"\n"+`{"step":3,"loss":0.5}`+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	in := Inputs{Base: b, Policies: []Policy{{Name: "same", Adapter: moved(t, b, 1, 0)}, {Name: "far", Adapter: moved(t, b, 2, 0.3)}},
		Prompts: records(20), Reward: &letters{}, Gold: countLetters, Constants: []string{"", "eeee", "e"},
		Logs: []Log{{"far", log}, {"absent", log + ".gone"}}}
	r, err := Run(context.Background(), cfg, in, st)
	if err != nil {
		t.Fatal(err)
	}

	var names []string
	for _, rr := range r.Runs {
		names = append(names, rr.Name)
	}
	if want := []string{"base", "same", "far", "best-of-8"}; !reflect.DeepEqual(names, want) {
		t.Fatalf("runs %v, want %v", names, want)
	}
	// An adapter that changes nothing draws the base's answers: common random numbers.
	base, same, far, best := r.Run("base"), r.Run("same"), r.Run("far"), r.Run("best-of-8")
	if !reflect.DeepEqual(base.answers, same.answers) || reflect.DeepEqual(base.answers, far.answers) {
		t.Error("answers do not follow the policy alone")
	}
	near(t, "KL of the base", base.KL.Mean, 0, 0)
	near(t, "KL of an adapter that changes nothing", same.KL.Mean, 0, 1e-9)
	if far.KL.Mean < 0.01 || far.KL.Low <= 0 {
		t.Errorf("KL of another policy is %+v", far.KL)
	}
	if d := r.Difference("same", "base", FigureGold); d == nil || d.Paired != (Interval{}) {
		t.Errorf("the same answers differ in gold: %+v", d)
	}
	// Eight chances at a reward find more of it than one, significantly so on a reward that varies as this one does.
	if d := r.Difference("best-of-8", "base", FigureReward); d == nil || d.Paired.Low <= 0 {
		t.Errorf("best of 8 gains %+v in the reward it picks by", d)
	}
	if !best.KLBound || math.Abs(best.KL.Mean-bestOfKL(8)) > 1e-12 {
		t.Errorf("best of 8: KL %+v, bound %v", best.KL, best.KLBound)
	}
	if r.Constant == nil || r.Constant.Answer != "eeee" || r.Constant.Gold != 1 || r.Constant.Tried != 3 {
		t.Errorf("constant %+v", r.Constant)
	}
	if len(r.Curves) != 1 || !reflect.DeepEqual(r.Curves[0], Curve{"far", "loss", []float64{1, 3}, []float64{0.7, 0.5}}) {
		t.Errorf("curves %+v", r.Curves)
	}
	if want := 3 * 4 / 2; len(r.Wins) != 2*want { // every two of four runs, gold and reward
		t.Errorf("%d comparisons of wins, want %d", len(r.Wins), 2*want)
	}
	if s := in.Reward.(*letters).asked; s != 20*(4+8) {
		t.Errorf("the reward was asked for %d scores", s)
	}

	var stored Report
	readJSON(t, st.Path("report.json"), &stored)
	if stored.Prompts != 20 || len(stored.Runs) != 4 || *stored.Runs[2].KL != *far.KL || len(stored.Examples) != 3 {
		t.Errorf("report.json holds %+v", stored)
	}
	samples, err := os.ReadFile(st.Path("samples.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(samples, []byte("\n")); n != 20 {
		t.Errorf("%d lines of samples", n)
	}
	page, err := os.ReadFile(st.Path("report.html"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(page, []byte("<svg")); n != 6 {
		t.Errorf("%d plots, want two over KL, three histograms and a curve", n)
	}
	if outside := regexp.MustCompile(`(?i)(src|href)\s*=\s*"[^#"]|@import|url\(`).Find(page); outside != nil {
		t.Errorf("the page is not self-contained: %s", outside)
	}
	for _, want := range []string{"best-of-8", "far", "eeee", "abab"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page does not show %q", want)
		}
	}
	if table := r.String(); !strings.Contains(table, "far - base") || !strings.Contains(table, "<= 1.204") {
		t.Errorf("table:\n%s", table)
	}
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// Neither the size of a batch nor the number of runs compared may change a byte of a run's figures.
func TestFiguresDoNotDependOnTheRest(t *testing.T) {
	b, cfg := bundle(t), small()
	far := Policy{Name: "far", Adapter: moved(t, b, 2, 0.3)}
	in := Inputs{Base: b, Policies: []Policy{far}, Prompts: records(9), Reward: &letters{}}
	one, err := Run(context.Background(), cfg, in, stage(t))
	if err != nil {
		t.Fatal(err)
	}
	cfg.BatchSize = 3
	in.Policies = []Policy{{Name: "other", Adapter: moved(t, b, 3, 0.2)}, far}
	two, err := Run(context.Background(), cfg, in, stage(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"base", "far", "best-of-8"} {
		if !reflect.DeepEqual(one.Run(name), two.Run(name)) {
			t.Errorf("%s: %+v, then %+v", name, one.Run(name), two.Run(name))
		}
	}
}

// The KL of whole answers, summed step by step over the vocabulary, agrees with its definition: the mean of
// log p - log q of answers drawn from p, which needs no more than log-probabilities.
func TestSequenceKLIsTheMeanLogRatio(t *testing.T) {
	b, cfg := bundle(t), small()
	cfg.MaxNewTokens, cfg.Samples = 4, 1200
	a := moved(t, b, 4, 0.5)
	prompts, err := readPrompts(b, records(4))
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	answers, err := drawAnswers(ctx, b, a, prompts, cfg.Samples, 1, cfg, "test")
	if err != nil {
		t.Fatal(err)
	}
	kl, err := sequenceKL(ctx, b, a, prompts, answers, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range prompts {
		var tree batch.Tree
		root := tree.Add(-1, p.tokens, 0)
		var targets []batch.Target
		for _, ans := range answers[i] {
			_, ts := tree.AddCompletion(root, ans.tokens, 0)
			targets = append(targets, ts...)
		}
		policy := ops.F32(b.Model.LogProbs(nil, b.Model.Forward(nil, &tree, a), targets, 1, nil))
		base := ops.F32(b.Model.LogProbs(nil, b.Model.Forward(nil, &tree, nil), targets, 1, nil))
		ratio := make([]float64, cfg.Samples)
		at := 0
		for s, ans := range answers[i] {
			for range ans.tokens {
				ratio[s] += float64(policy[at]) - float64(base[at])
				at++
			}
		}
		m, sq := mean(ratio), 0.0
		for _, v := range ratio {
			sq += (v - m) * (v - m)
		}
		se := math.Sqrt(sq) / float64(len(ratio))
		if kl[i] < 5*se {
			t.Fatalf("KL %v is lost in the noise %v: the test shows nothing", kl[i], se)
		}
		near(t, "KL", kl[i], m, 4*se)
	}
}

func TestRunRefuses(t *testing.T) {
	b := bundle(t)
	ctx := context.Background()
	for name, c := range map[string]struct {
		change func(*Config, *Inputs)
		want   string
	}{
		"no prompts":        {func(_ *Config, in *Inputs) { in.Prompts = nil }, "no prompts"},
		"empty prompt":      {func(_ *Config, in *Inputs) { in.Prompts[1].Prompt = nil }, "record b has no prompt"},
		"bad config":        {func(cfg *Config, _ *Inputs) { cfg.Resamples = 1 }, "resamples"},
		"NaN reward":        {func(_ *Config, in *Inputs) { in.Reward = constantScore(math.NaN()) }, "finite"},
		"NaN gold":          {func(_ *Config, in *Inputs) { in.Gold = func(string, string) float64 { return math.Inf(1) } }, "finite"},
		"broken log":        {func(_ *Config, in *Inputs) { in.Logs = []Log{{"x", writeFile(t, "{\n")}} }, "metrics"},
		"log without steps": {func(_ *Config, in *Inputs) { in.Logs = []Log{{"x", writeFile(t, "{}\n")}} }, "no step"},
	} {
		cfg, in := small(), Inputs{Base: b, Prompts: records(3)}
		cfg.BestOf = 2
		c.change(&cfg, &in)
		if _, err := Run(ctx, cfg, in, stage(t)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one about %q", name, err, c.want)
		}
	}
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Run(stopped, small(), Inputs{Base: b, Prompts: records(3)}, stage(t)); err == nil {
		t.Error("an interrupted comparison gave a report")
	}
}

type constantScore float64

func (c constantScore) Score(_ context.Context, answers []Answer) ([]float64, error) {
	scores := make([]float64, len(answers))
	for i := range scores {
		scores[i] = float64(c)
	}
	return scores, nil
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestValidate(t *testing.T) {
	if faults := Defaults().Validate(); len(faults) > 0 {
		t.Fatal(faults)
	}
	if got := len((Config{Prompts: -1, Temperature: math.NaN()}).Validate()); got != 8 {
		t.Errorf("%d faults found in a config where all but examples is wrong, want 8", got)
	}
}
