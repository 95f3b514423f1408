package reward

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

// pairsOf makes preferences that a model can learn: the better answer repeats the question's letter.
func pairsOf(n int) []datasets.Record {
	var recs []datasets.Record
	for i := range n {
		a, b := rune('a'+i%13), rune('n'+i%13)
		recs = append(recs, datasets.Record{
			Prompt:   datasets.Text(fmt.Sprintf("say %c%c: ", a, a)),
			Chosen:   datasets.Text(strings.Repeat(string(a), 2+i%4)),
			Rejected: datasets.Text(strings.Repeat(string(b), 1+i%5)),
		})
	}
	return recs
}

func smallConfig() Config {
	cfg := Defaults()
	cfg.LearningRate, cfg.Epochs, cfg.BatchSize, cfg.LoggingSteps, cfg.SaveSteps = 5e-3, 2, 4, 1, 3
	cfg.Lora.R = 4
	return cfg
}

func TestTrainLearns(t *testing.T) {
	base := oracletest.Base(t, testpaths.Oracle(t, "llama", "model"), model.Options{})
	st := oracletest.Stage(t, filepath.Join(t.TempDir(), "reward"), "reward")
	cfg := smallConfig()
	cfg.Epochs = 6
	recs := append(pairsOf(26), datasets.Record{Chosen: datasets.Text("x"), Rejected: datasets.Text("x")})
	res, err := Train(context.Background(), cfg, Inputs{Base: base, Train: recs, Eval: pairsOf(26)}, st)
	if err != nil {
		t.Fatal(err)
	}
	if res.Eval.Accuracy < 0.95 || res.Pairs != 26 || res.Dropped["chosen equals rejected"] != 1 {
		t.Errorf("%+v, dropped %v", res.Eval, res.Dropped)
	}
	rows, err := run.ReadMetrics(st.Dir())
	if err != nil || len(rows) < 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, name := range []string{"loss", "grad_norm", "learning_rate", "epoch", "num_tokens", "min_reward", "mean_reward", "max_reward", "accuracy", "margin"} {
		if _, ok := rows[0].Fields[name]; !ok {
			t.Errorf("metric %s is missing in %v", name, rows[0].Fields)
		}
	}
	if _, ok := rows[len(rows)-1].Fields["eval_accuracy"]; !ok {
		t.Errorf("no evaluation at the end: %v", rows[len(rows)-1].Fields)
	}
	// The files hold the model: loaded again it gives the same scores, over text.
	loaded, err := Load(base, res.Adapter, cfg.MaxLength)
	if err != nil {
		t.Fatal(err)
	}
	examples := []Example{{Prompt: datasets.Text("say cc: "), Answer: "ccc"}, {Prompt: datasets.Text("say cc: "), Answer: "pp"}}
	a, err := res.Model.Score(context.Background(), examples)
	if err != nil {
		t.Fatal(err)
	}
	b, err := loaded.Score(context.Background(), examples[:1])
	if err != nil {
		t.Fatal(err)
	}
	if a[0] <= a[1] || a[0] != b[0] {
		t.Errorf("scores %v, loaded and alone %v", a, b)
	}
}

