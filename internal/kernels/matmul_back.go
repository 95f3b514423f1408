package kernels

// MatMulBackward computes dx(m,K) = dy(m,N)·W, or adds it when acc is set, on all threads; a low rank, unless nil, adds
// U(m,R)·V with V (R,K).
func (p *Panels) MatMulBackward(dx []float32, dy Rows, m int, acc bool, c Compute, low *LowRank) {
	p.productBackward(dx, dy, p.n, m, 0, p.n, acc, c, low)
}

// MatMulBackwardRange is MatMulBackward with rows [n0,n1) of W only: dy(m,n1-n0) with rows ldy apart. n0 must be a
// multiple of 32.
func (p *Panels) MatMulBackwardRange(dx []float32, dy []float32, ldy int, m, n0, n1 int, acc bool, c Compute) {
	p.productBackward(dx, Rows{F: dy}, ldy, m, n0, n1, acc, c, nil)
}

// MatMulBackwardHalf is MatMulBackward with the result rounded to bf16 as HalfRows does: dx(m,K) is a Rows.B, and K a multiple of 32. It is
// for products that multiply pairs (Dots).
func (p *Panels) MatMulBackwardHalf(dx []uint16, dy Rows, m int, low *LowRank) {
	if !p.HasHalfBackward(BF16) {
		panic("kernels: MatMulBackwardHalf wants pairs of bf16, and columns of W in whole panels")
	}
	if m > 0 {
		b := &backward{im: active.Load(), p: p, half: dx, ldx: pairStride(p.k), n: p.n, m: m, low: low}
		b.start(dy, p.n, BF16)
	}
}

// HasHalfBackward reports whether MatMulBackwardHalf can be called at the active level, for arithmetic c.
func (p *Panels) HasHalfBackward(c Compute) bool {
	return p.Dots(c) && p.k%32 == 0 && p.n > 0 && p.k > 0
}

func (p *Panels) productBackward(dx []float32, dy Rows, ldy int, m, n0, n1 int, acc bool, c Compute, low *LowRank) {
	if n0%32 != 0 || n0 < 0 || n1 > p.n {
		panic("kernels: MatMulBackwardRange wants n0 to be a multiple of 32 within the rows")
	}
	if m < 1 || p.k == 0 {
		return
	}
	if n1 <= n0 {
		if !acc {
			clear(dx[:m*p.k])
		}
		return
	}
	b := &backward{im: active.Load(), p: p, dx: dx, ldx: p.k, n0: n0, n: n1 - n0, m: m, acc: acc, low: low}
	b.start(dy, ldy, c)
}

// start rounds dy, unless that was done, and runs the product on all threads.
func (b *backward) start(dy Rows, ldy int, c Compute) {
	p, m := b.p, b.m
	p.checkTable()
	b.dy, b.ldy = dy.F, ldy
	switch {
	case p.Ints():
		s := getScratch()
		defer putScratch(s)
		b.ldb = pairStride(b.n)
		b.yi, b.steps = s.intsAndSteps(m, b.n)
		p.intsOf(b.yi, b.ldb, b.steps, dy.F, ldy, m, b.n0, b.n)
	case p.Dots(c):
		b.yb, b.ldb = dy.B, pairStride(b.n)
		if b.yb == nil {
			s := getScratch()
			defer putScratch(s)
			b.yb = asU16(s.extra(m * b.ldb / 2))
			pairsOf(b.yb, b.ldb, dy.F, ldy, m, b.n)
		}
	}
	if b.kept() != nil {
		sumKept([]*backward{b})
		return
	}
	b.strips = b.im.strips(b.yb != nil, b.yi != nil, m)
	blocks := (p.k + 31) / 32
	t := Threads()
	group, unit := backGroup, 1
	if b.strips {
		if n := b.heights().together(); blocks >= n*t {
			group, unit = 1, n
		}
	}
	units := (blocks + unit - 1) / unit
	items := (units + group - 1) / group
	items = min(units, (items+t-1)/t*t)
	at := func(i int) int { return min(blocks, units*i/items*unit) }
	Parallel(items, func(i int) { b.run(at(i), at(i+1)) })
}

// Term is one of the products of a sum: dy(m,N) in bf16, as HalfRows makes it, and the W of N rows that it meets.
type Term struct {
	P  *Panels
	DY []uint16
}

// MatMulBackwardSum computes dx(m,K) = or += the sum of dy·W over terms, one after another, and the low rank with the last; W are such that products
// multiply pairs (Dots).
func MatMulBackwardSum(dx []float32, terms []Term, m int, acc bool, low *LowRank) {
	if m < 1 || len(terms) == 0 {
		return
	}
	bs, kept := make([]*backward, len(terms)), true
	for i, t := range terms {
		bs[i] = &backward{im: active.Load(), p: t.P, dx: dx, ldx: t.P.k, n: t.P.n, m: m, acc: acc || i > 0, yb: t.DY, ldb: pairStride(t.P.n)}
		if i == len(terms)-1 {
			bs[i].low = low
		}
		kept = kept && bs[i].kept() != nil
	}
	if kept {
		sumKept(bs)
		return
	}
	for i, b := range bs {
		b.start(Rows{B: terms[i].DY}, b.n, BF16)
	}
}

