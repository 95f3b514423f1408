package ops

import (
	"math"

	"plumb/internal/kernels"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// inPlace returns a value over x's own memory.
func inPlace(x mat.Tensor) *value {
	v := valueOf(x)
	v.data() // a lazy one has no memory yet
	r, c := Dims(v)
	return wrap(v.buf, r, c)
}

// writable returns gy's memory for an operator that turns it into its operand's gradient.
func writable(gy mat.Tensor) *value {
	g := gy.(*value)
	if !g.born && g.buf.refs == 1 {
		return g
	}
	r, c := Dims(g)
	own := newValue(r, c)
	copy(own.data(), g.data())
	return own
}

type add struct{ x, f mat.Tensor }

// Add returns x + f, both (T, cols). It works in f's memory: f, which must be fresh from an operator
// that does not need its own output, may not be read afterwards.
func Add(t *Tape, x, f mat.Tensor) mat.Tensor {
	y := t.apply(&add{x, f})
	Release(t, f)
	return y
}

func (a *add) Operands() []mat.Tensor { return []mat.Tensor{a.x, a.f} }

func (a *add) Forward() (mat.Tensor, error) {
	y := inPlace(a.f)
	r, c := Dims(y)
	out, x := y.data(), F32(a.x)
	eachRows(r, c, func(lo, hi int) { addTo(out[lo:hi], x[lo:hi]) })
	return y, nil
}

func (a *add) Backward(gy mat.Tensor) error {
	for _, x := range []mat.Tensor{a.f, a.x} {
		if x.RequiresGrad() {
			valueOf(x).AccGrad(gy)
		}
	}
	return nil
}

// Rotary holds cos and sin, each (T, dim/2), of the angles of every row of a batch.
type Rotary struct {
	Cos, Sin []float32
	Dim      int // columns of a head that are rotated: all of them
}

type rope struct {
	x    mat.Tensor
	rot  *Rotary
	half bool
}

// RoPE rotates each head of x (T, heads*dim) by its row's position (Su et al., 2021, arXiv:2104.09864;
// halves are paired, as in transformers). It works in x's memory, which may not be read afterwards. Where h multiplies bf16 the
// result is in bf16 only.
func RoPE(t *Tape, x mat.Tensor, rot *Rotary, h Heads) mat.Tensor {
	y := t.apply(&rope{x, rot, h.pairs()})
	Release(t, x)
	return y
}

func (f *rope) Operands() []mat.Tensor { return []mat.Tensor{f.x} }

func (f *rope) rotate(x []float32, rows, cols int, inverse bool) {
	kernels.RoPE(x, cols, f.rot.Cos, f.rot.Sin, rows, cols/f.rot.Dim, f.rot.Dim, inverse)
}

func (f *rope) Forward() (mat.Tensor, error) {
	if f.half {
		return f.rotateHalf(), nil
	}
	y := inPlace(f.x)
	rows, cols := Dims(y)
	f.rotate(y.data(), rows, cols, false)
	return y, nil
}

// rotateHalf rounds what it has rotated and gives x's memory back: an operator's, which nobody may read afterwards.
func (f *rope) rotateHalf() *value {
	rows, cols := Dims(f.x)
	y := newHalf(rows, cols)
	f.rotateRounded(y.half, F32(f.x), rows, cols, false)
	valueOf(f.x).release()
	return y
}

// rotateRounded rotates x and rounds it to dst; what is in x then may be anything.
func (f *rope) rotateRounded(dst []uint16, x []float32, rows, cols int, inverse bool) {
	angles := f.rot.Dim / 2
	eachRows(rows, cols, func(lo, hi int) {
		r, n := lo/cols, (hi-lo)/cols
		kernels.RoPEHalf(dst[kernels.HalfLen(r, cols):], x[lo:hi], f.rot.Cos[r*angles:], f.rot.Sin[r*angles:], n, cols/f.rot.Dim, f.rot.Dim, inverse)
	})
}

func (f *rope) Backward(gy mat.Tensor) error {
	g := writable(gy)
	rows, cols := Dims(g)
	if wantsHalf(f.x) {
		f.rotateRounded(gradHalf(f.x), g.data(), rows, cols, true)
		if g != gy {
			g.release()
		}
		return nil
	}
	f.rotate(g.data(), rows, cols, true)
	valueOf(f.x).AccGrad(g)
	if g != gy {
		g.release()
	}
	return nil
}

type siluMul struct{ gate, up mat.Tensor }

// SiLUMul returns silu(gate)*up, the gated unit of Llama's MLP (Shazeer, 2020, arXiv:2002.05202). It is computed when it is
// read: gate and up must not be released before.
func SiLUMul(t *Tape, gate, up mat.Tensor) mat.Tensor { return t.apply(&siluMul{gate, up}) }

func (f *siluMul) Operands() []mat.Tensor { return []mat.Tensor{f.gate, f.up} }

// eachRows runs f on all threads over the elements of a few whole rows at a time of a (rows, cols) matrix.
func eachRows(rows, cols int, f func(lo, hi int)) {
	step := max(1, (16<<10)/cols)
	if t := kernels.Threads(); rows < step*t && rows*cols >= 4096*t { // few rows of a decoder: a part for each thread
		step = (rows + t - 1) / t
	}
	kernels.Parallel((rows+step-1)/step, func(i int) { f(i*step*cols, min(rows, (i+1)*step)*cols) })
}

func (f *siluMul) Forward() (mat.Tensor, error) {
	r, c := Dims(f.gate)
	y := newLazy(r, c, f)
	y.halfGrad = f.inHalf()
	return y, nil
}

func (f *siluMul) recompute(out []float32) {
	r, c := Dims(f.gate)
	eachRows(r, c, func(lo, hi int) { f.recomputeRows(out[lo:hi], lo/c, hi/c) })
}

func (f *siluMul) recomputeRows(out []float32, lo, hi int) {
	_, c := Dims(f.gate)
	s := alloc(2 * c)
	defer free(s)
	for r := lo; r < hi; r++ {
		kernels.SiLUMul(out[(r-lo)*c:][:c], rowsInto(s[:c], f.gate, r, r+1), rowsInto(s[c:], f.up, r, r+1))
	}
}

func (f *siluMul) inHalf() bool { return valueOf(f.gate).born && valueOf(f.up).born }

func (f *siluMul) recomputeHalf(out []uint16, lo, hi int) {
	_, c := Dims(f.gate)
	gate, up := valueOf(f.gate).half, valueOf(f.up).half
	for r := lo; r < hi; r++ {
		kernels.SiLUMulHalf(halfRow(out, r, c), halfRow(gate, r, c), halfRow(up, r, c))
	}
}

// backwardHalf sets the gradients of gate and up in bf16.
func (f *siluMul) backwardHalf(dy, dgate, dup []uint16) {
	r, c := Dims(f.gate)
	gate, up := valueOf(f.gate).half, valueOf(f.up).half
	eachRows(r, c, func(lo, hi int) {
		for r := lo / c; r < hi/c; r++ {
			kernels.SiLUMulHalfBackward(halfRow(dgate, r, c), halfRow(dup, r, c), halfRow(dy, r, c), halfRow(gate, r, c), halfRow(up, r, c))
		}
	})
}

func (f *siluMul) Backward(gy mat.Tensor) error {
	if f.inHalf() && wantsHalf(f.gate) && wantsHalf(f.up) {
		f.backwardHalf(halfOf(gy), gradHalf(f.gate), gradHalf(f.up))
		return nil
	}
	r, c := Dims(f.gate)
	dy, gate, up := F32(gy), F32(f.gate), F32(f.up)
	gradAssign(func(g [][]float32) {
		eachRows(r, c, func(lo, hi int) {
			kernels.SiLUMulBackward(g[0][lo:hi], g[1][lo:hi], dy[lo:hi], gate[lo:hi], up[lo:hi])
		})
	}, f.gate, f.up)
	return nil
}

// gradAssign calls f with memory for the gradients of xs, which f sets without adding, and then adds
// them where xs want them: an operand may be frozen, or have other consumers.
func gradAssign(f func(g [][]float32), xs ...mat.Tensor) {
	g := make([][]float32, len(xs))
	var own []*value
	for i, x := range xs {
		var acc bool
		if g[i], acc = gradInto(x); g[i] == nil || acc {
			r, c := Dims(x)
			v := newValue(r, c)
			own = append(own, v)
			g[i] = v.data()
		} else {
			own = append(own, nil)
		}
	}
	f(g)
	for i, x := range xs {
		if own[i] == nil {
			continue
		}
		if x.RequiresGrad() {
			valueOf(x).AccGrad(own[i])
		}
		own[i].release()
	}
}

type gelu struct {
	x    mat.Tensor
	tanh bool
	half bool // is made in bf16, as a product's tile makes it
}

// GELU applies the Gaussian error linear unit (Hendrycks and Gimpel, 2016, arXiv:1606.08415), exact
// or in its tanh approximation (gelu_new of GPT-2).
func GELU(t *Tape, x mat.Tensor, tanh bool) mat.Tensor { return t.apply(&gelu{x: x, tanh: tanh}) }

func (f *gelu) Operands() []mat.Tensor { return []mat.Tensor{f.x} }

func (f *gelu) Forward() (mat.Tensor, error) {
	r, c := Dims(f.x)
	return newLazy(r, c, f), nil
}

func (f *gelu) recompute(out []float32) {
	r, c := Dims(f.x)
	eachRows(r, c, func(lo, hi int) { f.recomputeRows(out[lo:hi], lo/c, hi/c) })
}

func (f *gelu) recomputeRows(out []float32, lo, hi int) {
	_, c := Dims(f.x)
	kernels.GELU(out, F32(f.x)[lo*c:hi*c], f.tanh)
}

func (f *gelu) inHalf() bool { return f.half }

func (f *gelu) recomputeHalf(out []uint16, lo, hi int) {
	_, c := Dims(f.x)
	x := F32(f.x)
	for r := lo; r < hi; r++ {
		kernels.GELUHalf(halfRow(out, r, c), x[r*c:(r+1)*c], f.tanh)
	}
}

func (f *gelu) Backward(gy mat.Tensor) error {
	r, c := Dims(f.x)
	dy, x := F32(gy), F32(f.x)
	gradAssign(func(g [][]float32) {
		eachRows(r, c, func(lo, hi int) { kernels.GELUBackward(g[0][lo:hi], dy[lo:hi], x[lo:hi], f.tanh) })
	}, f.x)
	return nil
}

type split struct {
	x    mat.Tensor
	from int
	to   int
}

// Columns returns a copy of the columns [from, to) of x (T, cols).
func Columns(t *Tape, x mat.Tensor, from, to int) mat.Tensor { return t.apply(&split{x, from, to}) }

func (f *split) Operands() []mat.Tensor { return []mat.Tensor{f.x} }

func (f *split) Forward() (mat.Tensor, error) {
	r, c := Dims(f.x)
	w := f.to - f.from
	y := newValue(r, w)
	x := F32(f.x)
	for i := range r {
		copy(y.data()[i*w:(i+1)*w], x[i*c+f.from:i*c+f.to])
	}
	return y, nil
}

func (f *split) Backward(gy mat.Tensor) error {
	r, c := Dims(f.x)
	w := f.to - f.from
	dx, dy := gradZeroed(f.x), F32(gy)
	for i := range r {
		addTo(dx[i*c+f.from:i*c+f.to], dy[i*w:(i+1)*w])
	}
	return nil
}

type gather struct {
	x    mat.Tensor
	rows []int
}

// Gather returns the given rows of x (T, cols), (len(rows), cols).
func Gather(t *Tape, x mat.Tensor, rows []int) mat.Tensor { return t.apply(&gather{x, rows}) }

func (f *gather) Operands() []mat.Tensor { return []mat.Tensor{f.x} }

func (f *gather) Forward() (mat.Tensor, error) {
	_, c := Dims(f.x)
	y := newValue(len(f.rows), c)
	x := F32(f.x)
	for i, r := range f.rows {
		copy(y.data()[i*c:(i+1)*c], x[r*c:(r+1)*c])
	}
	return y, nil
}

func (f *gather) Backward(gy mat.Tensor) error {
	_, c := Dims(f.x)
	dx, dy := gradZeroed(f.x), F32(gy)
	if dx == nil {
		return nil
	}
	for i, r := range f.rows {
		addTo(dx[r*c:(r+1)*c], dy[i*c:(i+1)*c])
	}
	return nil
}

// Project returns x(n,in)·Wᵀ(out,in) + b, with a head's own trainable weight; bias may be nil.
func Project(t *Tape, x mat.Tensor, w, bias *nn.Param) mat.Tensor {
	l := &Linear{W: Weight{Param: w}, Bias: bias}
	return l.Apply(t, x, nil)
}

type tanh struct {
	x mat.Tensor
	y *value
}

// Tanh applies the hyperbolic tangent (the poolers of BERT and RoBERTa).
func Tanh(t *Tape, x mat.Tensor) mat.Tensor { return t.apply(&tanh{x: x}) }

func (f *tanh) Operands() []mat.Tensor { return []mat.Tensor{f.x} }

func (f *tanh) Forward() (mat.Tensor, error) {
	r, c := Dims(f.x)
	f.y = newValue(r, c)
	x, y := F32(f.x), f.y.data()
	for i, v := range x {
		y[i] = float32(math.Tanh(float64(v)))
	}
	return f.y, nil
}

func (f *tanh) Backward(gy mat.Tensor) error {
	dx, dy, y := gradZeroed(f.x), F32(gy), f.y.data()
	for i := range dx {
		dx[i] += dy[i] * (1 - y[i]*y[i])
	}
	return nil
}
