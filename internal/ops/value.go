// Package ops owns the differentiable operators: spago ag.AutoGradFunctions over internal/kernels,
// and the tape that runs them backward in a fixed order.
//
// Every function takes a tape first. With a tape it records what Backward needs; with a nil tape
// it computes the same floats and records nothing. Tensors are row-major (rows, columns) f32.
// The package knows nothing of models, files or losses: a caller turns an output into a loss and
// hands the gradient of that loss back to the tape.
package ops

import (
	"slices"

	"plumb/internal/kernels"

	"github.com/nlpodyssey/spago/ag"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// value is the spago matrix that operators return: a Dense over a pooled buffer, which takes
// ownership of the first gradient it is given where spago's Dense would clone it.
type value struct {
	*mat.Dense[float32]
	buf      *buffer
	grad     *value
	requires bool
	again    recomputer // computes the buffer anew after Release has dropped it
	lazy     [2]int     // the shape of one that was not computed at once
	half     []uint16   // the buffer rounded to bf16, made by halfOf; nothing may write to the buffer afterwards
	halfGrad bool       // the operator that made it reads its gradient in bf16 alone
	halfToo  bool       // it reads its gradient in bf16, too
	readBack bool       // the backward pass reads it in bf16
	born     bool       // half is what the operator made; a buffer is only that widened, where somebody asked for float32
	norms    []*norm    // whose input it is, of those that a product computes
	ints     []uint16   // the same in 16-bit integers, made by intsOf
	steps    []float32  // of their rows
}

// buffer is pooled memory that several values may share (an operator may work in place).
type buffer struct {
	data []float32
	refs int
}

func newValue(rows, cols int) *value {
	return wrap(&buffer{data: alloc(rows * cols)}, rows, cols)
}

func wrap(b *buffer, rows, cols int) *value {
	b.refs++
	return &value{
		Dense: mat.NewDense[float32](mat.WithShape(rows, cols), mat.WithBacking(b.data)),
		buf:   b,
	}
}

// hollow stands for the memory of a value that has none yet.
var hollow = mat.NewDense[float32](mat.WithShape(1, 1), mat.WithBacking([]float32{0}))

// newLazy returns a value (rows, cols) that f computes when it is read: where only its bf16 form is, float32 is never stored. What f
// reads must live until then.
func newLazy(rows, cols int, f recomputer) *value {
	return &value{Dense: hollow, lazy: [2]int{rows, cols}, again: f}
}

// newHalf returns a value (rows, cols) that exists in bf16 only, its half being for the operator to fill as kernels.HalfRows does.
func newHalf(rows, cols int) *value {
	return &value{Dense: hollow, lazy: [2]int{rows, cols}, half: halfAlloc(kernels.HalfLen(rows, cols)), born: true}
}

// Shape returns (rows, columns).
func (v *value) Shape() []int {
	if v.lazy != [2]int{} {
		return v.lazy[:]
	}
	return v.Dense.Shape()
}

// Const returns data (rows, cols) as a tensor without gradient; it is not copied.
func Const(data []float32, rows, cols int) mat.Tensor {
	return &value{
		Dense: mat.NewDense[float32](mat.WithShape(rows, cols), mat.WithBacking(data)),
		buf:   &buffer{data: data, refs: 1 << 30},
	}
}

func (v *value) release() {
	if v == nil {
		return
	}
	v.born = false
	v.releaseRounded()
	v.releaseBuffer()
}

func (v *value) releaseBuffer() {
	if v.buf == nil {
		return
	}
	b := v.buf
	v.buf = nil
	if b.refs--; b.refs == 0 {
		free(b.data)
		b.data = nil
	}
}

func (v *value) data() []float32 {
	if v.buf == nil && (v.born || v.again != nil) {
		s := v.Shape()
		half := v.half
		if !v.born && v.inHalf() != nil {
			half = halfOf(v)
		}
		v.buf = &buffer{data: alloc(s[0] * s[1]), refs: 1}
		if half != nil {
			eachRows(s[0], s[1], func(lo, hi int) { widenRows(v.buf.data[lo:hi], half, lo/s[1], hi/s[1]) })
		} else {
			v.again.recompute(v.buf.data)
		}
	}
	return v.buf.data
}

// widenRows writes rows [lo, hi) of a value's half to dst (hi-lo, cols).
func widenRows(dst []float32, half []uint16, lo, hi int) {
	cols := len(dst) / (hi - lo)
	for r := lo; r < hi; r++ {
		kernels.BF16ToF32(dst[(r-lo)*cols:][:cols], halfRow(half, r, cols))
	}
}

// halfRow is row r of what kernels.HalfRows laid out.
func halfRow(half []uint16, r, cols int) []uint16 { return half[kernels.HalfLen(r, cols):][:cols] }

// rowsInto returns rows [lo, hi) of x in float32: where they are, or in scratch, which is as long, where x is in bf16 only.
func rowsInto(scratch []float32, x mat.Tensor, lo, hi int) []float32 {
	v := valueOf(x)
	if v.born && v.buf == nil {
		widenRows(scratch, v.half, lo, hi)
		return scratch
	}
	cols := v.Shape()[1]
	return v.data()[lo*cols : hi*cols]
}

// give moves v's memory to a new value for the operator that reads v last in the forward pass, which may write over it; nil where somebody else has it
// or, on a tape, a norm's gradient needs what is in it. No other operator's gradient may read v: it would panic.
func (v *value) give(t *Tape) *value {
	if v.buf == nil || v.buf.refs != 1 || t != nil && len(v.norms) == 0 || slices.ContainsFunc(v.norms, func(n *norm) bool { return !n.byResult() }) {
		return nil
	}
	for _, n := range v.norms {
		n.gone = true
	}
	s := v.Shape()
	y := wrap(v.buf, s[0], s[1])
	y.buf.refs--
	v.Dense, v.lazy, v.buf = hollow, [2]int{s[0], s[1]}, nil
	return y
}

// releaseRounded drops the value's other forms.
func (v *value) releaseRounded() {
	if v.born {
		v.releaseBuffer()
		return
	}
	if v.half != nil {
		halfFree(v.half)
		v.half = nil
	}
	if v.ints != nil {
		halfFree(v.ints)
		free(v.steps)
		v.ints, v.steps = nil, nil
	}
}

// halfOf returns x (T, cols) rounded to bf16 by kernels.HalfRows, made once and kept until x is released.
func halfOf(x mat.Tensor) []uint16 {
	v := valueOf(x)
	if v.half == nil {
		s := v.Shape()
		v.half = halfAlloc(kernels.HalfLen(s[0], s[1]))
		if rows := v.halfRows(); rows != nil {
			eachRows(s[0], s[1], func(lo, hi int) { rows(v.half, lo/s[1], hi/s[1]) })
			return v.half
		}
		v.round(func(x []float32, lo, hi int) {
			kernels.HalfRows(v.half[kernels.HalfLen(lo, s[1]):], x, hi-lo, s[1])
		})
	}
	return v.half
}

// inHalf is the operator that computes v in bf16, nil where it computes it in float32.
func (v *value) inHalf() halfRecomputer {
	if f, ok := v.again.(halfRecomputer); ok && f.inHalf() {
		return f
	}
	return nil
}

// halfRows is what writes rows [lo, hi) of v in bf16 at once, nil where they have to be rounded.
func (v *value) halfRows() func(half []uint16, lo, hi int) {
	if f := v.inHalf(); f != nil {
		return f.recomputeHalf
	}
	if f, ok := v.again.(rowRounder); ok && v.buf == nil && f.rounds() {
		return f.roundRows
	}
	return nil
}

// intsOf returns x (T, cols) rounded to integers by kernels.IntRows, made once and kept until x is released.
func intsOf(x mat.Tensor) kernels.Rows {
	v := valueOf(x)
	if v.ints == nil {
		s := v.Shape()
		v.ints, v.steps = halfAlloc(kernels.HalfLen(s[0], s[1])), alloc(s[0])
		v.round(func(x []float32, lo, hi int) {
			kernels.IntRows(v.ints[kernels.HalfLen(lo, s[1]):], v.steps[lo:hi], x, hi-lo, s[1])
		})
	}
	return kernels.Rows{I: v.ints, Steps: v.steps}
}

// round calls f on rows [lo, hi) of the value, x: on all at once, or, where they have yet to be computed, on a few at a time while
// they are in the cache.
func (v *value) round(f func(x []float32, lo, hi int)) {
	s := v.Shape()
	again, ok := v.again.(rowRecomputer)
	if !ok || v.buf != nil {
		f(v.data(), 0, s[0])
		return
	}
	eachRows(s[0], s[1], func(lo, hi int) {
		x := alloc(hi - lo)
		defer free(x)
		lo, hi = lo/s[1], hi/s[1]
		again.recomputeRows(x, lo, hi)
		f(x, lo, hi)
	})
}

func (v *value) Value() mat.Tensor      { return v }
func (v *value) RequiresGrad() bool     { return v.requires }
func (v *value) SetRequiresGrad(r bool) { v.requires = r }
func (v *value) HasGrad() bool          { return v.grad != nil }

func (v *value) Grad() mat.Tensor {
	if v.grad == nil {
		return nil
	}
	return v.grad
}

func (v *value) ZeroGrad() {
	v.grad.release()
	v.grad = nil
}

// AccGrad adds g to the gradient. The first one is taken over when it is a value of this package.
func (v *value) AccGrad(g mat.Tensor) {
	if v.grad == nil {
		if gv, ok := g.(*value); ok && !gv.born {
			gv.buf.refs++
			v.grad = &value{Dense: gv.Dense, buf: gv.buf}
			return
		}
		v.grad = newValue(v.Shape()[0], v.Shape()[1])
		copy(v.grad.data(), F32(g))
		return
	}
	addTo(v.gradBuffer(), F32(g))
}

// gradBuffer returns the gradient's own memory in float32; it must exist.
func (v *value) gradBuffer() []float32 {
	if g := v.grad; g.half != nil { // it will be something else
		g.data()
		g.born = false
		g.releaseRounded()
	}
	if v.grad.buf.refs > 1 { // shared with another value's gradient: part before writing
		old := v.grad
		v.grad = newValue(v.Shape()[0], v.Shape()[1])
		copy(v.grad.data(), old.data())
		old.release()
	}
	return v.grad.data()
}

// gradInto returns the memory for x's gradient and whether it holds something already that must be
// added to; nil when x needs none. A fresh buffer's content is arbitrary.
func gradInto(x mat.Tensor) (g []float32, acc bool) {
	if x == nil || !x.RequiresGrad() {
		return nil, false
	}
	v := valueOf(x)
	if v.grad == nil {
		v.grad = newValue(v.Shape()[0], v.Shape()[1])
		return v.grad.data(), false
	}
	return v.gradBuffer(), true
}

// wantsHalf reports whether x's gradient can be set in bf16: it wants one, has none yet, and is read so.
func wantsHalf(x mat.Tensor) bool {
	v := valueOf(x)
	return v.grad == nil && v.halfGrad && x.RequiresGrad()
}

// gradHalf returns memory for the gradient of x, which wantsHalf, in bf16 as kernels.HalfRows lays it out; it must be set.
func gradHalf(x mat.Tensor) []uint16 {
	v := valueOf(x)
	v.grad = newHalf(v.Shape()[0], v.Shape()[1])
	return v.grad.half
}

// gradZeroed is gradInto for operators that always add.
func gradZeroed(x mat.Tensor) []float32 {
	g, acc := gradInto(x)
	if g != nil && !acc {
		clear(g)
	}
	return g
}

func valueOf(x mat.Tensor) *value {
	if op, ok := x.(*ag.Operator); ok {
		x = op.Value()
	}
	return x.(*value)
}

// F32 returns the memory of a tensor of this package, an nn.Param or a spago Dense, not a copy.
func F32(x mat.Tensor) []float32 {
	switch x := x.(type) {
	case *ag.Operator:
		return F32(x.Value())
	case *value:
		return x.data()
	case *nn.Param:
		return F32(x.Matrix)
	case *mat.Dense[float32]:
		return mat.Data[float32](x)
	}
	return x.Data().F32()
}

// Widen returns the values of x in float64, in which losses are computed.
func Widen(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// Dims returns the rows and columns of x.
func Dims(x mat.Tensor) (rows, cols int) {
	if op, ok := x.(*ag.Operator); ok {
		x = op.Value()
	}
	s := x.Shape()
	return s[0], s[1]
}

// NewParam returns a trainable spago parameter (rows, cols) with a copy of data; zeros if nil.
func NewParam(rows, cols int, data []float32) *nn.Param {
	d := make([]float32, rows*cols)
	copy(d, data)
	p := &nn.Param{Matrix: mat.NewDense[float32](mat.WithShape(rows, cols), mat.WithBacking(d))}
	p.SetRequiresGrad(true)
	return p
}

// Grad returns the memory of p's gradient, nil if it has none.
func Grad(p *nn.Param) []float32 {
	if !p.HasGrad() {
		return nil
	}
	return F32(p.Grad())
}

// ZeroGrad sets p's gradient to zeros, keeping its memory.
func ZeroGrad(p *nn.Param) { clear(paramGrad(p)) }

// paramGrad returns p's gradient, making one of zeros first; nil when p is frozen.
func paramGrad(p *nn.Param) []float32 {
	if p == nil || !p.RequiresGrad() {
		return nil
	}
	if !p.HasGrad() {
		p.AccGrad(p.ZerosLike())
	}
	return F32(p.Grad())
}

// recomputer is an operator so cheap that its output is computed again in the backward pass rather than
// kept, but for its bf16 form (readBack); its operands are kept by others.
type recomputer interface{ recompute(out []float32) }

// rowRecomputer can compute the rows [lo, hi) of its output, (hi-lo, cols), on the caller's goroutine.
type rowRecomputer interface {
	recomputeRows(out []float32, lo, hi int)
}

// rowRounder is a rowRecomputer that can write its rows in bf16 at once, where rounds says so: half is all of the output.
type rowRounder interface {
	rowRecomputer
	rounds() bool
	roundRows(half []uint16, lo, hi int)
}

// halfRecomputer computes the rows [lo, hi) of its output in bf16, out being all of it, where inHalf says so: in float32 the output is
// then that widened, whoever reads it first.
type halfRecomputer interface {
	inHalf() bool
	recomputeHalf(out []uint16, lo, hi int)
}

// Release says that the forward pass has no more use for xs. Without a tape their memory returns to the
// pool; with one only that of operators that can be recomputed does, until Backward asks for it, and not what that reads in bf16.
func Release(t *Tape, xs ...mat.Tensor) {
	for _, x := range xs {
		if t != nil {
			t.forget(x)
		} else if v, ok := x.(*value); ok {
			v.release()
		}
	}
}
