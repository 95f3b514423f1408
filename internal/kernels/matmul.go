package kernels

import (
	"math"
	"slices"
)

// LowRank is a product of rank R that is added to a larger one while the larger one's tiles are in the cache: U(m,R)·V, of
// the shape that the function names. Its sum starts from the finished larger product, so that the bits are those of
// adding it afterwards. With Halves set it multiplies bf16 pairs and reads UB and VB instead.
type LowRank struct {
	R      int
	U, V   []float32
	Halves bool
	UB     []uint16 // (m, R padded with zeros to a multiple of PairBlock)
	VB     []uint16 // panels of 32 columns of V, as PairColumns or PairRows makes them
	// First and End bound the rows of V in VB that are not zeros; End 0 is R.
	First, End int
}

// Tail is what is done to a product while its tiles are in the cache: a low rank is added, unless nil, then Bias (N), unless nil, to
// every row. At last MatMulHalf applies Act, and MatMulAdd adds the rows of Add (m,N).
type Tail struct {
	Low  *LowRank
	Bias []float32
	Act  Activation
	Add  []float32
}

// Activation is a function of each element.
type Activation uint8

// The activations that a product may end with.
const (
	NoActivation Activation = iota
	ActGELU
	ActGELUTanh
)

// Rows is the left operand of a product, rows one after another; B is F rounded to bf16 by HalfRows, I and Steps F rounded to
// integers by IntRows, nil when the product shall do that where it needs to.
type Rows struct {
	F     []float32
	B, I  []uint16
	Steps []float32
}

// HalfLen is how many numbers HalfRows writes for m rows of k.
func HalfLen(m, k int) int { return m * pairStride(k) }

// HalfRows rounds x(m,k) to bf16 for Rows.
func HalfRows(dst []uint16, x []float32, m, k int) { pairsOf(dst, pairStride(k), x, k, m, k) }

// Dots reports whether products with p in arithmetic c multiply bf16 pairs at the active level.
func (p *Panels) Dots(c Compute) bool { return c == BF16 && DotsPairs() && p.typ != PanelF32 }

// MatMul computes dst(m,N) = x(m,K)·Wᵀ, or adds it when acc is set, on all threads, and the tail; its low rank is U(m,R)·Vᵀ with
// V (N,R).
func (p *Panels) MatMul(dst []float32, x Rows, m int, acc bool, c Compute, t Tail) {
	p.product(dst, p.n, x, m, 0, p.n, acc, c, t)
}

// MatMulHalf is MatMul with the result rounded to bf16 as HalfRows does: dst(m,N) is a Rows.B. It is for products that multiply pairs
// (Dots), and N a multiple of 32.
func (p *Panels) MatMulHalf(dst []uint16, x Rows, m int, t Tail) {
	if !p.HasHalf(BF16) {
		panic("kernels: MatMulHalf wants pairs of bf16, and rows of W in whole panels")
	}
	if m < 1 {
		return
	}
	f := &forward{im: active.Load(), p: p, half: dst, ldd: pairStride(p.n), n1: p.n, tail: t}
	f.start(x, m, BF16)
}

// MatMulAdd is MatMul plus t.Add, where MatMulHalf can be called too.
func (p *Panels) MatMulAdd(dst []float32, x Rows, m int, t Tail) {
	if !p.HasHalf(BF16) || len(t.Add) < m*p.n {
		panic("kernels: MatMulAdd wants pairs of bf16, rows of W in whole panels, and something to add")
	}
	if m < 1 {
		return
	}
	f := &forward{im: active.Load(), p: p, dst: dst, ldd: p.n, n1: p.n, tail: t}
	f.start(x, m, BF16)
}

// HasHalf reports whether MatMulHalf can be called at the active level, for arithmetic c.
func (p *Panels) HasHalf(c Compute) bool { return p.Dots(c) && p.n%32 == 0 && p.k > 0 }

// MatMulRange is MatMul with rows [n0,n1) of W only: dst(m,n1-n0) with rows ldd apart. n0 must be a multiple of 32.
func (p *Panels) MatMulRange(dst []float32, ldd int, x []float32, m, n0, n1 int, acc bool, c Compute) {
	p.product(dst, ldd, Rows{F: x}, m, n0, n1, acc, c, Tail{})
}

