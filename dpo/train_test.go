package dpo

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

func pairsOf(n int) []datasets.Record {
	var recs []datasets.Record
	for i := range n {
		a, b := rune('a'+i%13), rune('n'+i%13)
		recs = append(recs, datasets.Record{
			Prompt:   datasets.Text(fmt.Sprintf("say %c%c: ", a, a)),
			Chosen:   datasets.Text("it is " + strings.Repeat(string(a), 2+i%4)),
			Rejected: datasets.Text("it is " + strings.Repeat(string(b), 1+i%5)),
		})
	}
	return recs
}

func smallConfig() Config {
	cfg := Defaults()
	cfg.LearningRate, cfg.Epochs, cfg.BatchSize, cfg.LoggingSteps, cfg.SaveSteps = 2e-3, 2, 4, 1, 3
	cfg.Lora.R = 4
	return cfg
}

func TestTrainLearns(t *testing.T) {
	base := oracletest.Base(t, testpaths.Oracle(t, "llama", "model"), model.Options{})
	cfg := smallConfig()
	cfg.Epochs = 5
	st := oracletest.Stage(t, filepath.Join(t.TempDir(), "dpo"), "dpo")
	res, err := Train(context.Background(), cfg, Inputs{Base: base, Train: pairsOf(26), Eval: pairsOf(13)}, st)
	if err != nil {
		t.Fatal(err)
	}
	if res.Eval["rewards/accuracies"] < 0.95 || res.Eval["loss"] > 0.6 {
		t.Errorf("evaluation %v", res.Eval)
	}
	rows, err := run.ReadMetrics(st.Dir())
	if err != nil || len(rows) < 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, name := range []string{"loss", "grad_norm", "learning_rate", "epoch", "num_tokens", "entropy", "mean_token_accuracy",
		"rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected", "logits/chosen", "logits/rejected"} {
		if _, ok := rows[0].Fields[name]; !ok {
			t.Errorf("metric %s is missing in %v", name, rows[0].Fields)
		}
	}
	if _, err := adapters.Load(res.Adapter, base.Model.Linears()); err != nil {
		t.Error(err)
	}
}

// Before the first step the policy is its reference, whatever it starts from: every log ratio is
// exactly 0 and the loss is ln 2.
func TestReferenceIsTheStart(t *testing.T) {
	base := oracletest.Base(t, testpaths.Oracle(t, "llama", "model"), model.Options{})
	for name, start := range map[string]*adapters.Adapter{"bare base": nil, "adapter": oracletest.Adapter(t, base, testpaths.Oracle(t, "llama", "adapters", "lora"))} {
		st := oracletest.Stage(t, filepath.Join(t.TempDir(), "dpo"), "dpo")
		cfg := smallConfig()
		cfg.MaxSteps = 1
		if _, err := Train(context.Background(), cfg, Inputs{Base: base, Start: start, Train: pairsOf(4)}, st); err != nil {
			t.Fatal(err)
		}
		rows, err := run.ReadMetrics(st.Dir())
		if err != nil {
			t.Fatal(err)
		}
		f := rows[0].Fields
		if f["rewards/chosen"] != 0 || f["rewards/margins"] != 0 || math.Abs(f["loss"]-math.Ln2) > 1e-15 {
			t.Errorf("%s: %v", name, f)
		}
	}
}

// trainerOf trains the oracle's adapter of llama, with an empty cache of the reference.
func trainerOf(t *testing.T, base *model.Bundle, cfg Config) *trainer {
	t.Helper()
	tr := &trainer{cfg: cfg, objective: cfg.objective(), base: base.Model, policy: oracletest.Adapter(t, base, testpaths.Oracle(t, "llama", "adapters", "lora"))}
	tr.policy.SetTrainable(true)
	tr.policy.SetDropout(cfg.Lora.Dropout)
	var err error
	if tr.cache, err = openRefCache(filepath.Join(t.TempDir(), "cache"), [32]byte{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.cache.close() })
	return tr
}

