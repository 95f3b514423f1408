package reward

import (
	"context"
	"fmt"
	"path/filepath"

	"plumb/adapters"
	"plumb/datasets"
	"plumb/internal/batch"
	"plumb/internal/encode"
	"plumb/internal/model"
	"plumb/internal/ops"
	"plumb/internal/run"
	"plumb/internal/train"
)

// Inputs are what a reward model is trained from.
type Inputs struct {
	Base  *model.Bundle
	Start *adapters.Adapter // continued if not nil; a head is added where it has none
	Train []datasets.Record
	Eval  []datasets.Record // may be empty
}

// Result is a trained reward model.
type Result struct {
	Model   *Model
	Adapter string // folder of the adapter and head, in PEFT's format
	Steps   int
	Pairs   int
	Dropped map[string]int // reason -> records of Train that were not used
	Eval    *Report        // nil without Eval records
}

// trainer is one reward training.
type trainer struct {
	cfg     Config
	base    *model.Model
	adapter *adapters.Adapter
	pairs   []encode.Pair
}

// Train trains a score head and an adapter and writes them to the stage's folder adapter/. It
// continues from the stage's last checkpoint. When ctx is cancelled it saves a checkpoint and
// returns an error that wraps the context's, with exit code 130.
func Train(ctx context.Context, cfg Config, in Inputs, st *run.Stage) (Result, error) {
	enc := encoder(in.Base, cfg.MaxLength)
	set, err := encode.All(in.Train, enc.RewardPair)
	if err != nil {
		return Result{}, fmt.Errorf("reward: training data: %w", err)
	}
	if report := set.Report(); report != "" {
		fmt.Fprintf(st.Output(), "reward: %d of %d pairs used; %s\n", len(set.Items), len(in.Train), report)
	}
	t := &trainer{cfg: cfg, base: in.Base.Model, pairs: set.Items}
	if t.adapter, err = start(cfg, in); err != nil {
		return Result{}, fmt.Errorf("reward: %w", err)
	}
	m := &Model{Bundle: in.Base, Adapter: t.adapter, MaxLength: cfg.MaxLength, BatchTokens: cfg.MicroBatchTokens}

	var evaluate train.Evaluation
	var report *Report
	if len(in.Eval) > 0 {
		held, err := encode.All(in.Eval, enc.RewardPair)
		if err != nil {
			return Result{}, fmt.Errorf("reward: evaluation data: %w", err)
		}
		evaluate = func(ctx context.Context) (map[string]float64, error) {
			r, err := m.evaluate(ctx, held.Items, cfg.CenterRewardsCoefficient)
			if err != nil {
				return nil, err
			}
			report = &r
			return train.Prefixed("eval_", r.Metrics()), nil
		}
	}

	opt := train.NewAdamW("reward", train.Params(t.adapter.Params()), cfg.Options)
	loop, err := train.NewLoop(st, cfg.Options, len(t.pairs), 0, opt)
	if err != nil {
		return Result{}, err
	}
	loop.Extra = func(dir string) error { return t.adapter.Save(filepath.Join(dir, "adapter")) }
	if err := loop.Begin(ctx, evaluate); err != nil {
		return Result{}, err
	}
	for !loop.Done() {
		batches := loop.Batches()
		loss, seen := 0.0, 0.0
		for _, b := range batches {
			if ctx.Err() != nil {
				return Result{}, loop.Interrupt(ctx)
			}
			l, metrics := t.step(b, uint64(loop.Step), 1/float64(len(batches)))
			loss += l
			loop.Observe(metrics)
			for _, i := range b {
				seen += float64(tokens(t.pairs[i]))
			}
		}
		if err := loop.Learn(opt, loss, seen); err != nil {
			return Result{}, err
		}
		if err := loop.End(ctx, evaluate); err != nil {
			return Result{}, err
		}
	}
	dir := st.Path("adapter")
	if err := t.adapter.Save(dir); err != nil {
		return Result{}, err
	}
	if report == nil && evaluate != nil { // resumed after the last evaluation
		if _, err := evaluate(ctx); err != nil {
			return Result{}, err
		}
	}
	return Result{Model: m, Adapter: dir, Steps: loop.Step, Pairs: len(t.pairs), Dropped: set.Dropped, Eval: report}, nil
}

