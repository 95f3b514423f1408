package ops

import (
	"plumb/internal/kernels"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
)

// LoRA is the low-rank update s·B·A of one linear layer (Hu et al., 2021, arXiv:2106.09685).
type LoRA struct {
	nn.Module
	A       *nn.Param // (r, in)
	B       *nn.Param // (out, r)
	Scale   float32   // s: alpha/r, or alpha/sqrt(r) for rsLoRA
	Dropout float32   // probability of dropping an input of A during training
	ID      uint64    // names the layer in the stream of dropout masks
	fixed   *halfLoRA
}

// Fixed returns l for passes without a tape during which its weights do not change: what products read is packed once, and
// given back by Unfix.
func (l *LoRA) Fixed() *LoRA {
	c := *l
	if l.fits() && kernels.DotsPairs() {
		c.fixed = l.halves()
	}
	return &c
}

// Unfix ends the use of what Fixed returned.
func (l *LoRA) Unfix() {
	if l.fixed != nil {
		l.fixed.free()
		l.fixed = nil
	}
}

// fits reports whether products of bf16 pairs can read A and B.
func (l *LoRA) fits() bool {
	return l.A.Shape()[1]%kernels.PairBlock == 0 && l.B.Shape()[0]%kernels.PairBlock == 0
}

// halfLoRA is A and B in bf16, packed.
type halfLoRA struct{ a, b []uint16 }

// halves packs A and B for x·Aᵀ and u·Bᵀ.
func (l *LoRA) halves() *halfLoRA {
	return l.pack(func(dst, x []uint16, n, w int) { kernels.PairColumns(dst, x, w, n, w) })
}

// halvesBack packs A and B for du·A and dy·B.
func (l *LoRA) halvesBack() *halfLoRA {
	rows := func(dst, x []uint16, n, w int) { kernels.PairRows(dst, 32*roundUp(n), x, w, n, w) }
	return l.pack(rows)
}

// pack rounds A, (r, in), and B, (out, r padded), and hands each to by.
func (l *LoRA) pack(by func(dst, x []uint16, n, w int)) *halfLoRA {
	out, r, in := l.B.Shape()[0], l.A.Shape()[0], l.A.Shape()[1]
	p := roundUp(r)
	h := &halfLoRA{a: halfAlloc(p * in), b: halfAlloc(p * out)}
	flat := halfAlloc(max(r*in, p*out))
	defer halfFree(flat)
	kernels.F32ToBF16(flat[:r*in], F32(l.A))
	by(h.a, flat, r, in)
	l.paddedB(flat)
	by(h.b, flat, out, p)
	return h
}

func (h *halfLoRA) free() {
	halfFree(h.a)
	halfFree(h.b)
}

// paddedB writes B in bf16, (out, r padded with zeros to a multiple of PairBlock).
func (l *LoRA) paddedB(dst []uint16) {
	out, r := l.B.Shape()[0], l.B.Shape()[1]
	p := roundUp(r)
	dense := halfAlloc(out * r)
	defer halfFree(dense)
	kernels.F32ToBF16(dense, F32(l.B))
	clear(dst[:out*p])
	for i := range out {
		copy(dst[i*p:], dense[i*r:(i+1)*r])
	}
}

// lowRank is a LoRA in one application of a linear layer.
type lowRank struct {
	lora    *LoRA
	u       []float32 // s·drop(x)·Aᵀ (T, r), kept for Backward
	ub      []uint16  // or u in bf16, padded, where products multiply that
	drop    Dropout   // the masks of this pass; the tape may have gone on to another
	dropped []float32 // x after dropout
	masked  []uint16  // or that in bf16
	half    *halfLoRA // of this pass
}

func (f *lowRank) pairs(l *linear) bool { return l.l.W.pairs(l.l.Compute) && f.lora.fits() }

// forward computes u, whose product with Bᵀ the layer adds.
func (f *lowRank) forward(l *linear, x kernels.Rows) *kernels.LowRank {
	in, r, m := f.lora.A.Shape()[1], f.lora.A.Shape()[0], l.rows
	if l.tape != nil && l.tape.Train && f.lora.Dropout > 0 {
		f.dropped = alloc(m * in)
		f.drop = l.tape.Drop
		f.drop.apply(f.dropped, F32(l.x), m, in, f.lora.Dropout, f.lora.ID)
		x = kernels.Rows{F: f.dropped}
		if f.pairs(l) {
			f.masked = halfAlloc(kernels.HalfLen(m, in))
			kernels.HalfRows(f.masked, f.dropped, m, in)
			free(f.dropped)
			f.dropped, x = nil, kernels.Rows{B: f.masked}
		}
	}
	if !f.pairs(l) {
		if x.F == nil { // W's products read bf16 only
			x.F = F32(l.x)
		}
		f.u = alloc(m * r)
		kernels.Gemm(false, true, m, r, in, x.F, in, F32(f.lora.A), in, f.u, r, false)
		kernels.Scale(f.lora.Scale, f.u)
		return &kernels.LowRank{R: r, U: f.u, V: F32(f.lora.B)}
	}
	h := f.lora.fixed
	if h == nil {
		f.half = f.lora.halves()
		h = f.half
	}
	f.ub = f.narrow(x.B, h.a, m, in)
	return &kernels.LowRank{R: r, Halves: true, UB: f.ub, VB: h.b}
}

