package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"plumb/adapters"
	"plumb/internal/batch"
	"plumb/internal/kernels"
	"plumb/internal/model"
	"plumb/internal/ops"
)

// benchOfModel is in tokens a second. Arithmetic is compared with the peak of the unit that the model's products use, on all
// threads; generation, which reads every weight once a step, with the memory's bandwidth.
type benchOfModel struct {
	Name          string  `json:"name"`
	Train         float64 `json:"trained_tokens_per_second"`
	TrainGFLOPS   float64 `json:"train_gflops"`
	Forward       float64 `json:"forward_tokens_per_second"`
	ForwardGFLOPS float64 `json:"forward_gflops"`
	PeakGFLOPS    float64 `json:"peak_gflops"`
	Generate16    float64 `json:"generated_tokens_per_second_16"`
	Generate1     float64 `json:"generated_tokens_per_second_1"`
	GigabytesRead float64 `json:"gigabytes_per_second_1"` // weights that generating one sample reads
	Bandwidth     float64 `json:"memory_gigabytes_per_second"`
}

func (m *benchOfModel) print(w io.Writer) error {
	share := func(part, of float64) string { return fmt.Sprintf("%.0f%% of %.0f", 100*part/of, of) }
	fmt.Fprintf(w, "\n%s\n\n", m.Name)
	return table(w, [][]string{
		{"work", "tokens/s", "reached", "of the limit"},
		{"training, LoRA r 8", fmt.Sprintf("%.0f", m.Train), fmt.Sprintf("%.0f GFLOP/s", m.TrainGFLOPS), share(m.TrainGFLOPS, m.PeakGFLOPS)},
		{"forward", fmt.Sprintf("%.0f", m.Forward), fmt.Sprintf("%.0f GFLOP/s", m.ForwardGFLOPS), share(m.ForwardGFLOPS, m.PeakGFLOPS)},
		{"generation, 16 samples", fmt.Sprintf("%.0f", m.Generate16), "", ""},
		{"generation, 1 sample", fmt.Sprintf("%.0f", m.Generate1), fmt.Sprintf("%.1f GB/s", m.GigabytesRead), share(m.GigabytesRead, m.Bandwidth)},
	})
}

// benchModel measures a training step and a forward pass of one sequence, every token of which is scored, and generation from
// a token.
func benchModel(ctx context.Context, o benchOptions, rep benchReport) (*benchOfModel, error) {
	const news = 32
	b, err := newModelCache().Open(o.Model, o.Compute, false)
	if err != nil {
		return nil, err
	}
	m := b.Model
	n := min(o.Rows, m.MaxLen()-news-1)
	if n < 2 {
		return nil, fmt.Errorf("%s reads too few tokens to be measured", o.Model)
	}
	a, err := adapters.New(adapters.Config{R: 8, Alpha: 16, Targets: []string{adapters.AllLinear}}, m.Linears(), 1)
	if err != nil {
		return nil, err
	}
	tokens := make([]int32, n)
	for i := range tokens {
		tokens[i] = int32(i * 31 % m.Config.Vocab)
	}
	tree := &batch.Tree{}
	_, targets := tree.AddCompletion(tree.Add(-1, tokens[:1], 0), tokens[1:], 0)
	seed := make([]float32, len(targets))
	for i := range seed {
		seed[i] = 1
	}
	r := &benchOfModel{Name: m.String(), Bandwidth: kernels.Bandwidth()}
	r.PeakGFLOPS = peakOf(m.Compute, rep)
	s := shapeOf(m.Config)
	once := 2 * float64(s.linear*int64(tree.Rows())+s.head*int64(len(targets))) / 1e9 // GFLOP of a forward pass; as many for its gradient
	train := o.fastest(func() {
		tape := ops.NewTape()
		tape.Backward(m.Score(tape, tree, a, targets, 1, nil), seed)
	})
	forward := o.fastest(func() { ops.Release(nil, m.Score(nil, tree, nil, targets, 1, nil)) })
	r.Train, r.TrainGFLOPS = float64(n)/train, 2*once/train
	r.Forward, r.ForwardGFLOPS = float64(n)/forward, once/forward
	generate := func(samples int) float64 {
		took := o.fastest(func() {
			_, e := m.Generate(ctx, []model.GenPrompt{{Tokens: tokens[:1], N: samples}}, nil, model.GenOptions{MaxNew: news, Temperature: 1, Seed: 1})
			if e != nil {
				err = e
			}
		})
		return float64(samples*news) / took
	}
	r.Generate16, r.Generate1 = generate(16), generate(1)
	r.GigabytesRead = r.Generate1 * float64(m.Bytes()) / 1e9
	return r, err
}

// peakOf is the peak in GFLOP/s, on all threads, of the arithmetic that products in c use at the active level.
func peakOf(c kernels.Compute, rep benchReport) float64 {
	for _, l := range rep.Levels {
		if l.Level != rep.Active {
			continue
		}
		if c == kernels.BF16 && l.PeakBF16 > 0 {
			return l.PeakBF16 * float64(rep.Threads)
		}
		if c == kernels.I16 && l.PeakInt16 > 0 {
			return l.PeakInt16 * float64(rep.Threads)
		}
		return l.PeakF32 * float64(rep.Threads)
	}
	return 0
}

// fastest is the least time of f in seconds: after one run that warms up, at least three and for about o.Seconds.
func (o benchOptions) fastest(f func()) float64 {
	f()
	best := 0.0
	for began, times := time.Now(), 0; time.Since(began).Seconds() < o.Seconds || times < 3; times++ {
		start := time.Now()
		f()
		if d := time.Since(start).Seconds(); best == 0 || d < best {
			best = d
		}
	}
	return best
}