func (p *Panels) product(dst []float32, ldd int, x Rows, m, n0, n1 int, acc bool, c Compute, t Tail) {
	if n0%32 != 0 || n0 < 0 || n1 > p.n {
		panic("kernels: MatMulRange wants n0 to be a multiple of 32 within the rows")
	}
	if m < 1 || n1 <= n0 {
		return
	}
	f := &forward{im: active.Load(), p: p, dst: dst, ldd: ldd, x: x.F, n0: n0, n1: n1, acc: acc, tail: t}
	if p.k == 0 {
		if !acc {
			for i := range m {
				clear(dst[i*ldd:][:n1-n0])
			}
		}
		return
	}
	f.start(x, m, c)
}

// start rounds x, unless that was done, and runs the product on all threads.
func (f *forward) start(x Rows, m int, c Compute) {
	if s := f.round(x, m, c); s != nil {
		defer putScratch(s)
	}
	f.heights().share(m, f.panels(), f.p.k, f.run)
}

func (f *forward) panels() int { return (f.n1 - f.n0 + 31) / 32 }

// round makes x what the product reads, in memory of the scratch that it returns, if any, and decides on strips.
func (f *forward) round(x Rows, m int, c Compute) (s *scratch) {
	p := f.p
	p.checkTable()
	switch {
	case p.Ints():
		f.xi, f.steps, f.ldx = x.I, x.Steps, pairStride(p.k)
		if f.xi == nil {
			s = getScratch()
			f.xi, f.steps = s.intsAndSteps(m, p.k)
			IntRows(f.xi, f.steps, x.F, m, p.k)
		}
	case p.Blocks(c):
		s = getScratch()
		f.x8 = blockRows(s, x.F, m, p.k)
	case p.Dots(c):
		f.xb, f.ldx = x.B, pairStride(p.k)
		if f.xb == nil {
			s = getScratch()
			f.xb = asU16(s.extra(HalfLen(m, p.k) / 2))
			HalfRows(f.xb, x.F, m, p.k)
		}
	}
	f.strips = f.x8 == nil && f.im.strips(f.xb != nil, f.xi != nil, m)
	return s
}

// Product is one of several products with the same x: MatMul's into Dst, or MatMulHalf's into Half.
type Product struct {
	P    *Panels
	X    Rows
	Dst  []float32
	Half []uint16
	Tail Tail
}

// MatMulTogether computes products with the same x(m,K), each as it would be alone, their items shared by all threads in one go: of few
// rows products are so short that waiting for the last of each costs more than a little.
func MatMulTogether(products []Product, m int, c Compute) {
	if m < 1 {
		return
	}
	im := active.Load()
	fs, cuts, total := make([]forward, len(products)), make([]cut, len(products)), 0
	for i, p := range products {
		f := &fs[i]
		*f = forward{im: im, p: p.P, dst: p.Dst, x: p.X.F, half: p.Half, ldd: p.P.n, n1: p.P.n, tail: p.Tail}
		if p.Half != nil {
			f.ldd = pairStride(p.P.n)
		}
		if first := &fs[0]; i > 0 && first.x8 != nil && p.P.Blocks(c) {
			f.x8 = first.x8
		} else if s := f.round(p.X, m, c); s != nil {
			defer putScratch(s)
		}
		cuts[i] = f.heights().cut(m, f.panels(), f.p.k)
		total += cuts[i].items()
	}
	Parallel(total, func(i int) {
		for j := range fs {
			if n := cuts[j].items(); i >= n {
				i -= n
				continue
			}
			fs[j].run(cuts[j].bounds(i))
			return
		}
	})
}

func (p *Panels) checkTable() {
	if p.typ == PanelRows {
		panic("kernels: PanelRows are a table, of which no product is made")
	}
}

// pairStride is the distance of rows of k bf16: an odd number of cache lines, so that the rows of a tile do not fall on the
// same few sets of the cache.
func pairStride(k int) int { return ((k+31)/32 | 1) * 32 }

// pairsOf rounds x(m,k) to bf16 with rows ldx apart, an even number, padded with zeros.
func pairsOf(dst []uint16, ldx int, x []float32, lds, m, k int) {
	if k == ldx && lds == k {
		ranges(m*k, 1<<15, func(lo, hi int) { F32ToBF16(dst[lo:hi], x[lo:hi]) })
		return
	}
	step := max(1, (1<<15)/ldx)
	Parallel((m+step-1)/step, func(t int) {
		for i := t * step; i < min(m, t*step+step); i++ {
			d := dst[i*ldx:][:ldx]
			F32ToBF16(d[:k], x[i*lds:][:k])
			clear(d[k:])
		}
	})
}

