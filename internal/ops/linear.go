package ops

import (
	"plumb/internal/kernels"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// Weight is a matrix W (out, in) that is either frozen, in panels and without a gradient, or a
// trainable parameter.
type Weight struct {
	nn.Module
	Frozen *kernels.Panels
	Param  *nn.Param
}

// Dims returns (out, in).
func (w *Weight) Dims() (out, in int) {
	if w.Frozen != nil {
		return w.Frozen.Rows(), w.Frozen.Cols()
	}
	s := w.Param.Shape()
	return s[0], s[1]
}

// Row copies row i of W (in) to dst.
func (w *Weight) Row(dst []float32, i int) {
	if w.Frozen != nil {
		w.Frozen.Row(dst, i)
		return
	}
	_, in := w.Dims()
	copy(dst, F32(w.Param)[i*in:(i+1)*in])
}

// apply computes y(m, out) = x(m, in)·Wᵀ + u(m, r)·Bᵀ; low is nil or has U u and V B (out, r).
func (w *Weight) apply(y, x []float32, m int, c kernels.Compute, low *kernels.LowRank) {
	out, _ := w.Dims()
	if w.Frozen != nil {
		w.Frozen.MatMul(y, x, m, false, c, low)
		return
	}
	w.mul(y, out, x, m, 0, out, false, c)
	if low != nil {
		kernels.Gemm(false, true, m, out, low.R, low.U, low.R, low.V, low.R, y, out, true)
	}
}

// applyBackward computes dx(m, in) = or += dy(m, out)·W + du(m, r)·A; low is nil or has U du and V A (r, in).
func (w *Weight) applyBackward(dx, dy []float32, m int, acc bool, c kernels.Compute, low *kernels.LowRank) {
	out, in := w.Dims()
	if w.Frozen != nil {
		w.Frozen.MatMulBackward(dx, dy, m, acc, c, low)
		return
	}
	w.mulBackward(dx, dy, out, m, 0, out, acc, c)
	if low != nil {
		kernels.Gemm(false, false, m, in, low.R, low.U, low.R, low.V, in, dx, in, true)
	}
}

// mul computes dst(m, n1-n0) = or += x(m, in)·W[n0:n1]ᵀ with leading dimension ldd.
func (w *Weight) mul(dst []float32, ldd int, x []float32, m, n0, n1 int, acc bool, c kernels.Compute) {
	if w.Frozen != nil {
		w.Frozen.MatMulRange(dst, ldd, x, m, n0, n1, acc, c)
		return
	}
	_, in := w.Dims()
	kernels.Gemm(false, true, m, n1-n0, in, x, in, F32(w.Param)[n0*in:], in, dst, ldd, acc)
}

// mulBackward computes dx(m, in) = or += dy(m, n1-n0)·W[n0:n1].
func (w *Weight) mulBackward(dx, dy []float32, ldy, m, n0, n1 int, acc bool, c kernels.Compute) {
	if w.Frozen != nil {
		w.Frozen.MatMulBackwardRange(dx, dy, ldy, m, n0, n1, acc, c)
		return
	}
	_, in := w.Dims()
	kernels.Gemm(false, false, m, in, n1-n0, dy, ldy, F32(w.Param)[n0*in:], in, dx, in, acc)
}

// gradBy adds dyᵀ(n1-n0, m)·x(m, in) to the rows [n0, n1) of the parameter's gradient.
func (w *Weight) gradBy(dy []float32, ldy int, x []float32, m, n0, n1 int) {
	if w.Param == nil {
		return
	}
	if g := paramGrad(w.Param); g != nil {
		_, in := w.Dims()
		kernels.Gemm(true, false, n1-n0, in, m, dy, ldy, x, in, g[n0*in:], in, true)
	}
}

// LoRA is the low-rank update s·B·A of one linear layer (Hu et al., 2021, arXiv:2106.09685).
type LoRA struct {
	nn.Module
	A       *nn.Param // (r, in)
	B       *nn.Param // (out, r)
	Scale   float32   // s: alpha/r, or alpha/sqrt(r) for rsLoRA
	Dropout float32   // probability of dropping an input of A during training
	ID      uint64    // names the layer in the stream of dropout masks
}

// Linear is y = x·Wᵀ + b.
type Linear struct {
	nn.Module
	Path    string // the module's path in the checkpoint, such as model.layers.0.self_attn.q_proj
	W       Weight
	Bias    *nn.Param // (1, out) or nil; frozen ones have no gradient
	Compute kernels.Compute
}

type linear struct {
	x       mat.Tensor
	l       *Linear
	lora    *LoRA
	tape    *Tape
	rows    int
	u       []float32 // x·Aᵀ (T, r), kept for Backward
	drop    Dropout   // the masks of this pass; the tape may have gone on to another
	dropped []float32 // x after dropout
}

// Apply returns x(T,in)·Wᵀ + b (+ s·drop(x)·Aᵀ·Bᵀ with a LoRA), (T,out).
func (l *Linear) Apply(t *Tape, x mat.Tensor, lora *LoRA) mat.Tensor {
	return t.apply(&linear{x: x, l: l, lora: lora, tape: t})
}

func (f *linear) Operands() []mat.Tensor {
	ops := []mat.Tensor{f.x}
	if f.l.W.Param != nil {
		ops = append(ops, f.l.W.Param)
	}
	if f.l.Bias != nil {
		ops = append(ops, f.l.Bias)
	}
	if f.lora != nil {
		ops = append(ops, f.lora.A, f.lora.B)
	}
	return ops
}

func (f *linear) Forward() (mat.Tensor, error) {
	out, in := f.l.W.Dims()
	rows, _ := Dims(f.x)
	f.rows = rows
	x := F32(f.x)
	y := newValue(rows, out)
	var low *kernels.LowRank
	if f.lora != nil {
		low = f.lowRank(x, rows, in)
	}
	f.l.W.apply(y.data(), x, rows, f.l.Compute, low)
	if f.l.Bias != nil {
		b := F32(f.l.Bias)
		eachRow(rows, out, func(lo, hi int) { addTo(y.data()[lo:hi], b) })
	}
	if f.tape == nil {
		f.releaseSaved()
	}
	return y, nil
}

// lowRank computes u = s·drop(x)·Aᵀ, whose product with Bᵀ the layer adds.
func (f *linear) lowRank(x []float32, rows, in int) *kernels.LowRank {
	if f.tape != nil && f.tape.Train && f.lora.Dropout > 0 {
		f.dropped = alloc(rows * in)
		f.drop = f.tape.Drop
		f.drop.apply(f.dropped, x, rows, in, f.lora.Dropout, f.lora.ID)
		x = f.dropped
	}
	r := f.lora.A.Shape()[0]
	f.u = alloc(rows * r)
	kernels.Gemm(false, true, rows, r, in, x, in, F32(f.lora.A), in, f.u, r, false)
	kernels.Scale(f.lora.Scale, f.u)
	return &kernels.LowRank{R: r, U: f.u, V: F32(f.lora.B)}
}

func (f *linear) Backward(gy mat.Tensor) error {
	out, in := f.l.W.Dims()
	m, dy := f.rows, F32(gy)
	if f.l.W.Param != nil { // x may have to be computed again: ask for it only where it is read
		f.l.W.gradBy(dy, out, F32(f.x), m, 0, out)
	}
	if g := paramGrad(f.l.Bias); g != nil {
		for i := range m {
			addTo(g, dy[i*out:(i+1)*out])
		}
	}
	dx, acc := gradInto(f.x)
	if f.lora == nil {
		if dx != nil {
			f.l.W.applyBackward(dx, dy, m, acc, f.l.Compute, nil)
		}
		return nil
	}
	r := f.lora.A.Shape()[0]
	a, b := F32(f.lora.A), F32(f.lora.B)
	if g := paramGrad(f.lora.B); g != nil { // dB += dyᵀ·(s·u)
		kernels.Gemm(true, false, out, r, m, dy, out, f.u, r, g, r, true)
	}
	du := alloc(m * r)
	defer free(du)
	kernels.Gemm(false, false, m, r, out, dy, out, b, r, du, r, false)
	kernels.Scale(f.lora.Scale, du)
	if g := paramGrad(f.lora.A); g != nil { // dA += duᵀ·x
		xa := f.dropped
		if xa == nil {
			xa = F32(f.x)
		}
		kernels.Gemm(true, false, r, in, m, du, r, xa, in, g, in, true)
	}
	if dx == nil {
		return nil
	}
	if f.dropped == nil {
		f.l.W.applyBackward(dx, dy, m, acc, f.l.Compute, &kernels.LowRank{R: r, U: du, V: a})
		return nil
	}
	f.l.W.applyBackward(dx, dy, m, acc, f.l.Compute, nil)
	dd := alloc(m * in)
	defer free(dd)
	kernels.Gemm(false, false, m, in, r, du, r, a, in, dd, in, false)
	f.drop.apply(dd, dd, m, in, f.lora.Dropout, f.lora.ID)
	addTo(dx, dd)
	return nil
}

func (f *linear) releaseSaved() {
	if f.u != nil {
		free(f.u)
	}
	if f.dropped != nil {
		free(f.dropped)
	}
	f.u, f.dropped = nil, nil
}

func addTo(dst, x []float32) { kernels.Add(dst, x) }
