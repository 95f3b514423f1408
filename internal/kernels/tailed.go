package kernels

// tailedPairs is a product of bf16 pairs, a(m,k)·b, b being panels of 32 columns, and what becomes of its sums with those of a low rank and
// bias, 32 numbers a panel, unless nil: half is act of them, rounded, or dst is they or, with add, they plus add, in rows ld
// apart. k is a multiple of PairBlock.
type tailedPairs struct {
	m, panels, k int
	a            []uint16
	lda          int
	b            []uint16
	step         int // numbers of a panel
	low          lowTile
	bias, add    []float32
	act          Activation
	dst          []float32
	half         []uint16
	ld           int
}

// runTailed does what it can of run, panels from j0 to the one that it returns.
func (f *forward) runTailed(s *scratch, m0, m1, j0, j1 int) int {
	low, k := f.tail.Low, f.p.k
	j1 = min(j1, (f.n1-f.n0)/32)
	if f.im.tailed == nil || f.xb == nil || k%PairBlock != 0 || low != nil && !low.Halves || j1 <= j0 {
		return j0
	}
	first := f.n0/32 + j0
	p := tailedPairs{m: m1 - m0, panels: j1 - j0, k: k, a: f.xb[m0*f.ldx:], lda: f.ldx, step: 32 * k, act: f.tail.Act, ld: f.ldd, low: low.pairs(m0, first)}
	at := m0*f.ldd + 32*j0
	if f.half != nil {
		p.half = f.half[at:]
	} else {
		p.dst = f.dst[at:]
	}
	if f.tail.Bias != nil {
		p.bias = f.tail.Bias[32*first:]
	}
	if f.acc {
		p.add = p.dst
	} else if f.tail.Add != nil {
		p.add = f.tail.Add[at:]
	}
	if f.p.typ == PanelBF16 {
		p.b = asU16(f.p.f[first*f.p.size:])
		f.im.tailed(&p, s)
		return j1
	}
	each := p
	for j := range p.panels { // expanded one by one
		each.panels, each.b = 1, asU16(f.weights(s, f.p.panel(first+j), 0, k))
		each.low = low.pairs(m0, first+j)
		each.bias, each.add, each.dst, each.half = from(p.bias, 32*j), from(p.add, 32*j), from(p.dst, 32*j), from(p.half, 32*j)
		f.im.tailed(&each, s)
	}
	return j1
}

// from is x[i:] of what may be nil.
func from[T any](x []T, i int) []T {
	if x == nil {
		return nil
	}
	return x[i:]
}

// runTailed does what it can of rows [m0,m1): columns 32*j0 to 32 times what it returns, whose panels were made one after another.
func (b *backward) runTailed(s *scratch, m0, m1, j0, j1 int, made []float32, size, l0, l1 int) int {
	k := b.p.k
	j1 = min(j1, k/32)
	if b.im.tailed == nil || b.yb == nil || (l1-l0)%PairBlock != 0 || b.low != nil && !b.low.Halves || j1 <= j0 {
		return j0
	}
	p := tailedPairs{
		m: m1 - m0, panels: j1 - j0, k: l1 - l0, a: b.yb[m0*b.ldb+l0:], lda: b.ldb, b: asU16(made), step: 2 * size,
		dst: b.dx[m0*k+32*j0:], ld: k,
	}
	if b.acc || l0 > 0 {
		p.add = p.dst
	}
	if l1 == b.n {
		p.low = b.low.pairs(m0, j0)
	}
	b.im.tailed(&p, s)
	return j1
}