// forward is one product with panels into dst, or half, rows ldd apart. xb is x in bf16, for the dot product; xi in integers, with steps; x8
// in blocks of integers.
type forward struct {
	im       *impl
	p        *Panels
	dst, x   []float32
	half     []uint16 // nil, or the result in bf16 instead of dst
	xb, xi   []uint16
	x8       []byte
	steps    []float32
	ldd, ldx int
	n0, n1   int
	acc      bool
	strips   bool // rows are multiplied in strips
	tail     Tail
}

func (f *forward) heights() heights {
	if f.x8 != nil {
		return f.im.blocks
	}
	return f.im.heights(f.xb != nil, f.xi != nil, f.strips, f.p.k)
}

// forwardDepth, pairDepth and intDepth bound the part of a panel that is read from the caches while rows pass: 96 KB in float32, 48 KB of
// pairs or integers. Sums are in float32 from one part to the next.
// expandDepth is the part of a quantised panel that is expanded at once for few rows: 32 KB. What runTailed does it does at one go.
const (
	forwardDepth = 768
	pairDepth    = 768
	intDepth     = 768
	expandDepth  = 256
)

// geluHalf has what an activation that is rounded to bf16 is computed by: x*logistic(x*q(t)) with t = min(x*x, the last number) and
// q(t) = a + b*t + c*t*t, the first three numbers being a, b and c times -log2(e). Phi(x), the normal distribution function, is
// within 3e-5/|x| of such a logistic one: GELU's absolute error is 3e-5 at most, by a fit of our own; the other is exact.
var geluHalf = [...][4]float32{
	ActGELU:     {-1.59501509 * math.Log2E, -0.0740120565 * math.Log2E, 0.000703194772 * math.Log2E, 40},
	ActGELUTanh: {-2 * 0.7978845608028654 * math.Log2E, -2 * 0.7978845608028654 * 0.044715 * math.Log2E, 0, 1e4},
}

// run computes rows [m0,m1) and panels [j0,j1), counted from n0.
func (f *forward) run(m0, m1, j0, j1 int) {
	s := getScratch()
	defer putScratch(s)
	ahead := 0
	if m1-m0 <= decodeRows && f.p.typ < PanelQ8 {
		ahead = f.im.ahead
	}
	tiles := f.heights().tiles(m1 - m0)
	depth := forwardDepth
	if f.xb != nil {
		depth = pairDepth
	}
	if f.xi != nil {
		depth = intDepth
	}
	if f.p.typ >= PanelQ8 && tiles == 1 && !f.strips {
		depth = expandDepth
	}
	if f.x8 != nil {
		depth = f.p.k
	}
	whole := f.half != nil || f.tail.Add != nil // the tile is not the result: its sums are made at one go
	if whole {
		depth = f.p.k
	}
	j0 = f.runTailed(s, m0, m1, j0, j1, ahead)
	j0 = f.runWide(s, m0, m1, j0, j1)
	chunks, panels := (f.p.k+depth-1)/depth, j1-j0
	for n := range chunks * panels {
		// many rows stay while panels pass; for few rows panels are read from end to end
		chunk, j := n%chunks, j0+n/chunks
		k0, k1 := chunk*depth, min(f.p.k, chunk*depth+depth)
		acc := f.acc || k0 > 0
		b := f.weights(s, f.p.panel(f.n0/32+j), k0, k1)
		w := min(32, f.n1-f.n0-32*j)
		v := f.lowPanel(s, j, w, k1)
		var next []float32
		if ahead == 0 && f.xb == nil {
			next = f.p.following(f.n0/32+j, k0, k1)
		}
		for t := range tiles {
			i := m0 + (m1-m0)*t/tiles
			mr := m0 + (m1-m0)*(t+1)/tiles - i
			to := fetching{ahead: ahead, next: next}
			if !f.strips {
				Fetch(next[len(next)*t/tiles : len(next)*(t+1)/tiles])
			}
			if whole {
				f.tile(mr, i, j, k0, k1, b, s.c[:], 32, false, v, fetching{ahead: ahead})
				f.tail.Low.add(f.im, false, mr, i, v, 32, s.c[:], 32)
				f.put(i, j, mr, s.c[:32*mr])
				continue
			}
			c := f.dst[i*f.ldd+32*j:]
			if ahead > 0 && tiles > 1 && f.xi != nil && f.im.intTail {
				to = sharedFetching(t, tiles, (k1-k0+1)/2)
			}
			if w == 32 {
				f.tile(mr, i, j, k0, k1, b, c, f.ldd, acc, v, to)
				f.finish(mr, i, j, k1 == f.p.k, v, c, f.ldd)
				continue
			}
			if acc {
				copyTile(s.c[:], 32, c, f.ldd, mr, w)
			}
			f.tile(mr, i, j, k0, k1, b, s.c[:], 32, acc, v, to)
			f.finish(mr, i, j, k1 == f.p.k, v, s.c[:], 32)
			copyTile(c, f.ldd, s.c[:], 32, mr, w)
		}
	}
}

