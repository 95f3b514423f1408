package crossencoder

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"plumb/adapters"
	"plumb/dedup"
	"plumb/internal/batch"
	"plumb/internal/encode"
	"plumb/internal/model"
	"plumb/internal/ops"
	"plumb/internal/run"
	"plumb/internal/train"
)

// Verifier is an encoder with a trained adapter and head. It is a dedup.Verifier.
type Verifier struct {
	Encoder *model.Encoder
	Adapter *adapters.Adapter // nil: the encoder's own classifier
}

// Open reads an adapter that Train wrote; with dir empty the encoder must be a cross-encoder itself.
func Open(e *model.Encoder, dir string) (*Verifier, error) {
	if dir == "" {
		return &Verifier{Encoder: e}, nil
	}
	a, err := adapters.Load(dir, e.Linears())
	if err != nil {
		return nil, err
	}
	if a.Head == nil {
		return nil, fmt.Errorf("%s: the adapter has no head: expected one that train-verifier wrote", dir)
	}
	return &Verifier{e, a}, nil
}

// Score returns the probability that the texts of each pair say the same.
func (v *Verifier) Score(ctx context.Context, pairs [][2]string) ([]float64, error) {
	s, err := v.Encoder.Score(ctx, pairs, v.Adapter)
	for i, z := range s {
		s[i] = train.Sigmoid(z)
	}
	return s, err
}

// Measure scores labelled pairs.
func (v *Verifier) Measure(ctx context.Context, pairs []dedup.Labelled) (Report, error) {
	texts, same := split(pairs)
	logits, err := v.Encoder.Score(ctx, texts, v.Adapter)
	if err != nil {
		return Report{}, err
	}
	return Measure(logits, same), nil
}

// split parts texts, the smaller first as dedup asks, and labels.
func split(pairs []dedup.Labelled) ([][2]string, []bool) {
	texts, same := make([][2]string, len(pairs)), make([]bool, len(pairs))
	for i, p := range pairs {
		texts[i], same[i] = [2]string{min(p.A, p.B), max(p.A, p.B)}, p.Same
	}
	return texts, same
}

// Result is a trained verifier.
type Result struct {
	Verifier *Verifier
	Adapter  string // folder of adapter and head
	Steps    int
	Eval     *Report // nil without held-out pairs
}

type trainer struct {
	cfg   Config
	v     *Verifier
	texts [][2]string
	same  []bool
}

// Train trains an adapter and a head on pairs and writes them to the stage's folder adapter/. It continues from the stage's
// last checkpoint; when ctx is cancelled it saves one and returns an error that wraps the context's.
func Train(ctx context.Context, cfg Config, e *model.Encoder, pairs, held []dedup.Labelled, st *run.Stage) (Result, error) {
	if err := errors.Join(cfg.Validate()...); err != nil {
		return Result{}, run.Usage(err)
	}
	if len(pairs) == 0 {
		return Result{}, errors.New("train-verifier: no pairs to train on")
	}
	a, err := adapters.New(cfg.Lora, e.Linears(), cfg.Seed)
	if err != nil {
		return Result{}, fmt.Errorf("train-verifier: %w", err)
	}
	a.WithHead(e.Config.Hidden, cfg.HeadInitStd, cfg.Seed)
	a.BaseModel = e.Path
	a.SetTrainable(true)
	t := &trainer{cfg: cfg, v: &Verifier{e, a}}
	t.texts, t.same = split(pairs)

	var evaluate train.Evaluation
	var report *Report
	if len(held) > 0 {
		evaluate = func(ctx context.Context) (map[string]float64, error) {
			r, err := t.v.Measure(ctx, held)
			if err != nil {
				return nil, err
			}
			report = &r
			return map[string]float64{"eval_loss": r.Loss, "eval_accuracy": r.Accuracy, "eval_precision": r.Precision, "eval_recall": r.Recall, "eval_auc": r.AUC}, nil
		}
	}
	opt := train.NewAdamW("verifier", train.Params(a.Params()), cfg.Options)
	loop, err := train.NewLoop(st, cfg.Options, len(pairs), 0, opt)
	if err != nil {
		return Result{}, err
	}
	loop.Extra = func(dir string) error { return a.Save(filepath.Join(dir, "adapter")) }
	if err := loop.Begin(ctx, evaluate); err != nil {
		return Result{}, err
	}
	for !loop.Done() {
		batches := loop.Batches()
		loss := 0.0
		for _, b := range batches {
			if ctx.Err() != nil {
				return Result{}, loop.Interrupt(ctx)
			}
			loss += t.step(b, uint64(loop.Step), 1/float64(len(batches)))
		}
		lr := loop.LR()
		norm, err := loop.Update(opt, loss, lr)
		if err != nil {
			return Result{}, err
		}
		loop.Observe(map[string]float64{"loss": loss})
		loop.Gauge("grad_norm", norm)
		loop.Gauge("learning_rate", lr)
		if err := loop.End(ctx, evaluate); err != nil {
			return Result{}, err
		}
	}
	dir := st.Path("adapter")
	if err := a.Save(dir); err != nil {
		return Result{}, err
	}
	if report == nil && evaluate != nil {
		if _, err := evaluate(ctx); err != nil {
			return Result{}, err
		}
	}
	return Result{Verifier: t.v, Adapter: dir, Steps: loop.Step, Eval: report}, nil
}

// step computes the gradients of one batch, scaled by share, and returns its share of the loss.
func (t *trainer) step(indices []int, step uint64, share float64) float64 {
	e := t.v.Encoder
	ids, types, rows := make([][]int32, len(indices)), make([][]int32, len(indices)), make([]int, len(indices))
	for k, i := range indices {
		ids[k], types[k] = e.Tokenizer.EncodePair(t.texts[i][0], t.texts[i][1], e.MaxLen)
		rows[k] = len(ids[k])
	}
	loss := 0.0
	for _, part := range encode.Micro(rows, t.cfg.MicroBatchTokens) {
		tree := &batch.Tree{}
		var same []bool
		for k := part[0]; k < part[1]; k++ {
			tree.Add(-1, ids[k], uint64(indices[k]))
			tree.Types = append(tree.Types, types[k]...)
			same = append(same, t.same[indices[k]])
		}
		tape := ops.NewTape()
		if t.v.Adapter.Config.Dropout > 0 {
			tape.Train, tape.Drop = true, ops.Dropout{Seed: t.cfg.Seed, Step: step}
		}
		hidden := e.Forward(tape, tree, t.v.Adapter)
		scores := ops.Project(tape, ops.Gather(tape, hidden, model.Firsts(tree)), t.v.Adapter.Head, nil)
		logits := make([]float64, len(same))
		for i, z := range ops.F32(scores) {
			logits[i] = float64(z)
		}
		l, d := Loss(logits, same, len(indices))
		loss += l * share
		grad := make([]float32, len(d))
		for i, x := range d {
			grad[i] = float32(x * share)
		}
		tape.Backward(scores, grad)
	}
	return loss
}
