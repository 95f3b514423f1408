package reward

import (
	"context"
	"errors"
	"fmt"

	"plumb/adapters"
	"plumb/datasets"
	"plumb/internal/batch"
	"plumb/internal/encode"
	"plumb/internal/model"
	"plumb/internal/ops"
	"plumb/internal/train"
)

// Model is a reward model: a base with its own tokenizer, an adapter and a score head.
type Model struct {
	Bundle      *model.Bundle
	Adapter     *adapters.Adapter
	MaxLength   int // tokens; a longer text is scored by its end
	BatchTokens int // rows of one forward pass; 0: 512
}

// Load opens the adapter and head in dir (PEFT's format) over a base.
func Load(base *model.Bundle, dir string, maxLength int) (*Model, error) {
	a, err := adapters.Load(dir, base.Model.Linears())
	if err != nil {
		return nil, err
	}
	if a.Head == nil {
		return nil, fmt.Errorf("%s: no score head: not a reward model's adapter", dir)
	}
	return &Model{Bundle: base, Adapter: a, MaxLength: maxLength}, nil
}

// Example is a text to score: an answer to a prompt.
type Example struct {
	Prompt []datasets.Message
	Tools  string // tool definitions as JSON, empty for none
	Answer string
}

// Score returns the reward of each example. A score does not depend on what else is scored.
func (m *Model) Score(ctx context.Context, examples []Example) ([]float64, error) {
	enc := encoder(m.Bundle, m.MaxLength)
	ids := make([][]int32, len(examples))
	for i, x := range examples {
		var err error
		if ids[i], err = enc.Text(x.Prompt, x.Tools, x.Answer); err != nil {
			return nil, fmt.Errorf("reward: example %d: %w", i+1, err)
		}
	}
	out := make([]float64, len(ids))
	rows := make([]int, len(ids))
	for i := range ids {
		rows[i] = len(ids[i])
	}
	parts := encode.Parts(rows, m.batchTokens())
	m.passes(len(parts), func(n int) {
		if ctx.Err() != nil {
			return
		}
		tree := &batch.Tree{}
		var last []int
		for _, i := range parts[n] {
			last = append(last, tree.Last(tree.Add(-1, ids[i], 0)))
		}
		for k, s := range m.scores(tree, last) {
			out[parts[n][k]] = float64(s)
		}
	})
	return out, ctx.Err()
}

// passes runs pass for each of n parts, as a training does.
func (m *Model) passes(n int, pass func(i int)) {
	train.Options{MicroBatchTokens: m.batchTokens()}.Passes(n, func(i int, _ *ops.Turn) { pass(i) })
}

// scores returns the head's output at rows of a tree.
func (m *Model) scores(tree *batch.Tree, rows []int) []float32 {
	x := m.Bundle.Model.ForwardRows(nil, tree, m.Adapter, rows)
	s := ops.Project(nil, x, m.Adapter.Head, nil)
	out := append([]float32(nil), ops.F32(s)...)
	ops.Release(nil, x, s)
	return out
}

func (m *Model) batchTokens() int {
	if m.BatchTokens > 0 {
		return m.BatchTokens
	}
	return 512
}

// Evaluate scores held-out preferences.
func (m *Model) Evaluate(ctx context.Context, recs []datasets.Record) (Report, error) {
	set, err := encode.All(recs, encoder(m.Bundle, m.MaxLength).RewardPair)
	if err != nil {
		return Report{}, fmt.Errorf("reward: %w", err)
	}
	r, err := m.evaluate(ctx, set.Items, 0)
	r.Dropped = set.Dropped
	return r, err
}

func (m *Model) evaluate(ctx context.Context, pairs []encode.Pair, center float64) (Report, error) {
	rows := make([]int, len(pairs))
	for i, p := range pairs {
		rows[i] = p.Rows()
	}
	chosen, rejected, margin := make([]float64, len(pairs)), make([]float64, len(pairs)), make([]float64, len(pairs))
	parts := encode.Parts(rows, m.batchTokens())
	m.passes(len(parts), func(n int) {
		if ctx.Err() != nil {
			return
		}
		tree := &batch.Tree{}
		var last []int
		for _, i := range parts[n] {
			c, r := encode.AddRewardPair(tree, pairs[i], 0)
			last = append(last, c, r)
			margin[i] = pairs[i].Margin
		}
		c, r := sides(m.scores(tree, last))
		for k, i := range parts[n] {
			chosen[i], rejected[i] = c[k], r[k]
		}
	})
	if err := ctx.Err(); err != nil {
		return Report{}, err
	}
	for i := range chosen {
		if !train.Finite(chosen[i], rejected[i]) {
			return Report{}, fmt.Errorf("reward: the rewards of pair %d are %v and %v: the model's numbers have grown out of all bounds", i+1, chosen[i], rejected[i])
		}
	}
	if len(chosen) == 0 {
		return Report{}, errors.New("reward: no pairs to evaluate")
	}
	return NewReport(chosen, rejected, margin, center), nil
}
