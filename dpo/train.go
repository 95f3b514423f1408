package dpo

import (
	"context"
	"fmt"
	"path/filepath"

	"plumb/adapters"
	"plumb/datasets"
	"plumb/internal/encode"
	"plumb/internal/model"
	"plumb/internal/ops"
	"plumb/internal/run"
	"plumb/internal/train"
)

// Inputs are what a policy is aligned from.
type Inputs struct {
	Base      *model.Bundle
	Start     *adapters.Adapter // the policy's first value; nil: a fresh adapter
	Reference *Reference        // nil: Start
	Train     []datasets.Record
	Eval      []datasets.Record // may be empty
}

// Reference is a frozen policy over the same base; a nil Adapter is the bare base.
type Reference struct{ Adapter *adapters.Adapter }

// Result is an aligned policy.
type Result struct {
	Policy  *adapters.Adapter
	Adapter string // folder of the adapter in PEFT's format
	Steps   int
	Pairs   int
	Dropped map[string]int     // reason -> records of Train that were not used
	Eval    map[string]float64 // metrics without prefix; nil without Eval records
}

// trainer is one DPO training.
type trainer struct {
	cfg       Config
	objective Objective
	base      *model.Model
	policy    *adapters.Adapter
	reference *adapters.Adapter // nil: the bare base
	cache     *refCache         // nil: no reference
}

// Train aligns an adapter and writes it to the stage's folder adapter/. It continues from the
// stage's last checkpoint. When ctx is cancelled it saves a checkpoint and returns an error that
// wraps the context's, with exit code 130.
func Train(ctx context.Context, cfg Config, in Inputs, st *run.Stage) (res Result, err error) {
	enc := &encode.Encoder{Tok: in.Base.Tokenizer, MaxLength: min(cfg.MaxLength, in.Base.Model.MaxLen()), Vocab: in.Base.Model.Config.Vocab}
	set, err := encode.All(in.Train, enc.Pair)
	if err != nil {
		return res, fmt.Errorf("dpo: training data: %w", err)
	}
	if report := set.Report(); report != "" {
		fmt.Fprintf(st.Output(), "dpo: %d of %d pairs used; %s\n", len(set.Items), len(in.Train), report)
	}
	t := &trainer{cfg: cfg, objective: cfg.objective(), base: in.Base.Model, reference: in.Start}
	if in.Reference != nil {
		t.reference = in.Reference.Adapter
	}
	if t.policy = in.Start.Clone(); t.policy == nil {
		if t.policy, err = adapters.New(cfg.Lora, t.base.Linears(), cfg.Seed); err != nil {
			return res, fmt.Errorf("dpo: %w", err)
		}
	}
	t.policy.SetDropout(cfg.Lora.Dropout)
	t.policy.Head = nil // a policy has none, whatever it starts from
	t.policy.TaskType, t.policy.BaseModel = "CAUSAL_LM", in.Base.Path
	t.policy.SetTrainable(true)
	if cfg.needsReference() {
		id, err := referenceID(in.Base, t.reference)
		if err != nil {
			return res, fmt.Errorf("dpo: %w", err)
		}
		if t.cache, err = openRefCache(st.Path("reference.cache"), id); err != nil {
			return res, err
		}
		defer func() {
			if cerr := t.cache.close(); err == nil {
				err = cerr
			}
		}()
	}

	var evaluate train.Evaluation
	if len(in.Eval) > 0 {
		held, err := encode.All(in.Eval, enc.Pair)
		if err != nil {
			return res, fmt.Errorf("dpo: evaluation data: %w", err)
		}
		evaluate = func(ctx context.Context) (map[string]float64, error) {
			if res.Eval, err = t.evaluate(ctx, held.Items); err != nil {
				return nil, err
			}
			return train.Prefixed("eval_", res.Eval), nil
		}
	}

	opt := train.NewAdamW("policy", train.Params(t.policy.Params()), cfg.Options)
	loop, err := train.NewLoop(st, cfg.Options, len(set.Items), 0, opt)
	if err != nil {
		return res, err
	}
	loop.Extra = func(dir string) error { return t.policy.Save(filepath.Join(dir, "adapter")) }
	if err := loop.Begin(ctx, evaluate); err != nil {
		return res, err
	}
	for !loop.Done() {
		batches := loop.Batches()
		loss, seen := 0.0, 0.0
		for k, b := range batches {
			if ctx.Err() != nil {
				return res, loop.Interrupt(ctx)
			}
			l, metrics := t.step(set.Items, b, loop.After(k), uint64(loop.Step), 1/float64(len(batches)))
			loss += l
			loop.Observe(metrics)
			for _, i := range b {
				p := set.Items[i]
				seen += float64(2*len(p.Prompt) + len(p.Chosen) + len(p.Rejected))
			}
		}
		if err := loop.Learn(opt, loss, seen); err != nil {
			return res, err
		}
		if t.cache != nil {
			if err := t.cache.flush(); err != nil {
				return res, err
			}
		}
		if err := loop.End(ctx, evaluate); err != nil {
			return res, err
		}
	}
	if res.Eval == nil && evaluate != nil { // resumed after the last evaluation
		if _, err := evaluate(ctx); err != nil {
			return res, err
		}
	}
	res.Policy, res.Adapter = t.policy, st.Path("adapter")
	res.Steps, res.Pairs, res.Dropped = loop.Step, len(set.Items), set.Dropped
	return res, t.policy.Save(res.Adapter)
}

