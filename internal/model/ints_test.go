package model

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"plumb/adapters"
	"plumb/internal/batch"
	"plumb/internal/kernels"
	"plumb/internal/ops"
	"plumb/internal/testpaths"
)

// TestInt16OnSmolLM2 holds log-probabilities and gradients in 16-bit integers near to those in float32, and nearer than bf16's
// where products round to that.
func TestInt16OnSmolLM2(t *testing.T) {
	stored, err := Open(testpaths.SmolLM2(t), Options{}) // in blocks of 4 bits, which stay so
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := stored.Model.Save(dir, nil); err != nil {
		t.Fatal(err)
	}
	prompt := tokens(3, 60)
	pass := func(c kernels.Compute) (lp, grads []float32) {
		m, err := OpenWeights(dir, Options{Compute: c})
		if err != nil {
			t.Fatal(err)
		}
		a, err := adapters.New(adapters.Config{R: 4, Alpha: 8, Targets: []string{adapters.AllLinear}}, m.Linears(), 5)
		if err != nil {
			t.Fatal(err)
		}
		b := &batch.Tree{}
		root := b.Add(-1, prompt, 0)
		_, targets := b.AddCompletion(root, tokens(4, 40), 0)
		tape := ops.NewTape()
		out := m.Score(tape, b, a, targets, 1, nil)
		lp = append(lp, ops.F32(out)...)
		g := make([]float32, len(targets))
		for i := range g {
			g[i] = float32(math.Sin(float64(i)))
		}
		tape.Backward(out, g)
		for _, p := range a.Params() {
			grads = append(grads, ops.Grad(p.Param)...)
		}
		return lp, grads
	}
	rms := func(a, b []float32) float64 {
		sum := 0.0
		for i := range a {
			sum += math.Pow(float64(a[i])-float64(b[i]), 2)
		}
		return math.Sqrt(sum / float64(len(a)))
	}
	wantLP, wantG := pass(kernels.F32)
	lp, g := pass(kernels.I16)
	offLP, offG := rms(lp, wantLP), relative(g, wantG)
	t.Logf("int16: log-probabilities off by %.2g nats, gradients by %.2g", offLP, offG)
	if !(offLP <= 1e-2) || !(offG <= 3e-2) {
		t.Errorf("int16 is off by %.2g nats and %.2g of the gradient", offLP, offG)
	}
	if !kernels.DotsPairs() {
		return
	}
	lp, g = pass(kernels.BF16)
	halfLP, halfG := rms(lp, wantLP), relative(g, wantG)
	t.Logf("bf16: log-probabilities off by %.2g nats, gradients by %.2g", halfLP, halfG)
	if !(offLP < halfLP/2) || !(offG < halfG) {
		t.Error("int16 is no nearer than bf16")
	}
}

// TestBlocksOnSmolLM2 holds log-probabilities of a quantised model in integers near to those in float32, and the same in sampling, alone
// and in company, as in training.
func TestBlocksOnSmolLM2(t *testing.T) {
	score := func(c kernels.Compute, prompt []int32, answers ...[]int32) (lp []float32, m *Model) {
		stored, err := Open(testpaths.SmolLM2(t), Options{Compute: c})
		if err != nil {
			t.Fatal(err)
		}
		b := &batch.Tree{}
		root := b.Add(-1, prompt, 0)
		var all []batch.Target
		for _, x := range answers {
			_, targets := b.AddCompletion(root, x, 0)
			all = append(all, targets...)
		}
		out := stored.Model.Score(nil, b, nil, all, 1, nil)
		return append(lp, ops.F32(out)...), stored.Model
	}
	prompt := tokens(3, 60)
	want, _ := score(kernels.F32, prompt, tokens(4, 40))
	got, m := score(kernels.I16, prompt, tokens(4, 40))
	sum := 0.0
	for i, v := range got {
		sum += math.Pow(float64(v-want[i]), 2)
	}
	off := math.Sqrt(sum / float64(len(got)))
	t.Logf("integers times blocks: log-probabilities off by %.2g nats", off)
	if !(off > 0 && off <= 1e-2) {
		t.Errorf("off by %.2g nats", off)
	}
	opt := GenOptions{MaxNew: 12, Temperature: 1, Seed: 3}
	draws, err := m.Generate(context.Background(), []GenPrompt{{Tokens: prompt, N: 3}}, nil, opt)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := m.Generate(context.Background(), []GenPrompt{{Tokens: prompt, N: 1}}, nil, opt)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(alone[0][0].LogProbs, draws[0][0].LogProbs) {
		t.Error("a sample alone is not the one in company")
	}
	var answers [][]int32
	var sampled []float32
	for _, c := range draws[0] {
		answers, sampled = append(answers, c.Tokens), append(sampled, c.LogProbs...)
	}
	if trained, _ := score(kernels.I16, prompt, answers...); !slices.Equal(trained, sampled) {
		t.Error("log-probabilities of sampling and of training differ")
	}
}

// TestInt16OnMiniLM holds embeddings in 16-bit integers to those in float32.
func TestInt16OnMiniLM(t *testing.T) {
	path := testpaths.MiniLM(t)
	texts := []string{"", "How do I boil an egg?", "Put it in boiling water for seven minutes.", strings.Repeat("a long text about nothing in particular; ", 60)}
	embed := func(c kernels.Compute) [][]float32 {
		e, err := OpenEncoder(path, Options{Compute: c})
		if err != nil {
			t.Fatal(err)
		}
		v, err := e.Embed(context.Background(), texts)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	want, worst, least := embed(kernels.F32), 0.0, 1.0
	for i, v := range embed(kernels.I16) {
		for j, x := range v {
			worst = max(worst, math.Abs(float64(x-want[i][j])))
		}
		least = min(least, float64(kernels.Dot(v, want[i])))
	}
	t.Logf("largest difference %.2g, least cosine %.7f", worst, least)
	if !(worst <= 3e-4) || !(least >= 0.9999) || worst == 0 {
		t.Errorf("largest difference %.2g, least cosine %.7f", worst, least)
	}
}