// narrow computes u(m, r) = s·x(m, k)·a in bf16, padded to (m, PairBlock's multiple).
func (f *lowRank) narrow(x, a []uint16, m, k int) []uint16 {
	p := roundUp(f.lora.A.Shape()[0])
	wide := alloc(m * p)
	defer free(wide)
	kernels.MatMulPairs(wide, m, p/32, k, x, a)
	kernels.Scale(f.lora.Scale, wide)
	ub := halfAlloc(m * p)
	kernels.F32ToBF16(ub, wide)
	return ub
}

// backward adds the gradients of A and B, and sets dx(m, in), or adds to it: dy·W + du·A. dx may be nil; left is gy as products
// read it.
func (f *lowRank) backward(l *linear, dx []float32, gy mat.Tensor, left kernels.Rows, acc bool) {
	if f.pairs(l) {
		f.backwardPairs(l, dx, left.B, acc)
		return
	}
	out, r, in := f.lora.B.Shape()[0], f.lora.A.Shape()[0], f.lora.A.Shape()[1]
	m, a, b := l.rows, F32(f.lora.A), F32(f.lora.B)
	dy := F32(gy)
	if g := paramGrad(f.lora.B); g != nil { // dB += dyᵀ·(s·u)
		kernels.Gemm(true, false, out, r, m, dy, out, f.u, r, g, r, true)
	}
	du := alloc(m * r)
	defer free(du)
	kernels.Gemm(false, false, m, r, out, dy, out, b, r, du, r, false)
	kernels.Scale(f.lora.Scale, du)
	xa := f.dropped
	if xa == nil {
		xa = F32(l.x)
	}
	if g := paramGrad(f.lora.A); g != nil { // dA += duᵀ·x
		kernels.Gemm(true, false, r, in, m, du, r, xa, in, g, in, true)
	}
	low := &kernels.LowRank{R: r, U: du, V: a}
	if dx == nil {
		return
	}
	if f.dropped == nil {
		l.l.W.applyBackward(dx, left, m, acc, l.l.Compute, low)
		return
	}
	l.l.W.applyBackward(dx, left, m, acc, l.l.Compute, nil)
	f.addMasked(dx, du, m)
}

// addMasked adds du·A to dx through the mask of dropout.
func (f *lowRank) addMasked(dx, du []float32, m int) {
	r, in := f.lora.A.Shape()[0], f.lora.A.Shape()[1]
	dd := alloc(m * in)
	defer free(dd)
	kernels.Gemm(false, false, m, in, r, du, r, F32(f.lora.A), in, dd, in, false)
	f.drop.apply(dd, dd, m, in, f.lora.Dropout, f.lora.ID)
	addTo(dx, dd)
}

// backwardPairs is backward where all products multiply bf16; dy is in that form.
func (f *lowRank) backwardPairs(l *linear, dx []float32, dy []uint16, acc bool) {
	out, r, in, m := f.lora.B.Shape()[0], f.lora.A.Shape()[0], f.lora.A.Shape()[1], l.rows
	if g := paramGrad(f.lora.B); g != nil { // dB += dyᵀ·(s·u)
		kernels.AddOuterPairs(g, 1, r, f.ub, dy, m, r, out)
	}
	h := f.lora.halvesBack()
	defer h.free()
	du := f.narrow(dy, h.b, m, out)
	defer halfFree(du)
	x := f.masked
	if x == nil {
		x = halfOf(l.x)
	}
	if g := paramGrad(f.lora.A); g != nil { // dA += duᵀ·x
		kernels.AddOuterPairs(g, in, 1, du, x, m, r, in)
	}
	switch {
	case dx == nil:
	case f.masked == nil:
		l.l.W.applyBackward(dx, kernels.Rows{B: dy}, m, acc, l.l.Compute, &kernels.LowRank{R: r, Halves: true, UB: du, VB: h.a})
	default:
		l.l.W.applyBackward(dx, kernels.Rows{B: dy}, m, acc, l.l.Compute, nil)
		wide, p := alloc(m*r), roundUp(r)
		defer free(wide)
		for i := range m {
			kernels.BF16ToF32(wide[i*r:(i+1)*r], du[i*p:i*p+r])
		}
		f.addMasked(dx, wide, m)
	}
}

// releaseHalves drops what only the forward pass reads.
func (f *lowRank) releaseHalves() {
	if f.half != nil {
		f.half.free()
	}
	f.half = nil
}

func (f *lowRank) release() {
	if f.u != nil {
		free(f.u)
	}
	if f.dropped != nil {
		free(f.dropped)
	}
	for _, h := range [][]uint16{f.ub, f.masked} {
		if h != nil {
			halfFree(h)
		}
	}
	f.u, f.dropped, f.ub, f.masked = nil, nil, nil, nil
}
