package ops

import (
	"math"
	"slices"

	"plumb/internal/kernels"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// Norm is a layer normalisation: RMSNorm when Bias is nil and RMS is set (Zhang and Sennrich, 2019,
// arXiv:1910.07467; eps inside the root), else LayerNorm (Ba et al., 2016, arXiv:1607.06450).
type Norm struct {
	nn.Module
	Gain *nn.Param // (1, cols)
	Bias *nn.Param // (1, cols), LayerNorm only
	Eps  float32
	RMS  bool
}

// leastGain is the least magnitude of gains that a norm's input can be made of its result with.
const leastGain = 1e-6

type norm struct {
	x          mat.Tensor
	n          *Norm
	tape       *Tape
	lazy       bool
	rows, cols int
	mean, rstd []float32
	out        *value // the result of a lazy one
	gone       bool   // x's memory was given away
}

// Apply normalises each row of x (T, cols), or each run of len(Gain) columns of it when that divides
// cols (the per-head norms of Qwen3).
func (n *Norm) Apply(t *Tape, x mat.Tensor) mat.Tensor {
	return t.apply(&norm{x: x, n: n, tape: t})
}

// Lazy is Apply over whole rows for a result that products read: it is computed where they do. x must not be released before.
func (n *Norm) Lazy(t *Tape, x mat.Tensor) mat.Tensor {
	return t.apply(&norm{x: x, n: n, tape: t, lazy: true})
}

func (f *norm) Operands() []mat.Tensor {
	ops := []mat.Tensor{f.x}
	for _, p := range []*nn.Param{f.n.Gain, f.n.Bias} {
		if p != nil {
			ops = append(ops, p)
		}
	}
	return ops
}

func (f *norm) Forward() (mat.Tensor, error) {
	r, c := Dims(f.x)
	f.cols = f.n.Gain.Size()
	f.rows = r * c / f.cols
	if f.tape != nil {
		f.rstd = alloc(f.rows)
	}
	if f.tape != nil && !f.n.RMS {
		f.mean = alloc(f.rows)
	}
	if f.lazy {
		f.out = newLazy(r, c, f)
		if f.tape != nil {
			x := valueOf(f.x)
			x.norms = append(x.norms, f)
		}
		return f.out, nil
	}
	y := newValue(r, c)
	f.recompute(y.data())
	return y, nil
}

// byResult reports whether the backward pass makes x of this norm's result, which the gradients of A read in bf16 and so is kept, and needs x no more:
// no gain is so small that x could not be made of it.
func (f *norm) byResult() bool {
	return f.lazy && f.n.RMS && !f.n.Gain.RequiresGrad() && f.out.half != nil && f.out.readBack &&
		!slices.ContainsFunc(F32(f.n.Gain), func(g float32) bool { return math.Abs(float64(g)) < leastGain })
}

func (f *norm) recompute(y []float32) { f.recomputeRows(y, 0, f.rows) }

func (f *norm) rounds() bool { return f.n.RMS }

func (f *norm) roundRows(half []uint16, lo, hi int) {
	x, _, rstd := f.at(lo, hi)
	kernels.RMSNormHalf(half[kernels.HalfLen(lo, f.cols):], x, F32(f.n.Gain), f.n.Eps, hi-lo, f.cols, rstd)
}

// at is x, and memory for what the backward pass reads, nil where there is none, of rows [lo,hi).
func (f *norm) at(lo, hi int) (x, mean, rstd []float32) {
	if f.rstd != nil {
		rstd = f.rstd[lo:hi]
	}
	if f.mean != nil {
		mean = f.mean[lo:hi]
	}
	return F32(f.x)[lo*f.cols : hi*f.cols], mean, rstd
}

func (f *norm) recomputeRows(y []float32, lo, hi int) {
	if f.gone {
		widenRows(y, f.out.half, lo, hi)
		return
	}
	x, mean, rstd := f.at(lo, hi)
	if f.n.RMS {
		kernels.RMSNorm(y, x, F32(f.n.Gain), f.n.Eps, hi-lo, f.cols, rstd)
	} else {
		kernels.LayerNorm(y, x, F32(f.n.Gain), F32(f.n.Bias), f.n.Eps, hi-lo, f.cols, mean, rstd)
	}
}

func (f *norm) Backward(gy mat.Tensor) error {
	dx := gradZeroed(f.x)
	if dx == nil {
		dx = alloc(f.rows * f.cols)
		defer free(dx)
		clear(dx)
	}
	if f.n.RMS {
		var half []uint16 // of the sum, which is likely to be whole now
		if v := valueOf(f.x); v.grad != nil && v.halfToo && f.rows == v.Shape()[0] {
			half = halfAlloc(kernels.HalfLen(f.rows, f.cols))
			v.grad.half = half
		}
		if f.byResult() {
			kernels.RMSNormBackwardOf(dx, half, F32(gy), f.out.half, F32(f.n.Gain), f.rstd, f.rows, f.cols)
			return nil
		}
		kernels.RMSNormBackward(dx, half, F32(gy), F32(f.x), F32(f.n.Gain), f.rstd, f.rows, f.cols, f.tape.grad(f.n.Gain))
	} else {
		kernels.LayerNormBackward(dx, F32(gy), F32(f.x), F32(f.n.Gain), f.mean, f.rstd, f.rows, f.cols, f.tape.grad(f.n.Gain), f.tape.grad(f.n.Bias))
	}
	return nil
}

func (f *norm) releaseSaved() {
	if f.rstd != nil {
		free(f.rstd)
	}
	if f.mean != nil {
		free(f.mean)
	}
	f.rstd, f.mean = nil, nil
}