// gradientsOf returns loss and gradients of one step over 8 pairs, in batches of the given size.
func gradientsOf(t *testing.T, base *model.Bundle, cfg Config, batch int) (float64, map[string][]float32) {
	t.Helper()
	enc := &encode.Encoder{Tok: base.Tokenizer, MaxLength: 64}
	set, err := encode.All(pairsOf(8), enc.Pair)
	if err != nil {
		t.Fatal(err)
	}
	tr := trainerOf(t, base, cfg)
	loss := 0.0
	for i := 0; i < 8; i += batch {
		var idx []int
		for k := range batch {
			idx = append(idx, i+k)
		}
		l, _ := tr.step(set.Items, idx, nil, 0, float64(batch)/8)
		loss += l
	}
	out := map[string][]float32{}
	for _, p := range tr.policy.Params() {
		out[p.Name] = slices.Clone(ops.Grad(p.Param))
	}
	return loss, out
}

// Micro-batches change neither loss nor gradients beyond rounding, for losses that sort within the
// batch too; and 8 batches of one pair equal one batch of 8 where the loss is a mean over pairs.
func TestMicroBatchesAndAccumulation(t *testing.T) {
	base := oracletest.Base(t, testpaths.Oracle(t, "llama", "model"), model.Options{})
	worst := 0.0
	for _, c := range []struct {
		types       []string
		ld, dropout float64
		accumulate  bool
	}{
		{[]string{"sigmoid"}, 1, 0, true}, {[]string{"ipo"}, 0.5, 0, true}, {[]string{"sigmoid", "sft"}, 1, 0, false},
		{[]string{"aot"}, 1, 0, false}, {[]string{"aot_unpaired", "sft"}, 0.3, 0, false}, {[]string{"aot"}, 1, 0.2, false},
	} {
		cfg := smallConfig()
		cfg.LossType, cfg.LDAlpha, cfg.Lora.Dropout = c.types, c.ld, c.dropout
		cfg.MicroBatchTokens = 256 // one pass
		want, grads := gradientsOf(t, base, cfg, 8)
		shapes := [][2]int{{8, 1}, {8, 60}, {8, 1 << 20}}
		if c.accumulate {
			shapes = append(shapes, [2]int{1, 1 << 20}, [2]int{4, 60})
		}
		for _, s := range shapes {
			cfg.MicroBatchTokens = s[1]
			got, g := gradientsOf(t, base, cfg, s[0])
			if math.Abs(got-want) > 1e-6 {
				t.Errorf("%v, batch %d, %d tokens: loss %g, want %g", c.types, s[0], s[1], got, want)
			}
			for name, w := range grads {
				d := oracletest.Distance(g[name], w)
				if worst = max(worst, d); !(d <= 1e-5) {
					t.Errorf("%v, batch %d, %d tokens: gradient of %s differs by %g", c.types, s[0], s[1], name, d)
				}
			}
		}
	}
	t.Logf("largest relative difference of a gradient %.2g", worst)
}

// countdown is a context that is cancelled after being asked a number of times: it stops a
// training at a place that depends on no clock.
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

var timeField = regexp.MustCompile(`,"time":"[^"]*"`)

// outcome reads the files of a stage that must be the same bytes whatever happened on the way.
func outcome(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"adapter/*", "checkpoints/*/*", "metrics.jsonl", "reference.cache"} {
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
	if len(out) < 5 {
		t.Fatalf("only %d files in %s", len(out), dir)
	}
	return out
}

func wantSame(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s: %s differs or is missing", what, name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d files, want %d", what, len(got), len(want))
	}
}

