package model

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"

	"plumb/adapters"
	"plumb/internal/batch"
	"plumb/internal/kernels"
	"plumb/internal/ops"
	"plumb/internal/run"

	"github.com/nlpodyssey/spago/mat"
)

func tinyConfig() Config {
	return Config{Type: "llama", Hidden: 32, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 8, Intermediate: 48, Vocab: 300,
		MaxPositions: 256, NormEps: 1e-5, RopeTheta: 10000, Tied: true, Act: "silu", InitRange: 0.3}
}

// frozen returns the same weights as a trainable model, frozen.
func frozen(t *testing.T, m *Model, c kernels.Compute) *Model {
	t.Helper()
	dir := t.TempDir()
	if err := m.Save(dir, nil); err != nil {
		t.Fatal(err)
	}
	f, err := OpenWeights(dir, Options{Compute: c})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func tiny(t *testing.T) (*Model, *adapters.Adapter) {
	t.Helper()
	m, err := NewRandom(tinyConfig(), 1)
	if err != nil {
		t.Fatal(err)
	}
	f := frozen(t, m, kernels.F32)
	return f, nonZero(t, f, 5)
}

// eachArithmetic runs f in float32, in bf16 with shapes that the products of pairs take, and in 16-bit integers, on every level.
func eachArithmetic(t *testing.T, f func(t *testing.T, m *Model, a *adapters.Adapter)) {
	wide, odd, half := tinyConfig(), tinyConfig(), tinyConfig()
	wide.Hidden, wide.HeadDim, wide.Intermediate = 128, 32, 160
	odd.Intermediate = 50
	half.Hidden, half.HeadDim, half.Intermediate = 48, 32, 160 // products leave bf16 that adapters do not take
	gpt2, err := ParseConfig([]byte(`{"model_type": "gpt2", "n_embd": 128, "n_layer": 2, "n_head": 4, "vocab_size": 300, "n_positions": 256,
		"activation_function": "gelu", "initializer_range": 0.1}`))
	if err != nil {
		t.Fatal(err)
	}
	tanh := gpt2
	tanh.Act = "gelu_new"
	for _, l := range kernels.Available() {
		for name, s := range map[string]struct {
			c   kernels.Compute
			cfg Config
		}{"f32": {kernels.F32, tinyConfig()}, "bf16": {kernels.BF16, wide}, "bf16, odd widths": {kernels.BF16, odd}, "int16": {kernels.I16, odd},
			"bf16, odd hidden": {kernels.BF16, half}, "gpt2, bf16": {kernels.BF16, gpt2}, "gpt2, tanh": {kernels.BF16, tanh}} {
			t.Run(fmt.Sprintf("%s/%s", l, name), func(t *testing.T) {
				defer kernels.Force(l)()
				m, err := NewRandom(s.cfg, 1)
				if err != nil {
					t.Fatal(err)
				}
				m = frozen(t, m, s.c)
				f(t, m, nonZero(t, m, 5))
			})
		}
	}
}

func nonZero(t *testing.T, m *Model, seed uint64) *adapters.Adapter {
	t.Helper()
	a, err := adapters.New(adapters.Config{R: 4, Alpha: 8, Targets: []string{adapters.AllLinear}}, m.Linears(), seed)
	if err != nil {
		t.Fatal(err)
	}
	rng := run.Rand(seed, "test")
	for _, l := range a.Layers {
		b := ops.F32(l.LoRA.B)
		for i := range b {
			b[i] = float32(rng.NormFloat64() * 0.2)
		}
	}
	return a
}

func tokens(seed uint64, n int) []int32 {
	rng := run.Rand(seed, "tokens")
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(rng.IntN(300))
	}
	return out
}

func TestSaveAndLoad(t *testing.T) {
	m, err := NewRandom(tinyConfig(), 3)
	if err != nil {
		t.Fatal(err)
	}
	b := &batch.Tree{}
	b.Add(-1, tokens(1, 20), 0)
	want := ops.F32(m.Forward(nil, b, nil))
	got := ops.F32(frozen(t, m, kernels.F32).Forward(nil, b, nil))
	for i := range want {
		if math.Abs(float64(want[i]-got[i])) > 1e-5 {
			t.Fatalf("element %d: %v trainable, %v frozen", i, want[i], got[i])
		}
	}
	if len(m.Params()) != 2+2*9 {
		t.Fatalf("%d parameters found by spago, want 20", len(m.Params()))
	}
	for _, p := range m.Params() {
		if p.Name == "" {
			t.Fatal("a parameter has no name")
		}
	}
}