// lowPanel is the low rank's panel j, (R,32), of which w columns count; nil where it is not added in float32, or not yet, after column k1.
func (f *forward) lowPanel(s *scratch, j, w, k1 int) []float32 {
	low := f.tail.Low
	if low == nil || low.Halves || k1 < f.p.k {
		return nil
	}
	v := s.extra(32 * low.R)
	packTransposed(f.im, v, 32, low.V[(f.n0+32*j)*low.R:], low.R, w, low.R)
	return v
}

// noBias is a bias that changes no bit: of -0.
var noBias = slices.Repeat([]float32{float32(math.Copysign(0, -1))}, 32)

// put writes what becomes of a whole tile of rows from i and panel j, whose low rank has been added.
func (f *forward) put(i, j, mr int, c []float32) {
	at, bias := i*f.ldd+32*j, noBias
	if f.tail.Bias != nil {
		bias = f.tail.Bias[f.n0+32*j:]
	}
	f.im.putRows(from(f.half, at), from(f.dst, at), from(f.tail.Add, at), f.ldd, mr, c, bias, f.tail.Act)
}

// putRows writes a tile's sums c(rows,32) plus bias to half in bf16, act of them, or unless there is one those plus add to dst; rows of
// each are ld apart.
func (im *impl) putRows(half []uint16, dst, add []float32, ld, rows int, c, bias []float32, act Activation) {
	switch {
	case half == nil:
		im.sumRows(dst, ld, rows, c, bias, add, ld)
	case act != NoActivation:
		im.geluRows(half, ld, rows, c, bias, &geluHalf[act])
	default:
		im.roundRows(half, ld, rows, c, bias)
	}
}

// following is what lies behind columns [k0,k1) of panel j, and as much: what is read next, and arrives while rows pass.
func (p *Panels) following(j, k0, k1 int) []float32 {
	if p.typ >= PanelQ8 {
		return nil
	}
	column := p.size / p.k // of a panel, or one less in pairs of an odd k
	from := min(len(p.f), j*p.size+k1*column)
	return p.f[from:min(len(p.f), from+(k1-k0)*column)]
}

// finish adds the tail to a tile whose product is done. v is the low rank's panel where it is in float32.
func (f *forward) finish(mr, i, j int, done bool, v, c []float32, ldc int) {
	if !done {
		return
	}
	f.tail.Low.add(f.im, f.xi != nil && f.im.intTail, mr, i, v, 32, c, ldc)
	if f.tail.Bias == nil {
		return
	}
	b := f.tail.Bias[f.n0+32*j:]
	if len(b) < 32 {
		var padded [32]float32
		copy(padded[:], b)
		b = padded[:]
	}
	f.im.addRows(c, ldc, mr, b[:32])
}

// addRowsEach adds x, 32 numbers, to each of some rows of c.
func (im *impl) addRowsEach(c []float32, ldc, rows int, x []float32) {
	for r := range rows {
		im.add(c[r*ldc:][:32], x)
	}
}

