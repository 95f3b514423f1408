package model

import (
	"context"
	"os"
	"testing"

	"plumb/adapters"
	"plumb/internal/batch"
	"plumb/internal/kernels"
	"plumb/internal/ops"
	"plumb/internal/testpaths"
)

// benchPairs is the mean shape of the HH-RLHF pairs that bench/ uses: 118 prompt, 34 chosen, 40 rejected tokens.
func benchPairs(n int) (*batch.Tree, []batch.Target) {
	b := &batch.Tree{}
	var targets []batch.Target
	for i := range n {
		s := uint64(10 * i)
		p := b.Add(-1, tokens(s, 118), s)
		for j, l := range []int{34, 40} {
			_, ts := b.AddCompletion(p, tokens(s+uint64(j)+1, l), s)
			targets = append(targets, ts...)
		}
	}
	return b, targets
}

func benchModel(b *testing.B, c kernels.Compute) (*Model, *adapters.Adapter) {
	path := os.Getenv("PLUMB_BENCH_MODEL")
	if path == "" {
		path = testpaths.SmolLM2(b)
	}
	bundle, err := Open(path, Options{Compute: c})
	if err != nil {
		b.Fatal(err)
	}
	a, err := adapters.New(adapters.Config{R: 8, Alpha: 16, Targets: []string{adapters.AllLinear}}, bundle.Model.Linears(), 1)
	if err != nil {
		b.Fatal(err)
	}
	return bundle.Model, a
}

// BenchmarkDPOStep is forward and backward of four pairs, and the reference's forward.
func BenchmarkDPOStep(b *testing.B) {
	for name, c := range map[string]kernels.Compute{"f32": kernels.F32, "bf16": kernels.BF16, "int16": kernels.I16} {
		b.Run(name, func(b *testing.B) {
			m, a := benchModel(b, c)
			tree, targets := benchPairs(4)
			g := make([]float32, len(targets))
			for i := range g {
				g[i] = 0.01
			}
			b.ReportAllocs()
			for b.Loop() {
				ops.Release(nil, m.Score(nil, tree, nil, targets, 1, nil))
				tape := ops.NewTape()
				tape.Backward(m.Score(tape, tree, a, targets, 1, nil), g)
			}
			b.ReportMetric(4*float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
		})
	}
}

// BenchmarkGenerate is sampling from 16 prompts, or one.
func BenchmarkGenerate(b *testing.B) {
	for name, n := range map[string]int{"batch16": 16, "batch1": 1} {
		b.Run(name, func(b *testing.B) {
			m, a := benchModel(b, kernels.Fastest())
			var prompts []GenPrompt
			for i := range n {
				prompts = append(prompts, GenPrompt{Tokens: tokens(uint64(i), 118), Key: uint64(i)})
			}
			for b.Loop() {
				if _, err := m.Generate(context.Background(), prompts, a, GenOptions{MaxNew: 64, Temperature: 0.7}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(64*n*b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