// encoder returns the encoder for a base, limited to what the model's positions allow.
func encoder(base *model.Bundle, maxLength int) *encode.Encoder {
	return &encode.Encoder{Tok: base.Tokenizer, MaxLength: min(maxLength, base.Model.MaxLen()), Vocab: base.Model.Config.Vocab}
}

// start returns the adapter to train: a copy of the one given or a new one, with a head.
func start(cfg Config, in Inputs) (*adapters.Adapter, error) {
	a := in.Start.Clone()
	if a == nil {
		var err error
		if a, err = adapters.New(cfg.Lora, in.Base.Model.Linears(), cfg.Seed); err != nil {
			return nil, err
		}
	}
	if a.Head == nil {
		a.WithHead(in.Base.Model.Config.Hidden, cfg.HeadInitStd, cfg.Seed)
	}
	a.SetDropout(cfg.Lora.Dropout)
	a.BaseModel = in.Base.Path
	a.SetTrainable(true)
	return a, nil
}

// tokens counts a pair as TRL does: both sequences in full.
func tokens(p encode.Pair) int { return 2*len(p.Prompt) + len(p.Chosen) + len(p.Rejected) }

// step computes the gradients of one batch, scaled by share (one over the batches of the step),
// and returns its share of the loss and its metrics. Micro-batches change neither beyond rounding.
func (t *trainer) step(indices []int, step uint64, share float64) (float64, map[string]float64) {
	rows := make([]int, len(indices))
	for k, i := range indices {
		rows[k] = t.pairs[i].Rows()
	}
	parts := encode.Parts(rows, t.cfg.MicroBatchTokens)
	type outcome struct {
		chosen, rejected []float64
		loss             float64
	}
	outs := make([]outcome, len(parts))
	t.cfg.Passes(len(parts), func(n int, turn *ops.Turn) {
		o := &outs[n]
		tree := &batch.Tree{}
		var last []int
		var margin []float64
		for _, i := range encode.Pick(indices, parts[n]) {
			c, r := encode.AddRewardPair(tree, t.pairs[i], uint64(i))
			last = append(last, c, r)
			margin = append(margin, t.pairs[i].Margin)
		}
		tape := ops.TrainingTape(t.adapter.Dropout(), ops.Dropout{Seed: t.cfg.Seed, Step: step}, t.cfg.GradientCheckpointing)
		tape.Turn = turn
		scores := ops.Project(tape, t.base.ForwardRows(tape, tree, t.adapter, last), t.adapter.Head, nil)
		c, r := sides(ops.F32(scores))
		l, dc, dr := Loss(c, r, margin, t.cfg.CenterRewardsCoefficient, len(indices))
		o.loss, o.chosen, o.rejected = l*share, c, r
		grad := make([]float32, 2*len(c))
		for k := range c {
			grad[2*k], grad[2*k+1] = float32(dc[k]*share), float32(dr[k]*share)
		}
		tape.Backward(scores, grad)
	})
	loss := 0.0
	var chosen, rejected []float64
	for _, o := range outs {
		loss += o.loss
		chosen, rejected = append(chosen, o.chosen...), append(rejected, o.rejected...)
	}
	return loss, Metrics(chosen, rejected)
}

// sides parts scores of chosen and rejected in turn.
func sides(scores []float32) (chosen, rejected []float64) {
	for i := 0; i+1 < len(scores); i += 2 {
		chosen = append(chosen, float64(scores[i]))
		rejected = append(rejected, float64(scores[i+1]))
	}
	return chosen, rejected
}