// sumKept is the sum of products whose panels KeepBackward made. All of them take a block of rows before the next one, whose sums are still in the second
// cache when a product adds to those of the one before.
func sumKept(bs []*backward) {
	first, deep := bs[0], 0
	for _, b := range bs {
		deep = max(deep, b.n)
	}
	blocks := first.p.k / 32
	pieces := min(blocks, 4*Threads())
	first.im.heights(true, false, false, deep).each(first.m, func(m0, m1 int) {
		for _, b := range bs {
			made := b.kept()
			Parallel(pieces, func(i int) {
				s := getScratch()
				defer putScratch(s)
				j0, j1 := blocks*i/pieces, blocks*(i+1)/pieces
				b.runTailed(s, m0, m1, j0, j1, made[16*b.n*j0:], 16*b.n, 0, b.n)
			})
		}
	})
}

// backward is one product with the transpose of panels. Its panels (32 columns of W, all its rows) are made on the
// way: 32x32 blocks of W are transposed into scratch. Rows of dx, or of half, its result in bf16, are ldx apart. yb is dy in
// bf16, for the dot product; yi dy times the steps of W's rows in integers, with steps.
type backward struct {
	im       *impl
	p        *Panels
	dx, dy   []float32
	half     []uint16
	yb, yi   []uint16
	steps    []float32
	ldy, ldb int
	ldx      int
	n0, n, m int
	acc      bool
	strips   bool // rows are multiplied in strips
	low      *LowRank
}

const (
	backGroup = 3    // blocks of 32 columns that are made at once, so that dy is read fewer times; for strips one, which stays near
	turnAhead = 128  // rows of W between the block that is turned and the one that is fetched meanwhile
	backDepth = 1536 // rows of W in them: 3 blocks are 600 KB in f32, and the sums of most products are made at one go
)

// KeepBackward makes the panels that backward products in arithmetic c read, once for all, in as much memory again. It does so for bf16
// in whole blocks only.
func (p *Panels) KeepBackward(c Compute) {
	if p.back != nil || p.typ != PanelBF16 || !p.Dots(c) || p.n%32 > 0 || p.k%32 > 0 || p.n == 0 || p.k == 0 {
		return
	}
	size := p.n * 16
	back := allocShared(p.k / 32 * size)
	b := &backward{im: active.Load(), p: p, n: p.n, yb: []uint16{}}
	Parallel(p.k/32, func(j int) {
		s := getScratch()
		defer putScratch(s)
		b.make(s, back[j*size:][:size], j, 0, p.n)
	})
	p.back = back
}

// DropBackward gives back what KeepBackward made.
func (p *Panels) DropBackward() { p.back = nil }

// kept is what KeepBackward made, nil where that cannot be used.
func (b *backward) kept() []float32 {
	if b.yb == nil || b.n != b.p.n || !tails(b.n, b.low) {
		return nil
	}
	return b.p.back
}

// run computes columns [32*j0,32*j1) of dx.
func (b *backward) run(j0, j1 int) {
	s := getScratch()
	defer putScratch(s)
	depth := backDepth
	if b.half != nil { // sums are made at one go
		depth = wholePairs(b.n)
	}
	size := depth * 32
	if b.pairs() {
		size /= 2
	}
	if b.yi != nil {
		depth, size = 2*depth, 2*size
	}
	made := s.panel((j1 - j0) * size)
	for l0 := 0; l0 < b.n; l0 += depth {
		l1 := min(b.n, l0+depth)
		for j := j0; j < j1; j++ {
			b.make(s, made[(j-j0)*size:][:size], j, l0, l1)
		}
		b.products(s, j0, j1, made, size, l0, l1)
	}
}

// products multiplies rows [l0,l1) of W, whose columns [32*j0,32*j1) were made, size floats for 32 of them.
func (b *backward) products(s *scratch, j0, j1 int, made []float32, size, l0, l1 int) {
	b.heights().each(b.m, func(m0, m1 int) {
		j := b.runTailed(s, m0, m1, j0, j1, made, size, l0, l1)
		for j = b.runWide(m0, m1, j, j1, made, size, l0, l1); j < j1; j++ {
			b.rows(s, m0, m1, made[(j-j0)*size:], j, l0, l1)
		}
	})
}

func (b *backward) heights() heights {
	return b.im.heights(b.yb != nil, b.yi != nil, b.strips, min(b.n, backDepth))
}

// pairs reports whether the panels that are made hold pairs of 16 bits along W's rows.
func (b *backward) pairs() bool { return b.yb != nil || b.yi != nil }