// add adds U's rows [i,i+mr) times v, a panel of V (R,32) with rows ldv apart, to the tile c, whose larger product is done, unless
// that product's tile has added it.
func (l *LowRank) add(im *impl, added bool, mr, i int, v []float32, ldv int, c []float32, ldc int) {
	if l == nil || added || l.Halves {
		return
	}
	im.column(mr, l.R, l.U[i*l.R:], l.R, v, ldv, c, ldc, true, nil)
}

// pairs is l for rows from i and panel j, where products multiply bf16; of no rank unless l is in it.
func (l *LowRank) pairs(i, j int) lowTile {
	if l == nil || !l.Halves {
		return lowTile{}
	}
	r, end := wholePairs(l.R), l.End
	if end == 0 {
		end = l.R
	}
	return lowTile{r: r, lo: l.First &^ 1, hi: (end + 1) &^ 1, ub: l.UB[i*r:], vb: l.VB[32*r*j:]}
}

// tile is l for rows from i, v as for add; of no rank without v, or where tileInt adds none.
func (l *LowRank) tile(im *impl, i int, v []float32, ldv int) lowTile {
	if v == nil || !im.intTail {
		return lowTile{}
	}
	return lowTile{r: l.R, ldv: ldv, u: l.U[i*l.R:], v: v}
}

// sharedFetching spreads the next panel over the tiles of this one, which are tile t of so many, each of kp pairs: memory is then read
// all the time, not only while the first tile of a panel waits for it.
func sharedFetching(t, tiles, kp int) fetching {
	const line, four = 128, 512 // bytes between a half panel's lines, and of four steps
	step := (4 + tiles - 1) / tiles * line
	return fetching{ahead: kp*line + t*(kp/4)*step, slow: four - step}
}

// weights is the part [k0,k1) of a panel in the form that tile reads; quantised ones, and bf16 for strips, are expanded into scratch.
func (f *forward) weights(s *scratch, panel []float32, k0, k1 int) []float32 {
	switch {
	case f.x8 != nil:
		return panel
	case f.p.typ == PanelF32:
		return panel[32*k0:]
	case f.p.typ == PanelBF16 && !f.strips, f.p.typ == PanelI16:
		return panel[16*k0:]
	}
	b := s.panel(unfolded(k0, k1))
	f.unfold(b, panel, k0, k1)
	return b
}

// unfolded is the room that unfold needs.
func unfolded(k0, k1 int) int { return (k1 - k0 + 1) / 2 * 64 }

// unfold expands the part [k0,k1) of a panel that is not kept as it is multiplied.
func (f *forward) unfold(b, panel []float32, k0, k1 int) {
	if f.p.typ == PanelBF16 {
		f.im.widenPairs(b, asU16(panel[16*k0:]), (k1-k0+1)/2)
		return
	}
	f.p.expand(f.im, b, panel, k0, k1, f.xb != nil)
}

// tile adds columns [k0,k1) of x times weights b of panel j; k0 is even.
func (f *forward) tile(mr, i, j, k0, k1 int, b, c []float32, ldc int, acc bool, v []float32, to fetching) {
	k := f.p.k
	switch {
	case f.x8 != nil:
		blocks := k / QuantBlock
		f.im.tileBlocks(f.p.typ == PanelQ4, mr, blocks, f.x8[i*blocks*rowBlock:], blocks*rowBlock, b, c, ldc, acc)
	case f.xi != nil:
		f.im.tileInt(mr, (k1-k0+1)/2, f.xi[i*f.ldx+k0:], f.ldx, asU16(b), c, ldc, acc, f.steps[i:], f.p.ints.step[f.n0+32*j:], to, f.tail.Low.tile(f.im, i, v, 32))
	case f.xb != nil:
		var low lowTile
		if k1 == k {
			low = f.tail.Low.pairs(i, f.n0/32+j)
		}
		f.im.tileDot(mr, (k1-k0+1)/2, f.xb[i*f.ldx+k0:], f.ldx, asU16(b), c, ldc, acc, to.ahead, low)
	case f.strips:
		f.im.column(mr, k1-k0, f.x[i*k+k0:], k, b, 32, c, ldc, acc, to.next)
	case f.p.typ == PanelBF16:
		f.im.tileBF(mr, k1-k0, f.x[i*k+k0:], k, asU16(b), c, ldc, acc, to.ahead)
	default:
		f.im.tile(mr, k1-k0, f.x[i*k+k0:], k, 1, b, 32, c, ldc, acc, to.ahead)
	}
}
