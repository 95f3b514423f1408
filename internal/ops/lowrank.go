package ops

import (
	"plumb/internal/kernels"

	"github.com/nlpodyssey/spago/mat"
)

// lowRank is the LoRAs of layers with the same input in one application of these: u = s·drop(x)·Aᵀ with the As one below the other, and
// each layer adds the product of its columns of u with its B. Several share one where products multiply bf16 and all their columns fit
// into a block, which a single one would fill up with zeros.
type lowRank struct {
	loras   []*LoRA
	at      []int // columns of u where each begins, even: so the order of a sum does not depend on it
	wide    int   // columns of u in bf16, a multiple of PairBlock
	pairs   bool  // products multiply bf16
	tape    *Tape
	u       []float32 // (T, r), kept for Backward
	ub      []uint16  // or u in bf16, (T, wide), where products multiply that
	drop    Dropout   // the masks of this pass; the tape may have gone on to another
	dropped []float32 // x after dropout
	masked  []uint16  // or that in bf16
	packed  *lowPacks // of the forward pass
}

// lowRankOf is the low rank of one layer, nil without a LoRA.
func lowRankOf(l *Linear, lora *LoRA) *lowRank {
	if lora == nil {
		return nil
	}
	return &lowRank{loras: []*LoRA{lora}, at: []int{0}, wide: roundUp(lora.Rank()), pairs: l.W.pairs(l.Compute) && lora.fits()}
}

// params are the factors of f, which may be nil.
func (f *lowRank) params() (ops []mat.Tensor) {
	if f == nil {
		return nil
	}
	for _, l := range f.loras {
		ops = append(ops, l.A, l.B)
	}
	return ops
}

// sharedLowRank is that of several calls, nil where they cannot share one.
func sharedLowRank(t *Tape, calls []Call) *lowRank {
	f := &lowRank{wide: kernels.PairBlock, pairs: true}
	used := 0
	for _, c := range calls {
		l := c.LoRA
		if l == nil || !c.Linear.W.pairs(c.Linear.Compute) || !l.fits() || l.Scale != calls[0].LoRA.Scale || drops(t, l) {
			return nil
		}
		f.loras, f.at = append(f.loras, l), append(f.at, used)
		used += (l.Rank() + 1) / 2 * 2
	}
	if used > f.wide {
		return nil
	}
	return f
}

func drops(t *Tape, l *LoRA) bool { return t != nil && t.Train && l.Dropout > 0 }

// used is how many columns of u there are up to the last of layer i.
func (f *lowRank) used(i int) int { return f.at[i] + f.loras[i].Rank() }

// forward computes u.
func (f *lowRank) forward(t *Tape, from mat.Tensor, x kernels.Rows) {
	lora := f.loras[0]
	in, r := lora.A.Shape()[1], lora.Rank()
	m, _ := Dims(from)
	f.tape = t
	if drops(t, lora) {
		f.dropped = alloc(m * in)
		f.drop = t.Drop
		f.drop.apply(f.dropped, F32(from), m, in, lora.Dropout, lora.ID)
		x = kernels.Rows{F: f.dropped}
		if f.pairs {
			f.masked = halfAlloc(kernels.HalfLen(m, in))
			kernels.HalfRows(f.masked, f.dropped, m, in)
			free(f.dropped)
			f.dropped, x = nil, kernels.Rows{B: f.masked}
		}
	}
	if f.pairs {
		valueOf(from).readBack = f.masked == nil // by the gradient of A
		f.packed = f.packs(forwards)
		wide := alloc(m * f.wide)
		kernels.MatMulPairs(wide, m, f.wide/32, in, f.used(len(f.loras)-1), x.B, f.packed.a, false)
		f.ub = f.rounded(wide)
		return
	}
	if x.F == nil { // W's products read bf16 only
		x.F = F32(from)
	}
	f.u = alloc(m * r)
	kernels.Gemm(false, true, m, r, in, x.F, in, F32(lora.A), in, f.u, r, false)
	kernels.Scale(lora.Scale, f.u)
}

// tail is what layer i adds to its product.
func (f *lowRank) tail(i int) *kernels.LowRank {
	if f.pairs {
		return &kernels.LowRank{R: f.wide, Halves: true, UB: f.ub, VB: f.packed.b[i], First: f.at[i], End: f.used(i)}
	}
	return &kernels.LowRank{R: f.loras[i].Rank(), U: f.u, V: F32(f.loras[i].B)}
}

// rounded returns s times sums in bf16, and gives them back.
func (f *lowRank) rounded(sums []float32) []uint16 {
	kernels.Scale(f.loras[0].Scale, sums)
	ub := halfAlloc(len(sums))
	kernels.F32ToBF16(ub, sums)
	free(sums)
	return ub
}

