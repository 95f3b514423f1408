package crossencoder

import (
	"context"
	"math"
	"testing"
	"time"

	"plumb/dedup"
	"plumb/dedup/plant"
	"plumb/internal/model"
	"plumb/internal/run"
	"plumb/internal/testpaths"
)

func TestLossIsCrossEntropy(t *testing.T) {
	logits, same := []float64{0, 2, -3, 40}, []bool{true, false, false, true}
	loss, grad := Loss(logits, same, 4)
	// ln 2, ln(1+e^2), ln(1+e^-3), about 0
	want := (math.Ln2 + math.Log1p(math.Exp(2)) + math.Log1p(math.Exp(-3))) / 4
	if math.Abs(loss-want) > 1e-12 {
		t.Errorf("loss %v, want %v", loss, want)
	}
	const h = 1e-6
	for i := range logits {
		logits[i] += h
		up, _ := Loss(logits, same, 4)
		logits[i] -= 2 * h
		down, _ := Loss(logits, same, 4)
		logits[i] += h
		if n := (up - down) / (2 * h); math.Abs(n-grad[i]) > 1e-8 {
			t.Errorf("gradient %d is %v, differences give %v", i, grad[i], n)
		}
	}
}

func TestMeasure(t *testing.T) {
	r := Measure([]float64{3, 1, -1, -2, 1}, []bool{true, false, true, false, true})
	// pairs of same above different: 3>1, 3>-2, -1>-2, 1>-2, 1=1 half, -1<1: 4.5 of 6
	if r.Accuracy != 3.0/5 || r.Precision != 2.0/3 || r.Recall != 2.0/3 || math.Abs(r.AUC-0.75) > 1e-12 {
		t.Errorf("got %+v", r)
	}
}

func pairs(seed uint64, half, n int) []dedup.Labelled {
	p := plant.Planter{Rand: run.Rand(seed, "dedup verifier pairs"), Half: half}
	var out []dedup.Labelled
	for _, x := range p.Pairs(n, nil) {
		out = append(out, dedup.Labelled{A: x.A, B: x.B, Same: x.Same})
	}
	return out
}

// TestTrainingTeachesMiniLM takes a few steps on short planted pairs: the held-out loss falls below that of knowing nothing,
// and what is loaded scores like what was trained.
func TestTrainingTeachesMiniLM(t *testing.T) {
	e, err := model.OpenEncoder(testpaths.MiniLM(t), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Defaults()
	cfg.LearningRate, cfg.BatchSize, cfg.MaxSteps, cfg.LoggingSteps = 2e-3, 16, 12, 4
	short := func(list []dedup.Labelled) (out []dedup.Labelled) {
		for _, p := range list {
			if len(p.A) < 250 {
				out = append(out, p)
			}
		}
		return out
	}
	train, held := short(pairs(1, 0, 900)), short(pairs(2, 1, 150))
	st, err := run.OpenStage(t.TempDir()+"/s", run.Manifest{Stage: "verifier", Started: time.Unix(0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	ctx := context.Background()
	res, err := Train(ctx, cfg, e, train, held, st)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("after %d steps: %+v", res.Steps, *res.Eval)
	if res.Eval.Loss >= math.Ln2 || res.Eval.AUC < 0.6 {
		t.Errorf("held out: %+v, want a loss below %.3f", *res.Eval, math.Ln2)
	}
	v, err := Open(e, res.Folder)
	if err != nil {
		t.Fatal(err)
	}
	again, err := v.Measure(ctx, held)
	if err != nil || math.Abs(again.Loss-res.Eval.Loss) > 1e-6 {
		t.Errorf("the loaded verifier has loss %v, %v, the trained one %v", again.Loss, err, res.Eval.Loss)
	}
	p, err := v.Score(ctx, [][2]string{{"a text", "another text"}})
	if err != nil || !(p[0] > 0 && p[0] < 1) {
		t.Errorf("score %v, %v", p, err)
	}
	if _, err := Train(ctx, cfg, e, nil, nil, st); err == nil {
		t.Error("trained on nothing")
	}
}
