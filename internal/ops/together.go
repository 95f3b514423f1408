package ops

import (
	"slices"

	"plumb/internal/kernels"

	"github.com/nlpodyssey/spago/mat"
)

// Call is one of several layers that are applied to the same x: as by Apply or, where Half is set and products with
// W multiply bf16, with a result that exists in that form only, for what is read so or once.
type Call struct {
	Linear *Linear
	LoRA   *LoRA
	Half   bool
}

// Together applies layers to x (T,in). Frozen ones of the same arithmetic are one operator: the threads share all products in
// one go, which for few rows saves them waiting for each other, and LoRAs of a few columns are one product with x. No bit of the
// results depends on it; gradients do in their last bits.
func Together(t *Tape, x mat.Tensor, calls ...Call) []mat.Tensor {
	out := make([]mat.Tensor, len(calls))
	layer := func(c Call, low *lowRank) *linear {
		return &linear{x: x, l: c.Linear, tape: t, half: c.Half && c.Linear.halves(), low: low}
	}
	if slices.ContainsFunc(calls, func(c Call) bool { return c.Linear.W.Frozen == nil || c.Linear.Compute != calls[0].Linear.Compute }) {
		for i, c := range calls {
			out[i] = t.apply(layer(c, lowRankOf(c.Linear, c.LoRA)))
		}
		return out
	}
	f := &group{x: x, tape: t, low: sharedLowRank(t, calls)}
	for _, c := range calls {
		var own *lowRank
		if f.low == nil {
			own = lowRankOf(c.Linear, c.LoRA)
		}
		f.layers = append(f.layers, layer(c, own))
	}
	of := t.apply(f)
	for i := range calls {
		out[i] = t.apply(&result{of, f, i})
	}
	return out
}

// group is the operator of Together. Its own value holds nothing: its results are.
type group struct {
	x       mat.Tensor
	tape    *Tape
	layers  []*linear
	low     *lowRank // of all layers; or nil, where each has its own or none
	results []*value
	grads   []*value // of the results, nil for those that nobody read
}

func (f *group) Operands() []mat.Tensor {
	ops := []mat.Tensor{f.x}
	for _, l := range f.layers {
		ops = append(ops, l.params()...)
	}
	return append(ops, f.low.params()...)
}

func (f *group) Forward() (mat.Tensor, error) {
	products := make([]kernels.Product, len(f.layers))
	for i, l := range f.layers {
		p := &products[i]
		p.P = l.l.W.Frozen
		p.X, p.Tail = l.open()
		if f.low != nil {
			if i == 0 {
				f.low.forward(f.tape, f.x, p.X)
			}
			p.Tail.Low = f.low.tail(i)
		}
		y := l.result()
		if f.results = append(f.results, y); l.half {
			p.Half = y.half
		} else {
			p.Dst = y.data()
		}
	}
	kernels.MatMulTogether(products, f.layers[0].rows, f.layers[0].l.Compute)
	for _, l := range f.layers {
		l.close()
	}
	if f.low != nil {
		f.low.releasePacked()
		if f.tape == nil {
			f.low.release()
		}
	}
	f.grads = make([]*value, len(f.layers))
	return &value{Dense: hollow}, nil
}

// Backward reads the gradients that the results have left here, the last one's first.
func (f *group) Backward(mat.Tensor) error {
	defer func() {
		for _, g := range f.grads {
			g.release()
		}
	}()
	shared := f.low != nil
	for i := len(f.layers) - 1; i >= 0; i-- {
		switch l, g := f.layers[i], f.grads[i]; {
		case g == nil:
		case shared:
			l.backwardParams(g)
		default:
			if err := l.Backward(g); err != nil {
				return err
			}
		}
	}
	if !shared {
		return nil
	}
	var ls []*Linear
	var dy [][]uint16 // nil for what nobody read
	for i, l := range f.layers {
		ls, dy = append(ls, l.l), append(dy, nil)
		if g := f.grads[i]; g != nil {
			dy[i] = halfOf(g)
		}
	}
	dx, acc := gradInto(f.x)
	f.low.backwardPairs(ls, f.x, target{dx: dx, acc: acc}, dy)
	return nil
}

func (f *group) releaseSaved() {
	for _, l := range f.layers {
		l.releaseSaved()
	}
	if f.low != nil {
		f.low.release()
	}
}

// result is what a layer of a group gave.
type result struct {
	of    mat.Tensor
	group *group
	i     int
}

func (f *result) Operands() []mat.Tensor { return []mat.Tensor{f.of} }

func (f *result) Forward() (mat.Tensor, error) { return f.group.results[f.i], nil }

// Backward leaves the gradient to the group, which runs once all of its results have.
func (f *result) Backward(mat.Tensor) error {
	v := f.group.results[f.i]
	f.group.grads[f.i], v.grad = v.grad, nil
	if of := valueOf(f.of); of.grad == nil { // so that the tape calls the group
		of.grad = &value{Dense: hollow}
	}
	return nil
}
