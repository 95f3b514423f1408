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

// apply computes y(m, out) = x(m, in)·Wᵀ + u(m, r)·Bᵀ; the tail's low rank has U u and V B (out, r).
func (w *Weight) apply(y []float32, x kernels.Rows, m int, c kernels.Compute, t kernels.Tail) {
	out, _ := w.Dims()
	if w.Frozen != nil {
		w.Frozen.MatMul(y, x, m, false, c, t)
		return
	}
	w.mul(y, out, x.F, m, 0, out, false, c)
	if low := t.Low; low != nil {
		kernels.Gemm(false, true, m, out, low.R, low.U, low.R, low.V, low.R, y, out, true)
	}
	if t.Bias != nil {
		kernels.Parallel(m, func(i int) { addTo(y[i*out:(i+1)*out], t.Bias) })
	}
}

// applyBackward computes to(m, in) = or += dy(m, out)·W + du(m, r)·A; low is nil or has du and A: U and V (r, in), or UB and VB.
func (w *Weight) applyBackward(to target, dy kernels.Rows, m int, c kernels.Compute, low *kernels.LowRank) {
	out, in := w.Dims()
	switch {
	case to.half != nil:
		w.Frozen.MatMulBackwardHalf(to.half, dy, m, low)
	case w.Frozen != nil:
		w.Frozen.MatMulBackward(to.dx, dy, m, to.acc, c, low)
	default:
		w.mulBackward(to.dx, dy.F, out, m, 0, out, to.acc, c)
		if low != nil {
			kernels.Gemm(false, false, m, in, low.R, low.U, low.R, low.V, in, to.dx, in, true)
		}
	}
}

// pairs reports whether products with w multiply bf16 pairs.
func (w *Weight) pairs(c kernels.Compute) bool { return w.Frozen != nil && w.Frozen.Dots(c) }

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
func (w *Weight) gradBy(t *Tape, dy []float32, ldy int, x []float32, m, n0, n1 int) {
	if w.Param == nil {
		return
	}
	if g := t.grad(w.Param); g != nil {
		_, in := w.Dims()
		kernels.Gemm(true, false, n1-n0, in, m, dy, ldy, x, in, g[n0*in:], in, true)
	}
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
	x    mat.Tensor
	l    *Linear
	tape *Tape
	rows int
	half bool // the result is wanted in bf16 only
	act  kernels.Activation
	plus mat.Tensor // is added; or nil
	low  *lowRank   // nil without a LoRA
}

// Apply returns x(T,in)·Wᵀ + b (+ s·drop(x)·Aᵀ·Bᵀ with a LoRA), (T,out).
func (l *Linear) Apply(t *Tape, x mat.Tensor, lora *LoRA) mat.Tensor {
	return l.apply(&linear{x: x, l: l, tape: t}, lora)
}

// ApplyGELU returns GELU(h) with h = Apply(x), and h, which is to be released together with it. Where products multiply bf16 GELU is
// in bf16; without a tape it is then computed in their tiles, and h is the same.
func (l *Linear) ApplyGELU(t *Tape, x mat.Tensor, lora *LoRA, tanh bool) (y, h mat.Tensor) {
	if t == nil && l.halves() {
		act := kernels.ActGELU
		if tanh {
			act = kernels.ActGELUTanh
		}
		y = l.apply(&linear{x: x, l: l, half: true, act: act}, lora)
		return y, y
	}
	h = l.Apply(t, x, lora)
	return t.apply(&gelu{x: h, tanh: tanh, half: l.halves()}), h
}

// ApplyAdd returns plus + Apply(x), both (T, out). It works in plus's memory where it can: plus may not be read afterwards, nor by the
// backward pass of anything but lazy norms.
func (l *Linear) ApplyAdd(t *Tape, x mat.Tensor, lora *LoRA, plus mat.Tensor) mat.Tensor {
	if !l.halves() {
		return Add(t, plus, l.Apply(t, x, lora))
	}
	return l.apply(&linear{x: x, l: l, tape: t, plus: plus}, lora)
}

func (l *Linear) apply(f *linear, lora *LoRA) mat.Tensor {
	f.low = lowRankOf(l, lora)
	return f.tape.apply(f)
}

// halves reports whether products with W can leave their result in bf16.
func (l *Linear) halves() bool { return l.W.Frozen != nil && l.W.Frozen.HasHalf(l.Compute) }

func (f *linear) Operands() []mat.Tensor {
	ops := append([]mat.Tensor{f.x}, f.params()...)
	if f.plus != nil {
		ops = append(ops, f.plus)
	}
	return ops
}

