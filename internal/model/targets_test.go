package model

import (
	"math"
	"slices"
	"testing"

	"plumb/adapters"
	"plumb/internal/batch"
	"plumb/internal/kernels"
	"plumb/internal/ops"
	"plumb/internal/run"
)

// TestSomeTargets: gradients are right where only some of the layers that read the same input have an adapter.
func TestSomeTargets(t *testing.T) {
	grads := func(t *testing.T, l kernels.Level, intermediate int, targets []string) []float32 {
		cfg := tinyConfig()
		cfg.Layers, cfg.Hidden, cfg.HeadDim, cfg.Intermediate = 1, 128, 32, intermediate
		defer kernels.Force(l)()
		m, err := NewRandom(cfg, 1)
		if err != nil {
			t.Fatal(err)
		}
		m = frozen(t, m, kernels.BF16)
		a, err := adapters.New(adapters.Config{R: 4, Alpha: 8, Targets: targets}, m.Linears(), 5)
		if err != nil {
			t.Fatal(err)
		}
		rng := run.Rand(5, "b")
		for _, l := range a.Layers {
			for i := range ops.F32(l.LoRA.B) {
				ops.F32(l.LoRA.B)[i] = float32(0.1 * rng.NormFloat64())
			}
		}
		b := &batch.Tree{}
		_, ts := b.AddCompletion(b.Add(-1, tokens(1, 40), 0), tokens(2, 33), 0)
		tape := ops.NewTape()
		out := m.LogProbs(tape, m.Forward(tape, b, a), ts, 1, nil)
		spoilPool()
		seed := make([]float32, len(ts))
		for i := range seed {
			seed[i] = 1
		}
		tape.Backward(out, seed)
		var g []float32
		for _, p := range a.Params() {
			g = append(g, ops.Grad(p.Param)...)
		}
		return g
	}
	for _, l := range kernels.Available() {
		for _, targets := range [][]string{{"gate_proj"}, {"up_proj"}, {"gate_proj", "down_proj"}, {"q_proj"}, {"v_proj"}, {"o_proj"}} {
			for _, inter := range []int{224, 208, 50} { // whole panels, and sizes that are none; no operator has freed one of the first
				if r := relative(grads(t, l, inter, targets), grads(t, kernels.Generic, inter, targets)); !(r < 0.3) { // a small random model magnifies the rounding; memory that was not set shows in hundreds
					t.Errorf("%v %v, %d columns: gradients differ by %.2g from those of float32 arithmetic on the same weights", l, targets, inter, r)
				}
			}
		}
	}
}

// spoilPool leaves NaN in the memory that operators get next.
func spoilPool() {
	for n := 64; n < 1<<16; n = n*17/16 + 1 {
		var bufs [][]float32
		for range 4 {
			b := ops.Scratch(n)
			for i := range b {
				b[i] = float32(math.NaN())
			}
			bufs = append(bufs, b)
		}
		for _, b := range bufs {
			ops.FreeScratch(b)
		}
	}
}

// TestFreshAdapterIsTheBase: an adapter whose B is zero changes no bit of a log-probability, so that the first KL is exactly 0.
func TestFreshAdapterIsTheBase(t *testing.T) {
	eachArithmetic(t, func(t *testing.T, m *Model, _ *adapters.Adapter) {
		fresh, err := adapters.New(adapters.Config{R: 4, Alpha: 8, Targets: []string{adapters.AllLinear}}, m.Linears(), 5)
		if err != nil {
			t.Fatal(err)
		}
		b := &batch.Tree{}
		_, targets := b.AddCompletion(b.Add(-1, tokens(1, 40), 0), tokens(2, 30), 0)
		base := slices.Clone(ops.F32(m.Score(nil, b, nil, targets, 1, nil)))
		for name, tape := range map[string]*ops.Tape{"no tape": nil, "tape": ops.NewTape()} {
			if got := ops.F32(m.Score(tape, b, fresh, targets, 1, nil)); !slices.Equal(got, base) {
				t.Errorf("%s: log-probabilities differ from the base's", name)
			}
		}
	})
}