// backward adds the gradients of A and B of one layer, and those of its input to dx(m, in): dy·W + du·A. left is gy as products read it.
func (f *lowRank) backward(l *Linear, x mat.Tensor, dx target, gy mat.Tensor, left kernels.Rows) {
	if f.pairs {
		f.backwardPairs([]*Linear{l}, x, dx, [][]uint16{left.B})
		return
	}
	lora := f.loras[0]
	out, r, in := lora.B.Shape()[0], lora.Rank(), lora.A.Shape()[1]
	m, _ := Dims(x)
	a, b := F32(lora.A), F32(lora.B)
	dy := F32(gy)
	if g := f.tape.grad(lora.B); g != nil { // dB += dyᵀ·(s·u)
		kernels.Gemm(true, false, out, r, m, dy, out, f.u, r, g, r, true)
	}
	du := alloc(m * r)
	defer free(du)
	kernels.Gemm(false, false, m, r, out, dy, out, b, r, du, r, false)
	kernels.Scale(lora.Scale, du)
	xa := f.dropped
	if xa == nil {
		xa = F32(x)
	}
	if g := f.tape.grad(lora.A); g != nil { // dA += duᵀ·x
		kernels.Gemm(true, false, r, in, m, du, r, xa, in, g, in, true)
	}
	if !dx.some() {
		return
	}
	if f.dropped == nil {
		l.W.applyBackward(dx, left, m, l.Compute, &kernels.LowRank{R: r, U: du, V: a})
		return
	}
	l.W.applyBackward(dx, left, m, l.Compute, nil)
	f.addMasked(dx.dx, du, m)
}

// addMasked adds du·A to dx through the mask of dropout.
func (f *lowRank) addMasked(dx, du []float32, m int) {
	lora := f.loras[0]
	r, in := lora.Rank(), lora.A.Shape()[1]
	dd := alloc(m * in)
	defer free(dd)
	kernels.Gemm(false, false, m, in, r, du, r, F32(lora.A), in, dd, in, false)
	f.drop.apply(dd, dd, m, in, lora.Dropout, lora.ID)
	addTo(dx, dd)
}

// backwardPairs is backward of all layers where all products multiply bf16; dy are in that form, nil for those of no gradient.
func (f *lowRank) backwardPairs(ls []*Linear, x mat.Tensor, dx target, dy [][]uint16) {
	m, in := Dims(x)
	p := f.packs(backwards)
	defer p.put()
	sums := alloc(m * f.wide)
	rows := make([][]float32, f.used(len(f.loras)-1)) // of the gradients of A
	some := 0
	for i, l := range f.loras {
		if dy[i] == nil {
			continue
		}
		out, r := l.B.Shape()[0], l.Rank()
		if g := f.tape.grad(l.B); g != nil { // dB += dyᵀ·(s·u)
			columns := make([][]float32, r)
			for j := range columns {
				columns[j] = g[j:]
			}
			kernels.AddOuterPairs(columns, r, f.ub, f.wide, f.at[i], dy[i], m, out)
		}
		kernels.MatMulPairs(sums, m, f.wide/32, out, f.used(i), dy[i], p.b[i], some > 0)
		some++
		if g := f.tape.grad(l.A); g != nil {
			for j := range r {
				rows[f.at[i]+j] = g[j*in:]
			}
		}
	}
	du := f.rounded(sums)
	defer halfFree(du)
	xb := f.masked
	if xb == nil {
		xb = halfOf(x)
	}
	kernels.AddOuterPairs(rows, 1, du, f.wide, 0, xb, m, in) // dA += duᵀ·x
	if !dx.some() {
		return
	}
	low := &kernels.LowRank{R: f.wide, Halves: true, UB: du, VB: p.a, End: f.used(len(ls) - 1)}
	if f.masked != nil {
		low = nil
	}
	if dx.half != nil { // one layer's
		ls[0].W.applyBackward(dx, kernels.Rows{B: dy[0]}, m, ls[0].Compute, low)
	} else {
		var terms []kernels.Term
		for i, l := range ls {
			if dy[i] != nil {
				terms = append(terms, kernels.Term{P: l.W.Frozen, DY: dy[i]})
			}
		}
		kernels.MatMulBackwardSum(dx.dx, terms, m, dx.acc, low)
	}
	if f.masked != nil {
		r := f.loras[0].Rank()
		wide := alloc(m * r)
		defer free(wide)
		for i := range m {
			kernels.BF16ToF32(wide[i*r:(i+1)*r], du[i*f.wide:][:r])
		}
		f.addMasked(dx.dx, wide, m)
	}
}

// releasePacked drops what only the forward pass reads.
func (f *lowRank) releasePacked() {
	f.packed.put()
	f.packed = nil
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