// params are those of the layer itself and of a low rank of its own.
func (f *linear) params() (ops []mat.Tensor) {
	if f.l.W.Param != nil {
		ops = append(ops, f.l.W.Param)
	}
	if f.l.Bias != nil {
		ops = append(ops, f.l.Bias)
	}
	return append(ops, f.low.params()...)
}

// operand returns x (m, in) as the left operand of a product with W: in the only form that products read.
func (f *linear) operand(x mat.Tensor) kernels.Rows {
	if f.l.W.Frozen != nil && f.l.W.Frozen.Ints() {
		return intsOf(x)
	}
	return f.operandBack(x)
}

// operandBack returns dy (m, out) as the left operand of a product with W's transpose, for which integers are made of dy times the
// steps of W: they are of no use to another.
func (f *linear) operandBack(dy mat.Tensor) kernels.Rows {
	if f.l.W.pairs(f.l.Compute) {
		return kernels.Rows{B: halfOf(dy)}
	}
	return kernels.Rows{F: F32(dy)}
}

func (f *linear) Forward() (mat.Tensor, error) {
	x, t := f.open()
	if f.plus != nil {
		t.Add = F32(f.plus)
	}
	y := f.result()
	switch {
	case f.half:
		f.l.W.Frozen.MatMulHalf(y.half, x, f.rows, t)
	case f.plus != nil:
		f.l.W.Frozen.MatMulAdd(y.data(), x, f.rows, t)
	default:
		f.l.W.apply(y.data(), x, f.rows, f.l.Compute, t)
	}
	f.close()
	return y, nil
}

// result is memory for y.
func (f *linear) result() (y *value) {
	out, _ := f.l.W.Dims()
	switch {
	case f.half:
		y = newHalf(f.rows, out)
	case f.plus != nil:
		y = valueOf(f.plus).give(f.tape)
	}
	if y == nil {
		y = newValue(f.rows, out)
	}
	y.halfToo = f.l.W.pairs(f.l.Compute) && (f.low == nil || f.low.pairs)
	y.halfGrad = y.halfToo && f.plus == nil && (f.l.Bias == nil || !f.l.Bias.RequiresGrad())
	return y
}

// open returns what the product with W reads, and what is done to it.
func (f *linear) open() (kernels.Rows, kernels.Tail) {
	f.rows, _ = Dims(f.x)
	if f.low != nil && !f.low.pairs {
		F32(f.x) // read by A; what is rounded below then need not be computed apart
	}
	x, t := f.operand(f.x), kernels.Tail{Act: f.act}
	if f.low != nil {
		f.low.forward(f.tape, f.x, x)
		t.Low = f.low.tail(0)
	}
	if f.l.Bias != nil {
		t.Bias = F32(f.l.Bias)
	}
	return x, t
}

// close gives back what only the forward pass reads.
func (f *linear) close() {
	if f.low != nil {
		f.low.releasePacked()
	}
	if f.tape == nil {
		f.releaseSaved()
	}
}

func (f *linear) Backward(gy mat.Tensor) error {
	if f.plus != nil && f.plus.RequiresGrad() {
		valueOf(f.plus).AccGrad(gy)
	}
	f.backwardParams(gy)
	dx := f.target()
	switch {
	case f.low != nil:
		f.low.backward(f.l, f.x, dx, gy, f.operandBack(gy))
	case dx.some():
		f.l.W.applyBackward(dx, f.operandBack(gy), f.rows, f.l.Compute, nil)
	}
	return nil
}

// target is where x's gradient goes: in bf16 where it is read so and this product is all of it.
func (f *linear) target() target {
	if w := f.l.W.Frozen; w != nil && w.HasHalfBackward(f.l.Compute) && (f.low == nil || f.low.pairs && f.low.masked == nil) && wantsHalf(f.x) {
		return target{half: gradHalf(f.x)}
	}
	dx, acc := gradInto(f.x)
	return target{dx: dx, acc: acc}
}

// target is memory for a gradient, dx, which acc says to add to, or half, in bf16; or for none.
type target struct {
	dx   []float32
	acc  bool
	half []uint16
}

func (t target) some() bool { return t.dx != nil || t.half != nil }

// backwardParams adds to the gradients of W and the bias.
func (f *linear) backwardParams(gy mat.Tensor) {
	out, _ := f.l.W.Dims()
	if f.l.W.Param != nil { // x may have to be computed again: ask for it only where it is read
		f.l.W.gradBy(f.tape, F32(gy), out, F32(f.x), f.rows, 0, out)
	}
	if g := f.tape.grad(f.l.Bias); g != nil {
		for i := range f.rows {
			addTo(g, F32(gy)[i*out:(i+1)*out])
		}
	}
}

func (f *linear) releaseSaved() {
	if f.low != nil {
		f.low.release()
	}
}

func addTo(dst, x []float32) { kernels.Add(dst, x) }