// The same bytes at any thread count, and however often the run was interrupted.
func TestSameBytes(t *testing.T) {
	base := oracletest.Base(t, testpaths.Oracle(t, "gpt2", "model"), model.Options{})
	cfg := smallConfig()
	cfg.EvalSteps, cfg.LoggingSteps, cfg.Lora.Dropout = 4, 3, 0.1
	cfg.BatchSize, cfg.GradAccumulation = cfg.BatchSize/2, 2 // some stops are within a step
	train := func(ctx context.Context, dir string) error {
		st := oracletest.Stage(t, dir, "dpo")
		defer st.Close()
		_, err := Train(ctx, cfg, Inputs{Base: base, Train: pairsOf(17), Eval: pairsOf(4)}, st)
		return err
	}
	dirs := map[string]string{}
	for _, name := range []string{"straight", "one thread", "interrupted"} {
		dirs[name] = filepath.Join(t.TempDir(), "dpo")
	}
	if err := train(context.Background(), dirs["straight"]); err != nil {
		t.Fatal(err)
	}
	want := outcome(t, dirs["straight"])

	procs := runtime.GOMAXPROCS(1)
	err := train(context.Background(), dirs["one thread"])
	runtime.GOMAXPROCS(procs)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "one thread", outcome(t, dirs["one thread"]), want)

	stops := 0
	for n := 1; ; n++ {
		err := train(&countdown{Context: context.Background(), left: n}, dirs["interrupted"])
		if err == nil {
			break
		}
		stops++
		var exit *run.ExitError
		if !errors.As(err, &exit) || exit.Code != run.CodeInterrupted {
			t.Fatal(err)
		}
	}
	if stops < 3 {
		t.Errorf("only %d interruptions", stops)
	}
	wantSame(t, "interrupted", outcome(t, dirs["interrupted"]), want)
}

func TestBadInput(t *testing.T) {
	base := oracletest.Base(t, testpaths.Oracle(t, "llama", "model"), model.Options{})
	for name, c := range map[string]struct {
		recs []datasets.Record
		want string
	}{
		"empty":      {nil, "empty"},
		"all equal":  {[]datasets.Record{{Chosen: datasets.Text("x"), Rejected: datasets.Text("x")}}, "chosen equals rejected"},
		"over limit": {[]datasets.Record{{Prompt: datasets.Text("more than ten"), Chosen: datasets.Text("x"), Rejected: datasets.Text("y")}}, "fills max_length 10"},
	} {
		cfg := smallConfig()
		cfg.MaxLength = 10
		_, err := Train(context.Background(), cfg, Inputs{Base: base, Train: c.recs}, oracletest.Stage(t, filepath.Join(t.TempDir(), "dpo"), "dpo"))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// The dropout of an adapter that DPO goes on from is the stage's: without any, policy and reference are the same in the first step, and its loss is ln 2.
func TestStartsWithoutDropout(t *testing.T) {
	base := oracletest.Base(t, testpaths.Oracle(t, "llama", "model"), model.Options{})
	start := oracletest.Adapter(t, base, testpaths.Oracle(t, "llama", "adapters", "lora"))
	start.SetDropout(0.3)
	for _, dropout := range []float64{0, 0.3} {
		cfg := smallConfig()
		cfg.MaxSteps, cfg.Lora.Dropout = 1, dropout
		st := oracletest.Stage(t, filepath.Join(t.TempDir(), "dpo"), "dpo")
		res, err := Train(context.Background(), cfg, Inputs{Base: base, Start: start, Train: pairsOf(8)}, st)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := run.ReadMetrics(st.Dir())
		if err != nil || len(rows) != 1 {
			t.Fatal(rows, err)
		}
		if off := math.Abs(rows[0].Fields["loss"] - math.Ln2); (off < 1e-6) != (dropout == 0) {
			t.Errorf("dropout %g: the first loss is ln 2 and %g", dropout, off)
		}
		if got := res.Policy.Config.Dropout; got != dropout {
			t.Errorf("the policy's file will say %g, want %g", got, dropout)
		}
	}
}

// A NaN in a weight stops the run at its step, and no adapter is written.
func TestNaNStops(t *testing.T) {
	base := oracletest.Base(t, testpaths.Oracle(t, "llama", "model"), model.Options{})
	start := oracletest.Adapter(t, base, testpaths.Oracle(t, "llama", "adapters", "lora"))
	ops.F32(start.Params()[0].Param)[0] = float32(math.NaN())
	st := oracletest.Stage(t, filepath.Join(t.TempDir(), "dpo"), "dpo")
	_, err := Train(context.Background(), smallConfig(), Inputs{Base: base, Start: start, Train: pairsOf(4)}, st)
	if err == nil || !strings.Contains(err.Error(), "step 1: the loss is NaN") || !strings.Contains(err.Error(), "no checkpoint yet") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(st.Path("adapter")); !os.IsNotExist(err) {
		t.Errorf("an adapter was written: %v", err)
	}
}
