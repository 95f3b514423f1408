package ops

import (
	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/mat"
)

// Tape records operators in the order they ran and runs them backward in the reverse order, on the
// caller's goroutine. spago's own ag.Backward starts a goroutine an operator, and which of two
// consumers adds its gradient first is then a matter of timing; sums of floats would differ from
// run to run. A nil *Tape means inference.
type Tape struct {
	ops []*ag.Operator
	fns []ag.AutoGradFunction
	// Train turns dropout on.
	Train bool
	Drop  Dropout
	// Recompute makes models keep only the input of each block (Checkpoint): memory for time.
	Recompute bool
	// Turn orders what tapes that run at once add to the same parameters; nil: nothing else runs.
	Turn  *Turn
	inner bool // a part of the tape that has the turn
}

// NewTape returns an empty tape.
func NewTape() *Tape { return &Tape{} }

// TrainingTape returns a tape for a step with adapters of dropout p, which recomputes blocks where that is set.
func TrainingTape(p float64, d Dropout, recompute bool) *Tape {
	t := &Tape{Recompute: recompute}
	if p > 0 {
		t.Train, t.Drop = true, d
	}
	return t
}

// apply runs fn and, on a tape, records it.
func (t *Tape) apply(fn ag.AutoGradFunction) mat.Tensor {
	if t == nil {
		v, err := fn.Forward()
		if err != nil {
			panic(err) // operators validate before they are built: an error here is ours
		}
		return v
	}
	op := ag.NewOperator(fn).Run()
	op.RequiresGrad() // memoised now, and set on the value
	t.ops = append(t.ops, op)
	t.fns = append(t.fns, fn)
	return op
}

// Seed adds grad, the gradient of the loss with respect to out (same shape), to out's gradient.
func (t *Tape) Seed(out mat.Tensor, grad []float32) {
	if !out.RequiresGrad() {
		return
	}
	g, acc := gradInto(out)
	if acc {
		addTo(g, grad)
	} else {
		copy(g, grad)
	}
}

// Backward seeds out with grad and runs the tape.
func (t *Tape) Backward(out mat.Tensor, grad []float32) {
	t.Seed(out, grad)
	t.Run()
}

// Run propagates the seeded gradients into the parameters, adding to what they hold, and returns
// the memory of every recorded tensor to the pool: no tensor of this tape may be read afterwards.
func (t *Tape) Run() {
	total, turn := len(t.ops), t.Turn
	if t.inner {
		turn = nil
	}
	if turn != nil {
		turn.total.Store(int64(total))
		defer turn.Finish()
	}
	for i := total - 1; i >= 0; i-- {
		v := t.ops[i].Value().(*value)
		if v.grad != nil {
			if err := t.fns[i].Backward(v.grad); err != nil {
				panic(err)
			}
			v.ZeroGrad()
		}
		if turn != nil {
			turn.done.Store(int64(total - i))
		}
		t.drop(i)
	}
	t.ops, t.fns = t.ops[:0], t.fns[:0]
}

// saver is an operator that keeps buffers of its own for Backward.
type saver interface{ releaseSaved() }

func (t *Tape) drop(i int) {
	v := t.ops[i].Value().(*value)
	v.ZeroGrad()
	v.release()
	if s, ok := t.fns[i].(saver); ok {
		s.releaseSaved()
	}
	t.ops[i], t.fns[i] = nil, nil
}

// forget drops the memory of x, one of the latest outputs, when it can be recomputed, and what was rounded of it; of what is read in
// bf16 alone it keeps that form where the backward pass reads it.
func (t *Tape) forget(x mat.Tensor) {
	for i := len(t.ops) - 1; i >= 0; i-- {
		if mat.Tensor(t.ops[i]) != x {
			continue
		}
		v := t.ops[i].Value().(*value)
		switch f, ok := t.fns[i].(recomputer); {
		case !ok:
			v.releaseRounded()
		case v.half != nil && v.readBack:
			v.releaseBuffer()
			v.again = f
		default:
			v.release()
			v.again = f
		}
		return
	}
}
