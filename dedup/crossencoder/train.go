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

// Verifier is an encoder with a trained adapter and head, or with a classifier of its own. It is a dedup.Verifier.
type Verifier struct {
	Encoder *model.Encoder
	Adapter *adapters.Adapter // nil: the encoder's own classifier
}

// small tells an encoder that TrainSmall made: it is shown views of the texts.
func (v *Verifier) small() bool { return v.Encoder.Config.Restart }

// logits scores pairs. To a small encoder texts that differ in case and spacing only are as alike as can be, and those whose
// differences are too long to be read are not.
func (v *Verifier) logits(ctx context.Context, pairs [][2]string) ([]float64, error) {
	if !v.small() {
		return v.Encoder.Score(ctx, pairs, v.Adapter)
	}
	const sure = 20 // a probability of 1 - 2e-9
	var ask [][2]string
	var of []int
	out := make([]float64, len(pairs))
	for i, p := range pairs {
		a, b, differ := view(p[0], p[1])
		switch {
		case !differ:
			out[i] = sure
		case len(a)+len(b)+3 > v.Encoder.MaxLen:
			out[i] = -sure
		default:
			ask, of = append(ask, [2]string{a, b}), append(of, i)
		}
	}
	scores, err := v.Encoder.Score(ctx, ask, nil)
	for k, z := range scores {
		out[of[k]] = z
	}
	return out, err
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
	s, err := v.logits(ctx, pairs)
	for i, z := range s {
		s[i] = train.Sigmoid(z)
	}
	return s, err
}

// Measure scores labelled pairs.
func (v *Verifier) Measure(ctx context.Context, pairs []dedup.Labelled) (Report, error) {
	texts, same := split(pairs)
	logits, err := v.logits(ctx, texts)
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
	Folder   string // of adapter and head, or of a small encoder
	Steps    int
	Eval     *Report // nil without held-out pairs
}

type trainer struct {
	cfg    Config
	v      *Verifier
	texts  [][2]string
	same   []bool
	params []train.Param
	save   func(dir string) error
	folder string // below the stage's, where save writes at the end
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
	t := &trainer{cfg: cfg, v: &Verifier{e, a}, params: train.Params(a.Params()), save: a.Save, folder: "adapter"}
	t.texts, t.same = split(pairs)
	return t.train(ctx, held, st)
}

// TrainSmall trains an encoder from nothing, all its weights, and writes it to the stage's folder model/, which OpenEncoder reads.
// Pairs with nothing to show, or too much, are left out.
func TrainSmall(ctx context.Context, cfg Config, pairs, held []dedup.Labelled, st *run.Stage) (Result, error) {
	if err := errors.Join(cfg.Validate()...); err != nil {
		return Result{}, run.Usage(err)
	}
	e, err := NewSmall(cfg.Small, cfg.Seed)
	if err != nil {
		return Result{}, run.Usage(fmt.Errorf("train-verifier: %w", err))
	}
	t := &trainer{cfg: cfg, v: &Verifier{Encoder: e}, params: train.Params(e.Params()), save: e.Save, folder: "model"}
	texts, same := split(pairs)
	for i, p := range texts {
		if a, b, ok := view(p[0], p[1]); ok && len(a)+len(b)+3 <= e.MaxLen {
			t.texts, t.same = append(t.texts, [2]string{a, b}), append(t.same, same[i])
		}
	}
	if len(t.texts) == 0 {
		return Result{}, fmt.Errorf("train-verifier: no pair to train on that fits %d bytes", e.MaxLen)
	}
	return t.train(ctx, held, st)
}

func (t *trainer) train(ctx context.Context, held []dedup.Labelled, st *run.Stage) (Result, error) {
	cfg := t.cfg
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
	opt := train.NewAdamW("verifier", t.params, cfg.Options)
	loop, err := train.NewLoop(st, cfg.Options, len(t.texts), 0, opt)
	if err != nil {
		return Result{}, err
	}
	loop.Extra = func(dir string) error { return t.save(filepath.Join(dir, t.folder)) }
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
		if err := loop.Learn(opt, loss, 0); err != nil {
			return Result{}, err
		}
		if err := loop.End(ctx, evaluate); err != nil {
			return Result{}, err
		}
	}
	dir := st.Path(t.folder)
	if err := t.save(dir); err != nil {
		return Result{}, err
	}
	if report == nil && evaluate != nil {
		if _, err := evaluate(ctx); err != nil {
			return Result{}, err
		}
	}
	return Result{Verifier: t.v, Folder: dir, Steps: loop.Step, Eval: report}, nil
}

// step computes the gradients of one batch, scaled by share, and returns its share of the loss.
func (t *trainer) step(indices []int, step uint64, share float64) float64 {
	e := t.v.Encoder
	ids, types, rows := make([][]int32, len(indices)), make([][]int32, len(indices)), make([]int, len(indices))
	for k, i := range indices {
		ids[k], types[k] = e.Tokenizer.EncodePair(t.texts[i][0], t.texts[i][1], e.MaxLen)
		rows[k] = len(ids[k])
	}
	parts := encode.Parts(rows, t.cfg.MicroBatchTokens)
	losses := make([]float64, len(parts))
	t.cfg.Passes(len(parts), func(n int, turn *ops.Turn) {
		tree := &batch.Tree{}
		var same []bool
		for _, k := range parts[n] {
			e.AddInput(tree, ids[k], types[k], uint64(indices[k]))
			same = append(same, t.same[indices[k]])
		}
		tape := ops.TrainingTape(t.v.Adapter.Dropout(), ops.Dropout{Seed: t.cfg.Seed, Step: step}, t.cfg.GradientCheckpointing)
		tape.Turn = turn
		hidden := e.Forward(tape, tree, t.v.Adapter)
		scores := e.Logits(tape, tree, hidden, t.v.Adapter)
		logits := make([]float64, len(same))
		for i, z := range ops.F32(scores) {
			logits[i] = float64(z)
		}
		l, d := Loss(logits, same, len(indices))
		losses[n] = l * share
		grad := make([]float32, len(d))
		for i, x := range d {
			grad[i] = float32(x * share)
		}
		tape.Backward(scores, grad)
	})
	loss := 0.0
	for _, l := range losses {
		loss += l
	}
	return loss
}