// Micro-batches do not change a batch's loss, metrics or gradients beyond rounding, and accumulation of 8
// batches of one pair equals one batch of 8.
func TestMicroBatchesAndAccumulation(t *testing.T) {
	base := oracletest.Base(t, testpaths.Oracle(t, "llama", "model"), model.Options{})
	set, err := encode.All(pairsOf(8), encoder(base, 1024).RewardPair)
	if err != nil {
		t.Fatal(err)
	}
	adapter, err := adapters.Load(testpaths.Oracle(t, "llama", "adapters", "reward"), base.Model.Linears())
	if err != nil {
		t.Fatal(err)
	}
	gradients := func(batch int, tokens int) (float64, map[string][]float32) {
		cfg := smallConfig()
		cfg.MicroBatchTokens, cfg.CenterRewardsCoefficient = tokens, 0.01
		tr := &trainer{cfg: cfg, base: base.Model, adapter: adapter.Clone(), pairs: set.Items}
		tr.adapter.SetTrainable(true)
		loss := 0.0
		for i := 0; i < 8; i += batch {
			var idx []int
			for k := range batch {
				idx = append(idx, i+k)
			}
			l, _ := tr.step(idx, 0, float64(batch)/8)
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
	for _, c := range [][2]int{{8, 1}, {1, 1 << 20}, {4, 60}} {
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

func TestResume(t *testing.T) {
	base := oracletest.Base(t, testpaths.Oracle(t, "gpt2", "model"), model.Options{})
	train := func(ctx context.Context, dir string) error {
		st := oracletest.Stage(t, dir, "reward")
		defer st.Close()
		cfg := smallConfig()
		cfg.BatchSize, cfg.GradAccumulation = cfg.BatchSize/2, 2 // some stops are within a step
		_, err := Train(ctx, cfg, Inputs{Base: base, Train: pairsOf(17), Eval: pairsOf(4)}, st)
		return err
	}
	straight, broken := filepath.Join(t.TempDir(), "reward"), filepath.Join(t.TempDir(), "reward")
	if err := train(context.Background(), straight); err != nil {
		t.Fatal(err)
	}
	stops := 0
	for n := 1; ; n++ {
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
	if stops < 3 {
		t.Errorf("only %d interruptions", stops)
	}
	for _, name := range []string{"adapter/adapter_model.safetensors", "adapter/adapter_config.json", "checkpoints/step-00000010/training_state.safetensors", "checkpoints/step-00000009/trainer_state.json"} {
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

func TestBadInput(t *testing.T) {
	base := oracletest.Base(t, testpaths.Oracle(t, "llama", "model"), model.Options{})
	for name, c := range map[string]struct {
		recs []datasets.Record
		want string
	}{
		"empty":      {nil, "empty"},
		"all equal":  {[]datasets.Record{{Chosen: datasets.Text("x"), Rejected: datasets.Text("x")}}, "chosen equals rejected"},
		"over limit": {[]datasets.Record{{Chosen: datasets.Text(strings.Repeat("x", 99)), Rejected: datasets.Text("y")}}, "over max_length 10"},
	} {
		cfg := smallConfig()
		cfg.MaxLength = 10
		_, err := Train(context.Background(), cfg, Inputs{Base: base, Train: c.recs}, oracletest.Stage(t, filepath.Join(t.TempDir(), "reward"), "reward"))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := Load(base, testpaths.Oracle(t, "llama", "adapters", "lora"), 10); err == nil || !strings.Contains(err.Error(), "no score head") {
		t.Errorf("adapter without a head: %v", err)
	}
	bad := Config{MaxLength: 0, CenterRewardsCoefficient: -1, HeadInitStd: math.NaN()}
	if n := len(bad.Validate()) - len(bad.Options.Validate()); n != 3 {
		t.Errorf("%d faults, want 3", n)
	}
}

// 8 of 10: Wilson's interval is [0.4902, 0.9433] (Agresti and Coull 1998 give the same formula).
func TestWilson(t *testing.T) {
	low, high := Wilson(8, 10)
	if math.Abs(low-0.49016) > 1e-4 || math.Abs(high-0.94332) > 1e-4 {
		t.Errorf("[%g, %g]", low, high)
	}
	if low, high = Wilson(0, 0); low != 0 || high != 1 {
		t.Errorf("no trials: [%g, %g]", low, high)
	}
}

// Four pairs with confidence 3/4, three of them right, and one certain mistake.
func TestReport(t *testing.T) {
	d := math.Log(3)
	r := NewReport([]float64{d, d, d, 0, 0}, []float64{0, 0, 0, d, 50}, nil, 0)
	if r.Pairs != 5 || r.Correct != 3 {
		t.Errorf("%+v", r)
	}
	b := r.Calibration[4] // [0.70, 0.75), or the next one, by rounding
	if b.Pairs == 0 {
		b = r.Calibration[5]
	}
	if b.Pairs != 4 || math.Abs(b.Confidence-0.75) > 1e-9 || b.Accuracy != 0.75 {
		t.Errorf("bin %+v", b)
	}
	if last := r.Calibration[9]; last.Pairs != 1 || last.Accuracy != 0 {
		t.Errorf("last bin %+v", last)
	}
	if math.Abs(r.ECE-0.2) > 1e-9 {
		t.Errorf("ECE %g", r.ECE)
	}
}
