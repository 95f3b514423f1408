package ops

import (
	"github.com/nlpodyssey/spago/mat"
)

// checkpoint keeps its input only: what its backward pass needs is computed again then.
type checkpoint struct {
	x    mat.Tensor
	f    func(t *Tape, x mat.Tensor) mat.Tensor
	tape *Tape
	drop Dropout
}

// trainable stands for the parameters that f reads.
var trainable = NewParam(1, 1, nil)

// Checkpoint returns f(x) and keeps nothing of how it came about; the backward pass runs f once more (Chen et al., 2016,
// arXiv:1604.06174). f must compute the same floats each time.
func Checkpoint(t *Tape, x mat.Tensor, f func(t *Tape, x mat.Tensor) mat.Tensor) mat.Tensor {
	return t.apply(&checkpoint{x: x, f: f, tape: t, drop: t.Drop})
}

func (f *checkpoint) Operands() []mat.Tensor { return []mat.Tensor{f.x, trainable} }

// run runs f on a tape of its own; x must be released afterwards.
func (f *checkpoint) run() (t *Tape, x *value, y mat.Tensor) {
	v := valueOf(f.x)
	v.data()
	rows, cols := Dims(v)
	x = wrap(v.buf, rows, cols)
	x.requires = v.requires
	t = &Tape{Train: f.tape.Train, Drop: f.drop, Turn: f.tape.Turn, inner: true}
	return t, x, f.f(t, x)
}

func (f *checkpoint) Forward() (mat.Tensor, error) {
	t, x, y := f.run()
	v := valueOf(y)
	v.data()
	rows, cols := Dims(v)
	out := wrap(v.buf, rows, cols)
	for i := len(t.ops) - 1; i >= 0; i-- {
		t.drop(i)
	}
	x.release()
	return out, nil
}

func (f *checkpoint) Backward(gy mat.Tensor) error {
	t, x, y := f.run()
	t.Seed(y, F32(gy))
	t.Run()
	if x.grad != nil {
		valueOf(f.x).AccGrad(x.grad)
		x.ZeroGrad()
	}
	x.release()
	return nil
}