func TestMergeEqualsAdapter(t *testing.T) {
	m, a := tiny(t)
	dir := t.TempDir()
	if err := m.Save(dir, a); err != nil {
		t.Fatal(err)
	}
	merged, err := OpenWeights(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := &batch.Tree{}
	b.Add(-1, tokens(1, 20), 0)
	want, got := ops.F32(m.Forward(nil, b, a)), ops.F32(merged.Forward(nil, b, nil))
	for i := range want {
		if math.Abs(float64(want[i]-got[i])) > 2e-4*(1+math.Abs(float64(want[i]))) {
			t.Fatalf("element %d: %v with the adapter, %v merged", i, want[i], got[i])
		}
	}
}

// pairGrads computes log-probabilities and adapter gradients of two completions, as a tree or apart.
func pairGrads(m *Model, a *adapters.Adapter, prompt []int32, completions [][]int32, apart bool) (lp []float32, grads []float32) {
	for _, p := range a.Params() {
		ops.ZeroGrad(p.Param)
	}
	do := func(cs [][]int32, from int) {
		b := &batch.Tree{}
		p := b.Add(-1, prompt, 0)
		var targets []batch.Target
		for _, c := range cs {
			_, ts := b.AddCompletion(p, c, 0)
			targets = append(targets, ts...)
		}
		tape := ops.NewTape()
		out := m.LogProbs(tape, m.Forward(tape, b, a), targets, 1, nil)
		lp = append(lp, ops.F32(out)...)
		g := make([]float32, len(targets))
		for i := range g {
			g[i] = float32(math.Sin(float64(from + i)))
		}
		tape.Backward(out, g)
	}
	if apart {
		n := 0
		for _, c := range completions {
			do([][]int32{c}, n)
			n += len(c)
		}
	} else {
		do(completions, 0)
	}
	for _, p := range a.Params() {
		grads = append(grads, ops.Grad(p.Param)...)
	}
	return lp, grads
}

func relative(a, b []float32) float64 {
	var d, n float64
	for i := range a {
		d += float64(a[i]-b[i]) * float64(a[i]-b[i])
		n += float64(b[i]) * float64(b[i])
	}
	return math.Sqrt(d / n)
}

func TestTreeEqualsSeparateSequences(t *testing.T) { eachArithmetic(t, treeEqualsSeparateSequences) }

func treeEqualsSeparateSequences(t *testing.T, m *Model, a *adapters.Adapter) {
	worst := 0.0
	for _, c := range [][][]int32{
		{tokens(2, 9), tokens(3, 5)},
		{tokens(2, 1), tokens(3, 90)},
		{tokens(2, 4), nil, tokens(4, 4)},
	} {
		lt, gt := pairGrads(m, a, tokens(1, 70), c, false)
		ls, gs := pairGrads(m, a, tokens(1, 70), c, true)
		if !slices.Equal(lt, ls) {
			t.Fatalf("log-probabilities differ:\n%v\n%v", lt, ls)
		}
		limit := 1e-5
		if m.Compute == kernels.BF16 && kernels.DotsPairs() { // what is rounded to bf16 is summed over other rows
			limit = 1e-2
		}
		if m.Compute == kernels.I16 { // and to integers
			limit = 1e-3
		}
		r := relative(gt, gs)
		if worst = max(worst, r); !(r <= limit) {
			t.Fatalf("gradients differ by %.2g", r)
		}
	}
	t.Logf("log-probabilities equal to the bit, largest relative difference of the gradients %.2g", worst)
}

// TestForwardRows: asking for some rows gives their floats of the whole pass, dropout and gradients included; where products multiply
// bf16, sums of gradients over rows have another order.
func TestForwardRows(t *testing.T) { eachArithmetic(t, withAndWithoutDropout(forwardRows)) }

// withAndWithoutDropout runs a test of gradients with an adapter of dropout 0.3 and with one of none, whose norms' gradients find their input by
// their result.
func withAndWithoutDropout(test func(t *testing.T, m *Model, a *adapters.Adapter, p float64)) func(t *testing.T, m *Model, a *adapters.Adapter) {
	return func(t *testing.T, m *Model, a *adapters.Adapter) {
		for _, p := range []float64{0.3, 0} {
			for _, l := range a.Layers {
				l.LoRA.Dropout = float32(p)
			}
			test(t, m, a, p)
		}
	}
}

func forwardRows(t *testing.T, m *Model, a *adapters.Adapter, p float64) {
	b := &batch.Tree{}
	root := b.Add(-1, tokens(1, 40), 1)
	b.Add(root, tokens(2, 9), 1)
	b.Add(-1, tokens(3, 25), 2)
	rows := []int{3, 39, 48, 70}
	h := m.Config.Hidden
	dy := make([]float32, len(rows)*h)
	rng := run.Rand(1, "dy")
	for i := range dy {
		dy[i] = float32(rng.NormFloat64())
	}
	pass := func(all bool) (out [][]float32) {
		tape := ops.TrainingTape(p, ops.Dropout{Seed: 1, Step: 2}, false)
		var x mat.Tensor
		if all {
			x = ops.Gather(tape, m.Forward(tape, b, a), rows)
		} else {
			x = m.ForwardRows(tape, b, a, rows)
		}
		out = append(out, slices.Clone(ops.F32(x)))
		tape.Backward(x, dy)
		for _, p := range a.Params() {
			out = append(out, slices.Clone(ops.Grad(p.Param)))
			ops.ZeroGrad(p.Param)
		}
		return out
	}
	want, got := pass(true), pass(false)
	if !slices.Equal(got[0], want[0]) {
		t.Fatal("some rows differ from those of the whole pass")
	}
	for i := range want[1:] {
		if r := relative(got[1+i], want[1+i]); !slices.Equal(got[1+i], want[1+i]) && !(m.Compute == kernels.BF16 && r < 1e-6) {
			t.Fatalf("gradient of %s differs by %.2g", a.Params()[i].Name, relative(got[1+i], want[1+i]))
		}
	}
}

// TestCheckpointing: computing blocks again in the backward pass gives the same bits.
func TestCheckpointing(t *testing.T) { eachArithmetic(t, withAndWithoutDropout(checkpointing)) }

func checkpointing(t *testing.T, m *Model, a *adapters.Adapter, p float64) {
	b := &batch.Tree{}
	root := b.Add(-1, tokens(1, 40), 1)
	_, targets := b.AddCompletion(root, tokens(2, 9), 1)
	_, more := b.AddCompletion(root, tokens(3, 25), 1)
	targets = append(targets, more...)
	grads := func(recompute bool) (out [][]float32) {
		tape := ops.TrainingTape(p, ops.Dropout{Seed: 1, Step: 2}, recompute)
		lp := m.Score(tape, b, a, targets, 1, nil)
		out = append(out, slices.Clone(ops.F32(lp)))
		seed := make([]float32, len(targets))
		for i := range seed {
			seed[i] = float32(i%3) - 0.7
		}
		tape.Backward(lp, seed)
		for _, p := range a.Params() {
			out = append(out, slices.Clone(ops.Grad(p.Param)))
			ops.ZeroGrad(p.Param)
		}
		return out
	}
	want, got := grads(false), grads(true)
	for i := range want {
		if !slices.Equal(got[i], want[i]) {
			t.Fatalf("output or gradient %d differs by %.2g", i, relative(got[i], want[i]))
		}
	}
}

func TestForwardDoesNotDependOnTheBatch(t *testing.T) {
	eachArithmetic(t, forwardDoesNotDependOnTheBatch)
}

func forwardDoesNotDependOnTheBatch(t *testing.T, m *Model, a *adapters.Adapter) {
	one := &batch.Tree{}
	one.Add(-1, tokens(1, 33), 0)
	want := append([]float32(nil), ops.F32(m.Forward(nil, one, a))...)
	many := &batch.Tree{}
	many.Add(-1, tokens(7, 21), 0)
	s := many.Add(-1, tokens(1, 33), 0)
	many.Add(s, tokens(8, 50), 0)
	lo := many.Segs[s].Start * m.Config.Hidden
	for _, threads := range []int{1, 2, 3} {
		kernels.SetThreads(threads)
		if got := ops.F32(m.Forward(nil, many, a))[lo : lo+len(want)]; !slices.Equal(got, want) {
			t.Fatalf("%d threads: other sequences in the batch change a forward value", threads)
		}
	}
	kernels.SetThreads(runtime.GOMAXPROCS(0))
}

// TestGenerationEqualsTraining is the premise of PPO's ratio of exactly 1.
func TestGenerationEqualsTraining(t *testing.T) { eachArithmetic(t, generationEqualsTraining) }

func generationEqualsTraining(t *testing.T, m *Model, a *adapters.Adapter) {
	prompts := []GenPrompt{{Tokens: tokens(1, 70), N: 3, Key: 1}, {Tokens: tokens(2, 5), N: 2, Key: 2}, {Tokens: tokens(3, 40), N: 1, Key: 3}}
	opt := GenOptions{MaxNew: 40, Temperature: 0.7, Stop: []int32{7, 8, 9, 10}, Seed: 3, BatchSize: 4}
	out, err := m.Generate(context.Background(), prompts, a, opt)
	if err != nil {
		t.Fatal(err)
	}
	stopped := 0
	for i, p := range prompts {
		b := &batch.Tree{}
		root := b.Add(-1, p.Tokens, 0)
		var targets []batch.Target
		var want []float32
		for _, c := range out[i] {
			_, ts := b.AddCompletion(root, c.Tokens, 0)
			targets = append(targets, ts...)
			want = append(want, c.LogProbs...)
			if c.Stopped {
				stopped++
			} else if len(c.Tokens) != opt.MaxNew {
				t.Fatalf("prompt %d: %d tokens without a stop", i, len(c.Tokens))
			}
		}
		tape := ops.NewTape()
		got := ops.F32(m.LogProbs(tape, m.Forward(tape, b, a), targets, 0.7, nil))
		if !slices.Equal(got, want) {
			t.Fatalf("prompt %d: log-probabilities of sampling and training differ", i)
		}
	}
	if stopped == 0 {
		t.Fatal("no sample met a stop token: the test does not cover leaving the batch")
	}
	opt.BatchSize = 1
	again, err := m.Generate(context.Background(), prompts[1:], a, opt)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(again[0][1].Tokens, out[1][1].Tokens) {
		t.Fatal("a sample depends on what else is generated")
	}
}

func TestGenerateRefuses(t *testing.T) {
	m, _ := tiny(t)
	for name, c := range map[string]struct {
		p   GenPrompt
		opt GenOptions
	}{
		"empty prompt":   {GenPrompt{}, GenOptions{MaxNew: 4}},
		"too long":       {GenPrompt{Tokens: tokens(1, 250)}, GenOptions{MaxNew: 40}},
		"bad token":      {GenPrompt{Tokens: []int32{300}}, GenOptions{MaxNew: 4}},
		"nothing to do":  {GenPrompt{Tokens: []int32{3}}, GenOptions{}},
		"negative top k": {GenPrompt{Tokens: []int32{3}}, GenOptions{MaxNew: 3, TopK: -1}},
	} {
		if _, err := m.Generate(context.Background(), []GenPrompt{c.p}, nil, c.opt); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestTokenKL(t *testing.T) {
	m, a := tiny(t)
	b := &batch.Tree{}
	b.Add(-1, tokens(1, 40), 0)
	p, q := m.Forward(nil, b, a), m.Forward(nil, b, nil)
	rows := []int{0, 17, 39}
	for i, kl := range m.TokenKL(ops.Gather(nil, p, rows), ops.Gather(nil, q, rows), 1) {
		lp, lq := m.Logits(p, rows[i:i+1]), m.Logits(q, rows[i:i+1])
		var zp, zq, want float64
		for j := range lp {
			zp += math.Exp(float64(lp[j]))
			zq += math.Exp(float64(lq[j]))
		}
		for j := range lp {
			x := math.Exp(float64(lp[j])) / zp
			want += x * (math.Log(x) - (float64(lq[j]) - math.Log(zq)))
		}
		if math.Abs(kl-want) > 1e-4*(1+want) {
			t.Errorf("row %d: %v, want %v", rows[i], kl, want)
		}
	}
	for _, kl := range m.TokenKL(p, p, 1) {
		if kl != 0 {
			t.Errorf("KL of a policy with itself is %v", kl)
		}
	}
}