func (b *backward) rows(s *scratch, m0, m1 int, made []float32, j, l0, l1 int) {
	k := b.p.k
	w := min(32, k-32*j)
	acc := b.acc || l0 > 0
	var v []float32 // of the low rank, rows ldv apart
	ldv := k
	if b.low != nil && !b.low.Halves && l1 == b.n {
		v = b.low.V[32*j:]
		if w < 32 {
			v, ldv = s.extra(32*b.low.R), 32
			packRows(v, 32, b.low.V[32*j:], k, w, b.low.R)
		}
	}
	tiles := b.heights().tiles(m1 - m0)
	for t := range tiles {
		i := m0 + (m1-m0)*t/tiles
		mr := m0 + (m1-m0)*(t+1)/tiles - i
		at := i*b.ldx + 32*j
		c, ldc := s.c[:], 32
		if b.half == nil && w == 32 {
			c, ldc = b.dx[at:], b.ldx
		} else if acc {
			copyTile(c, ldc, b.dx[at:], b.ldx, mr, w)
		}
		switch {
		case b.yi != nil:
			b.im.tileInt(mr, (l1-l0+1)/2, b.yi[i*b.ldb+l0:], b.ldb, asU16(made), c, ldc, acc, b.steps[i:], ones[:], fetching{}, b.low.tile(b.im, i, v, ldv))
		case b.yb != nil:
			var low lowTile
			if l1 == b.n {
				low = b.low.pairs(i, j)
			}
			b.im.tileDot(mr, (l1-l0+1)/2, b.yb[i*b.ldb+l0:], b.ldb, asU16(made), c, ldc, acc, 0, low)
		case b.strips:
			b.im.column(mr, l1-l0, b.dy[i*b.ldy+l0:], b.ldy, made, 32, c, ldc, acc, nil)
		default:
			b.im.tile(mr, l1-l0, b.dy[i*b.ldy+l0:], b.ldy, 1, made, 32, c, ldc, acc, 0)
		}
		if l1 == b.n {
			b.low.add(b.im, b.yi != nil && b.im.intTail, mr, i, v, ldv, c, ldc)
		}
		if b.half != nil {
			b.im.roundRows(b.half[at:], b.ldx, mr, c[:32*mr], noBias)
		} else if w < 32 {
			copyTile(b.dx[at:], b.ldx, c, ldc, mr, w)
		}
	}
}

// make writes W[n0+l0:n0+l1, 32*j:32*j+32] as [l][32] float32 or, where pairs are multiplied, [l/2][32][2] of 16 bits. l0 is a multiple
// of 32. Columns beyond K become zero.
func (b *backward) make(s *scratch, dst []float32, j, l0, l1 int) {
	size := 32
	if b.pairs() {
		size = 16
	}
	wide := s.c[: 32*32 : 32*32] // a block of a quantised panel
	for l := l0; l < l1; l += 32 {
		panel := b.p.panel((b.n0 + l) / 32)
		d := dst[(l-l0)*size:][:32*size]
		switch {
		case b.p.typ == PanelF32:
			b.turnF32(d, panel[32*j*32:])
			continue
		case b.p.typ < PanelQ8 && b.pairs() && 32*j+32 <= b.p.k:
			if ahead := l + turnAhead; ahead < l1 { // blocks lie far apart: nothing else would fetch them
				Fetch(b.p.panel((b.n0 + ahead) / 32)[16*j*32:][:16*32])
			}
			b.im.turnBlock(asU16(d), asU16(panel[16*j*32:]))
			continue
		case b.p.typ == PanelBF16 || b.p.typ == PanelI16:
			b.turnBF16(s.block[:], panel[16*j*32:])
		case b.yb == nil:
			b.p.expand(b.im, wide, panel, 32*j, 32*j+32, false)
			b.turnF32(d, wide)
			continue
		default:
			b.p.expand(b.im, wide, panel, 32*j, 32*j+32, false)
			turned := s.c[32*32 : 2*32*32]
			b.turnF32(turned, wide)
			b.im.toBF(u32AsU16(s.block[:]), turned, 1)
		}
		rows := u32AsU16(s.block[:])
		if !b.pairs() {
			b.im.fromBF(d, rows)
		} else {
			b.im.interleave(asU16(d), rows)
		}
	}
}

// turnBlockGeneric turns pairs along columns, [column/2][row][2] of 32 rows and columns, into pairs along rows, [row/2][column][2].
func turnBlockGeneric(dst, src []uint16) {
	for r := range 32 {
		for c := range 32 {
			dst[r/2*64+2*c+r&1] = src[c/2*64+2*r+c&1]
		}
	}
}

// turnF32 is the transpose of src, columns of W as [..32][32] float32, 32 of them or what is left of K.
func (b *backward) turnF32(dst, src []float32) {
	if w := len(src) / 32; w < 32 {
		for r := range 32 {
			e := dst[r*32:][:32]
			for c := range w {
				e[c] = src[c*32+r]
			}
			clear(e[w:])
		}
		return
	}
	for h := range 2 {
		b.im.transpose16(asU32(dst[16*h:]), 32, asU32(src[16*h*32:]), 32, 2)
	}
}

// turnBF16 writes 32 rows of 32 bf16 from src, pairs of columns of W, 16 of them or what is left of K.
func (b *backward) turnBF16(rows []uint32, src []float32) {
	q := asU32(src)
	if len(q) >= 16*32 {
		b.im.transpose16(rows, 16, q, 32, 2)
		return
	}
	clear(rows)
	for c := range len(q) / 32 {
		for r := range 32 {
			rows[r*16+c] = q[c*32+r]
		}
	}
}