// parts cuts a batch into trees of at most MicroBatchTokens rows.
func (t *trainer) parts(pairs []encode.Pair, indices []int) []*part {
	rows := make([]int, len(indices))
	for k, i := range indices {
		rows[k] = pairs[i].Rows()
	}
	var out []*part
	for _, items := range encode.Parts(rows, t.cfg.MicroBatchTokens) {
		out = append(out, newPart(pairs, encode.Pick(indices, items)))
	}
	return out
}

// passed is what a pass over a part leaves.
type passed struct {
	vals  []Pair
	stats ops.TokenStats
	loss  float64
	fresh []refEntry // of the reference
	ahead []Grad     // given beforehand by a loss that needs the whole batch; else nil
}

// step computes the gradients of one batch, scaled by share (one over the batches of the step),
// and returns its share of the loss and its metrics. Micro-batches change neither beyond rounding. The reference's passes over the next batch
// fill up the threads' time.
func (t *trainer) step(pairs []encode.Pair, indices, next []int, step uint64, share float64) (float64, map[string]float64) {
	parts := t.parts(pairs, indices)
	in := totals(parts)
	var ahead []Grad // of a loss that needs the whole batch at once
	loss := 0.0
	if t.objective.coupled() && len(parts) > 1 {
		var all []Pair
		for _, p := range parts {
			vals := make([]Pair, len(p.indices))
			var first *ops.Tape
			if t.policy.Dropout() > 0 { // the same masks as in the pass below: a gradient is that of what it was computed from
				first = t.tape(step)
			}
			p.fill(vals, p.logProbs(first, t.base, t.policy, nil), pairs, t.cfg.LDAlpha)
			t.cache.add(t.references(p, pairs, vals))
			all = append(all, vals...)
		}
		loss, ahead = t.objective.Loss(all, in)
	}
	outs := make([]passed, len(parts))
	for i, p := range parts {
		if n := len(p.indices); ahead != nil {
			outs[i].ahead, ahead = ahead[:n], ahead[n:]
		}
	}
	coming := t.coming(pairs, parts, next)
	comingFresh := make([][]refEntry, len(coming))
	t.cfg.Passes(len(parts)+len(coming), func(i int, turn *ops.Turn) {
		if n := i - len(parts); n >= 0 {
			comingFresh[n] = t.references(coming[n], pairs, nil)
			return
		}
		p, o := parts[i], &outs[i]
		o.vals = make([]Pair, len(p.indices))
		o.fresh = t.references(p, pairs, o.vals)
		tape := t.tape(step)
		tape.Turn = turn
		lp := t.base.Score(tape, p.tree, t.policy, p.targets, 1, &o.stats)
		p.fill(o.vals, ops.F32(lp), pairs, t.cfg.LDAlpha)
		grads := o.ahead
		if grads == nil {
			o.loss, grads = t.objective.Loss(o.vals, in)
		}
		tape.Backward(lp, p.seed(grads, t.cfg.LDAlpha, share))
	})
	var seen tally
	for i := range outs {
		o := &outs[i]
		loss += o.loss
		t.cache.add(o.fresh)
		seen.add(parts[i], o.vals, &o.stats)
	}
	t.remember(next, coming, comingFresh)
	return loss * share, seen.metrics(t.cfg.Beta)
}

// tape returns a tape for a pass of the policy in a step.
func (t *trainer) tape(step uint64) *ops.Tape {
	return ops.TrainingTape(t.policy.Dropout(), ops.Dropout{Seed: t.cfg.Seed, Step: step}, t.cfg.GradientCheckpointing)
}

// totals returns what the means of a batch divide by.
func totals(parts []*part) Batch {
	var in Batch
	for _, p := range parts {
		in.Pairs += len(p.indices)
		for _, s := range p.spans {
			in.ChosenTokens += s.rejected - s.chosen
		}
	}
	return in
}
