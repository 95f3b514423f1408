package sft

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"plumb/adapters"
	"plumb/datasets"
	"plumb/internal/batch"
	"plumb/internal/encode"
	"plumb/internal/model"
	"plumb/internal/ops"
	"plumb/internal/run"
	"plumb/internal/tokenizer"
	"plumb/internal/train"
)

// Inputs are what a model is trained from.
type Inputs struct {
	Base  *model.Bundle     // nil for mode scratch; opened as trainable for mode full
	Start *adapters.Adapter // continued in mode lora, if not nil
	Train []datasets.Record // demonstrations, or preferences of which the chosen side is one
	Eval  []datasets.Record // may be empty
}

// Result is a trained model.
type Result struct {
	Adapter  *adapters.Adapter // mode lora
	Path     string            // folder of the adapter, or of the model
	Steps    int
	Examples int
	Dropped  map[string]int     // reason -> records of Train that were not used
	Eval     map[string]float64 // metrics without prefix; nil without Eval records
}

// trainer is one supervised training.
type trainer struct {
	cfg     Config
	model   *model.Model
	tok     *tokenizer.Tokenizer
	adapter *adapters.Adapter // nil: the model's own weights are trained
}

// Train trains and writes the stage's folder adapter/ (mode lora) or model/ (the others). It
// continues from the stage's last checkpoint. When ctx is cancelled it saves a checkpoint and
// returns an error that wraps the context's, with exit code 130.
func Train(ctx context.Context, cfg Config, in Inputs, st *run.Stage) (res Result, err error) {
	t, params, err := prepare(cfg, in)
	if err != nil {
		return res, fmt.Errorf("sft: %w", err)
	}
	enc := &encode.Encoder{Tok: t.tok, MaxLength: min(cfg.MaxLength, t.model.MaxLen()), Vocab: t.model.Config.Vocab}
	example := func(rec *datasets.Record) (encode.Example, error) { return enc.Example(rec, cfg.CompletionOnlyLoss) }
	set, err := encode.All(in.Train, example)
	if err != nil {
		return res, fmt.Errorf("sft: training data: %w", err)
	}
	if report := set.Report(); report != "" {
		fmt.Fprintf(st.Output(), "sft: %d of %d examples used; %s\n", len(set.Items), len(in.Train), report)
	}

	var evaluate train.Evaluation
	if len(in.Eval) > 0 {
		held, err := encode.All(in.Eval, example)
		if err != nil {
			return res, fmt.Errorf("sft: evaluation data: %w", err)
		}
		evaluate = func(ctx context.Context) (map[string]float64, error) {
			if res.Eval, err = t.evaluate(ctx, held.Items); err != nil {
				return nil, err
			}
			return train.Prefixed("eval_", res.Eval), nil
		}
	}

	opt := train.NewAdamW("model", params, cfg.Options)
	loop, err := train.NewLoop(st, cfg.Options, len(set.Items), 0, opt)
	if err != nil {
		return res, err
	}
	if t.adapter != nil {
		loop.Extra = func(dir string) error { return t.adapter.Save(filepath.Join(dir, "adapter")) }
	}
	if err := loop.Begin(ctx, evaluate); err != nil {
		return res, err
	}
	for !loop.Done() {
		batches := loop.Batches()
		labels := 0
		for _, b := range batches {
			labels += countLabels(set.Items, b)
		}
		loss, seen := 0.0, 0.0
		for _, b := range batches {
			if ctx.Err() != nil {
				return res, loop.Interrupt(ctx)
			}
			l, metrics := t.step(set.Items, b, uint64(loop.Step), labels)
			loss += l
			loop.Observe(metrics)
			for _, i := range b {
				seen += float64(len(set.Items[i].Tokens))
			}
		}
		if err := loop.Learn(opt, loss, seen); err != nil {
			return res, err
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
	res.Adapter, res.Steps, res.Examples, res.Dropped = t.adapter, loop.Step, len(set.Items), set.Dropped
	if t.adapter != nil {
		res.Path = st.Path("adapter")
		return res, t.adapter.Save(res.Path)
	}
	res.Path = st.Path("model")
	if err := t.model.Save(res.Path, nil); err != nil {
		return res, err
	}
	return res, t.tok.Save(res.Path)
}

// prepare returns the trainer and what it trains.
func prepare(cfg Config, in Inputs) (*trainer, []train.Param, error) {
	t := &trainer{cfg: cfg}
	if cfg.Mode == Scratch {
		t.tok = tokenizer.NewByteLevel(cfg.NewModel.ChatTemplate)
		c, err := cfg.NewModel.config(t.tok.VocabSize(), int(t.tok.BOS()), int(t.tok.EOS()), int(t.tok.PAD()))
		if err != nil {
			return nil, nil, err
		}
		if t.model, err = model.NewRandom(c, cfg.Seed); err != nil {
			return nil, nil, err
		}
		return t, train.Params(t.model.Params()), nil
	}
	if in.Base == nil {
		return nil, nil, fmt.Errorf("mode %s needs a base model", cfg.Mode)
	}
	t.model, t.tok = in.Base.Model, in.Base.Tokenizer
	if cfg.Mode == Full {
		params := train.Params(t.model.Params())
		if len(params) == 0 {
			return nil, nil, errors.New("mode full needs a base that was opened as trainable")
		}
		return t, params, nil
	}
	if t.adapter = in.Start.Clone(); t.adapter == nil {
		var err error
		if t.adapter, err = adapters.New(cfg.Lora, t.model.Linears(), cfg.Seed); err != nil {
			return nil, nil, err
		}
	}
	t.adapter.SetDropout(cfg.Lora.Dropout)
	t.adapter.Head = nil
	t.adapter.TaskType, t.adapter.BaseModel = "CAUSAL_LM", in.Base.Path
	t.adapter.SetTrainable(true)
	return t, train.Params(t.adapter.Params()), nil
}

// countLabels counts labels as the peer does for a step's mean: the first token of a text without a prompt is one,
// though nothing predicts it.
func countLabels(items []encode.Example, indices []int) int {
	n := 0
	for _, i := range indices {
		n += len(items[i].Tokens) - items[i].From
	}
	return n
}

// step computes the gradients of one batch of a step that has the given number of labels in all,
// and returns its share of the loss and its metrics.
func (t *trainer) step(items []encode.Example, indices []int, step uint64, labels int) (float64, map[string]float64) {
	parts := t.parts(items, indices)
	losses, stats := make([]float64, len(parts)), make([]ops.TokenStats, len(parts))
	passes := t.cfg.Passes
	if t.adapter == nil {
		passes = t.cfg.PassesAlone
	}
	passes(len(parts), func(n int, turn *ops.Turn) {
		p := parts[n]
		tape := ops.TrainingTape(t.adapter.Dropout(), ops.Dropout{Seed: t.cfg.Seed, Step: step}, t.cfg.GradientCheckpointing)
		tape.Turn = turn
		lp := t.model.Score(tape, p.tree, t.adapter, p.targets, 1, &stats[n])
		l, d := Loss(ops.Widen(ops.F32(lp)), labels)
		losses[n] = l
		grad := make([]float32, len(p.targets))
		for i := range grad {
			grad[i] = float32(d)
		}
		tape.Backward(lp, grad)
	})
	loss := 0.0
	var y tally
	for n := range parts {
		loss += losses[n]
		y.add(&stats[n])
	}
	return loss, y.metrics()
}

// part is some examples of a batch as one tree of roots.
type part struct {
	tree    *batch.Tree
	targets []batch.Target
}

func (t *trainer) parts(items []encode.Example, indices []int) []part {
	rows := make([]int, len(indices))
	for k, i := range indices {
		rows[k] = items[i].Rows()
	}
	var out []part
	for _, of := range encode.Parts(rows, t.cfg.MicroBatchTokens) {
		p := part{tree: &batch.Tree{}}
		for _, i := range encode.Pick(indices, of) {
			p.targets = append(p.targets, encode.AddExample(p.tree, items[i], uint64(i))...)
		}
		out = append(out, p)
	}
	return out
}

// tally sums what TRL logs about the labels of a batch.
type tally struct{ entropy, correct, n float64 }

func (y *tally) add(stats *ops.TokenStats) {
	for i, e := range stats.Entropy {
		y.entropy += float64(e)
		if stats.Correct[i] {
			y.correct++
		}
	}
	y.n += float64(len(stats.Entropy))
}

func (y *tally) metrics() map[string]float64 {
	return map[string]float64{"entropy": y.entropy / y.n, "mean_token_accuracy": y.correct / y.n}
}
