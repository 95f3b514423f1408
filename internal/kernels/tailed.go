package kernels

// tailedPairs is a product of bf16 pairs, a(m,k)·b, b being panels of 32 columns, and what becomes of its sums, those of a low rank and bias,
// 32 numbers a panel, unless nil: half is act of them, rounded, or dst is they, with acc begun from dst, or with add they plus
// add, in rows ld apart. k is a multiple of PairBlock.
type tailedPairs struct {
	m, panels, k int
	ahead        int // bytes that b is fetched ahead of use
	a            []uint16
	lda          int
	b            []uint16
	step         int // numbers of a panel
	low          lowTile
	bias, add    []float32
	act          Activation
	dst          []float32
	acc          bool
	half         []uint16
	ld           int
}

// part is the product with n panels from panel j on.
func (p *tailedPairs) part(j, n int) tailedPairs {
	q, i := *p, 32*j
	q.panels, q.b = n, p.b[j*p.step:]
	q.low.vb = from(p.low.vb, i*p.low.r)
	q.bias, q.add, q.dst, q.half = from(p.bias, i), from(p.add, i), from(p.dst, i), from(p.half, i)
	return q
}

// from is x[i:] of what may be nil.
func from[T any](x []T, i int) []T {
	if x == nil {
		return nil
	}
	return x[i:]
}

// tails reports whether impl.tailed can do a product of pairs over k numbers, with low unless nil.
func tails(k int, low *LowRank) bool {
	return k > 0 && k%PairBlock == 0 && (low == nil || low.Halves)
}

// runTailed does what it can of run, panels from j0 to the one that it returns, fetched so many bytes ahead.
func (f *forward) runTailed(s *scratch, m0, m1, j0, j1, ahead int) int {
	low, k := f.tail.Low, f.p.k
	j1 = min(j1, (f.n1-f.n0)/32)
	few := m1-m0 < f.im.tailedFrom && f.p.typ == PanelBF16
	if few || j1 <= j0 || f.xb == nil || !tails(k, low) {
		return j0
	}
	first := f.n0/32 + j0
	p := tailedPairs{m: m1 - m0, panels: j1 - j0, k: k, a: f.xb[m0*f.ldx:], lda: f.ldx, step: 32 * k, act: f.tail.Act, acc: f.acc, ld: f.ldd, low: low.pairs(m0, first)}
	at := m0*f.ldd + 32*j0
	if f.half != nil {
		p.half = f.half[at:]
	} else {
		p.dst = f.dst[at:]
	}
	if f.tail.Bias != nil {
		p.bias = f.tail.Bias[32*first:]
	}
	if f.tail.Add != nil {
		p.add = f.tail.Add[at:]
	}
	if f.p.typ == PanelBF16 {
		p.ahead = ahead
		p.b = asU16(f.p.f[first*f.p.size:])
		f.im.tailed(&p, s)
		return j1
	}
	p.step = 0 // they are expanded one by one, all in one place
	for j := range p.panels {
		p.b = asU16(f.weights(s, f.p.panel(first+j), 0, k))
		one := p.part(j, 1)
		f.im.tailed(&one, s)
	}
	return j1
}

// runTailed does what it can of rows [m0,m1): columns 32*j0 to 32 times what it returns, whose panels were made one after another.
func (b *backward) runTailed(s *scratch, m0, m1, j0, j1 int, made []float32, size, l0, l1 int) int {
	k := b.p.k
	j1 = min(j1, k/32)
	if j1 <= j0 || b.yb == nil || !tails(l1-l0, b.low) {
		return j0
	}
	p := tailedPairs{
		m: m1 - m0, panels: j1 - j0, k: l1 - l0, a: b.yb[m0*b.ldb+l0:], lda: b.ldb, b: asU16(made), step: 2 * size,
		acc: b.acc || l0 > 0, ld: b.ldx,
	}
	if at := m0*b.ldx + 32*j0; b.half != nil {
		p.half = b.half[at:]
	} else {
		p.dst = b.dx[at:]
	}
	if l1 == b.n {
		p.low = b.low.pairs(m0, j0)
	}
	b.im.tailed(&p, s)
	return j1
}
