package kernels

// Gemm computes c(m,n) = op(a)·op(b), or adds it to c when acc is set, on all threads. Leading dimensions are in
// elements.
//
//	transA false: a is (m,k), element (i,l) at a[i*lda+l];  true: a is stored (k,m), at a[l*lda+i]
//	transB false: b is (k,n), element (l,j) at b[l*ldb+j];  true: b is stored (n,k), at b[j*ldb+l]
//
// c must not overlap a or b.
func Gemm(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	g := newGemm(transA, transB, n, k, a, lda, b, ldb, c, ldc, acc)
	g.im.rows.share(m, (n+31)/32, k, func(m0, m1, j0, j1 int) { g.run(m0, m1, 32*j0, min(n, 32*j1)) })
}

// GemmSerial is Gemm on the caller's goroutine alone.
func GemmSerial(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	newGemm(transA, transB, n, k, a, lda, b, ldb, c, ldc, acc).run(0, m, 0, n)
}

// GemmPanels computes c(m, 32*panels) = a(m,k)·b on the caller's goroutine, b being panels of 32 columns one after another, each
// (k,32). c's rows are ldc apart, a's lda. The bits are those of Gemm.
func GemmPanels(m, panels, k int, a []float32, lda int, b []float32, c []float32, ldc int) {
	im := active.Load()
	p := 0
	for ; p+2 <= panels && im.pays(m); p += 2 {
		im.wide(m, k, a, lda, b[p*k*32:], k*32, c[32*p:], ldc, false, nil)
	}
	for ; p < panels; p++ {
		im.column(m, k, a, lda, b[p*k*32:], 32, c[32*p:], ldc, false, nil)
	}
}

// PackColumns packs rows x(n,k), ldx apart, as the panels of xᵀ that GemmPanels reads: rows 32p to 32p+32 become (k,32), with
// zeros for rows beyond n.
func PackColumns(dst, x []float32, ldx, n, k int) {
	im := active.Load()
	for i := 0; i < n; i += 32 {
		packTransposed(im, dst[i*k:][:32*k], 32, x[i*ldx:], ldx, min(32, n-i), k)
	}
}

// column computes c(m,32) = or += a(m,k)·b(k,32), any number of rows, in tiles or in strips, which fetch next meanwhile.
func (im *impl) column(m, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool, next []float32) {
	done := 0
	if tiles := m / stripRows; im.strip != nil && ldb == 32 && tiles > 0 {
		im.strip(tiles, k, a, lda, b, c, ldc, acc, next)
		done = tiles * stripRows
	}
	tiles := im.rows.tiles(m - done)
	for t := range tiles {
		i := done + (m-done)*t/tiles
		im.tile(done+(m-done)*(t+1)/tiles-i, k, a[i*lda:], lda, 1, b, ldb, c[i*ldc:], ldc, acc, 0)
	}
}

type gemm struct {
	im                 *impl
	k                  int
	a, b, c            []float32
	ars, acs, ldb, ldc int
	transB, acc        bool
}

func newGemm(transA, transB bool, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) *gemm {
	g := &gemm{im: active.Load(), k: k, a: a, b: b, c: c, ars: lda, acs: 1, ldb: ldb, ldc: ldc, transB: transB, acc: acc}
	if transA {
		g.ars, g.acs = 1, lda
	}
	return g
}

const (
	kBlock = 768 // depth of packed blocks: with 8 panels of 32 columns 768 KB
	jGroup = 8   // panels packed at once
	// readDepth is how many rows of b are read before c, a few rows, is visited again: b is then read nearly in order.
	readDepth = 64
)

// run computes rows [m0,m1) and columns [n0,n1).
func (g *gemm) run(m0, m1, n0, n1 int) {
	if m0 >= m1 || n0 >= n1 {
		return
	}
	if g.k == 0 {
		if !g.acc {
			for i := m0; i < m1; i++ {
				clear(g.c[i*g.ldc+n0 : i*g.ldc+n1])
			}
		}
		return
	}
	s := getScratch()
	defer putScratch(s)
	if g.acs > 1 && !g.transB && n1-n0 <= 16 && m1-m0 > 32 {
		g.runTurned(s, m0, m1, n0, n1)
		return
	}
	var packed [jGroup]panel
	depth := kBlock
	if g.acs > 1 && !g.transB && m1-m0 <= 16 {
		depth = readDepth
	}
	for k0 := 0; k0 < g.k; k0 += depth {
		k1 := min(g.k, k0+depth)
		for j0 := n0; j0 < n1; j0 += 32 * jGroup {
			group := packed[:(min(n1-j0, 32*jGroup)+31)/32]
			for p := range group {
				group[p] = g.pack(s, p, len(group), m1-m0, k0, k1, j0+32*p, min(n1, j0+32*p+32))
			}
			g.im.rows.each(m1-m0, func(i0, i1 int) {
				i0, i1 = m0+i0, m0+i1
				a, ars, acs := g.a[i0*g.ars+k0*g.acs:], g.ars, g.acs
				if acs > 1 && (len(group) > 1 || acs > 1024) && i1-i0 >= 16 {
					// columns far apart: turn the block once for all panels
					ars, acs = (k1-k0+15)&^15, 1
					turned := s.extra((i1 - i0 + 15) &^ 15 * ars)
					packTransposed(g.im, turned, ars, a, g.acs, k1-k0, i1-i0)
					a = turned
				}
				for p := 0; p < len(group); p++ {
					c, acc := g.c[i0*g.ldc+group[p].j:], g.acc || k0 > 0
					if acs == 1 && p+1 < len(group) && group[p].packed() && group[p+1].packed() && g.im.pays(i1-i0) {
						g.im.wide(i1-i0, k1-k0, a, ars, group[p].b, 32*kBlock, c, g.ldc, acc, nil)
						p++
						continue
					}
					g.rows(s, i1-i0, a, ars, acs, k1-k0, &group[p], c, acc)
				}
			})
		}
	}
}

// panel is what a tile reads of b: wide columns, of which w count, from column j of c.
type panel struct {
	b               []float32
	ldb, j, w, wide int
}

// packed reports whether all of 32 columns were packed: what pack points into has only one panel of b where rows are 32 apart.
func (p *panel) packed() bool { return p.w == 32 && p.ldb == 32 }

// pack makes panel p of a group for columns [j0,j1), or points into b where few rows would not repay the copy.
func (g *gemm) pack(s *scratch, p, group, rows, k0, k1, j0, j1 int) panel {
	q := panel{j: j0, w: j1 - j0, wide: 32, ldb: 32}
	switch {
	case q.w <= 8 && g.acs == 1 && g.im.tile8 != nil:
		q.wide, q.ldb = 8, 8
	case q.w <= 16:
		q.wide, q.ldb = 16, 16
	}
	if !g.transB && q.w == q.wide && (rows < 4*g.im.rows.tile || g.ldb <= 128) {
		q.b, q.ldb = g.b[k0*g.ldb+j0:], g.ldb
		return q
	}
	q.b = s.panel(group * 32 * kBlock)[p*32*kBlock:]
	if g.transB {
		packTransposed(g.im, q.b, q.wide, g.b[j0*g.ldb+k0:], g.ldb, q.w, k1-k0)
	} else {
		packRows(q.b, q.wide, g.b[k0*g.ldb+j0:], g.ldb, q.w, k1-k0)
	}
	return q
}

// runTurned computes cᵀ = bᵀ·a for a stored (k,m) and at most 16 columns of c, as the gradient of a low-rank factor has: a is
// then read in rows, once. Products commute and the order of k stays, so the bits are those of run.
func (g *gemm) runTurned(s *scratch, m0, m1, n0, n1 int) {
	const depth = 128 // rows of a, each on its own pages, between two visits to the same tile
	w, ld := n1-n0, (m1-m0+31)&^31
	ct := s.panel(w * ld)
	if g.acc {
		for i := m0; i < m1; i++ {
			for j := range w {
				ct[j*ld+i-m0] = g.c[i*g.ldc+n0+j]
			}
		}
	}
	lda := g.acs
	for k0 := 0; k0 < g.k; k0 += depth {
		k1 := min(g.k, k0+depth)
		acc := g.acc || k0 > 0
		for i := m0; i < m1; i += 32 {
			b, ldb := g.a[k0*lda+i:], lda
			if m1-i < 32 {
				b, ldb = s.extra(depth*32), 32
				packRows(b, 32, g.a[k0*lda+i:], lda, m1-i, k1-k0)
			}
			tiles := g.im.rows.tiles(w)
			for t := range tiles {
				j := w * t / tiles
				g.im.tile(w*(t+1)/tiles-j, k1-k0, g.b[k0*g.ldb+n0+j:], 1, g.ldb, b, ldb, ct[j*ld+i-m0:], ld, acc, 0)
			}
		}
	}
	for i := m0; i < m1; i++ {
		for j := range w {
			g.c[i*g.ldc+n0+j] = ct[j*ld+i-m0]
		}
	}
}

// rows multiplies m rows of a with a panel of depth k into c.
func (g *gemm) rows(s *scratch, m int, a []float32, ars, acs, k int, p *panel, c []float32, acc bool) {
	if p.w == 32 && acs == 1 {
		g.im.column(m, k, a, ars, p.b, p.ldb, c, g.ldc, acc, nil)
		return
	}
	tile, h := g.im.tile, g.im.rows
	switch p.wide {
	case 8:
		h.tile = narrowRows
		tile = func(mr, k int, a []float32, ars, _ int, b []float32, ldb int, c []float32, ldc int, acc bool, _ int) {
			g.im.tile8(mr, k, a, ars, b, ldb, c, ldc, acc)
		}
	case 16:
		tile = g.im.tile16
	}
	tiles := h.tiles(m)
	for t := range tiles {
		i := m * t / tiles
		mr := m*(t+1)/tiles - i
		if p.w == p.wide {
			tile(mr, k, a[i*ars:], ars, acs, p.b, p.ldb, c[i*g.ldc:], g.ldc, acc, 0)
			continue
		}
		if acc {
			copyTile(s.c[:], p.wide, c[i*g.ldc:], g.ldc, mr, p.w)
		}
		tile(mr, k, a[i*ars:], ars, acs, p.b, p.ldb, s.c[:], p.wide, acc, 0)
		copyTile(c[i*g.ldc:], g.ldc, s.c[:], p.wide, mr, p.w)
	}
}

func copyTile(dst []float32, ldd int, src []float32, lds, rows, cols int) {
	for i := range rows {
		copy(dst[i*ldd:][:cols], src[i*lds:][:cols])
	}
}

// packRows copies b(k,w) into dst(k,wide), zeros to the right.
func packRows(dst []float32, wide int, b []float32, ldb, w, k int) {
	for l := range k {
		d := dst[l*wide:][:wide]
		clear(d[copy(d, b[l*ldb:][:w]):])
	}
}

// packTransposed writes the transpose of b(w,k) into dst(k,wide), zeros to the right.
func packTransposed(im *impl, dst []float32, wide int, b []float32, ldb, w, k int) {
	blocks := k / 16
	j := 0
	for ; j+16 <= w && blocks > 0; j += 16 {
		im.transpose16(asU32(dst[j:]), wide, asU32(b[j*ldb:]), ldb, blocks)
		for l := 16 * blocks; l < k; l++ {
			for i := j; i < j+16; i++ {
				dst[l*wide+i] = b[i*ldb+l]
			}
		}
	}
	switch {
	case j == wide:
		return
	case k == 8 && w == wide: // a low-rank factor of the common rank
		for i := j; i < w; i++ {
			row, d := b[i*ldb:][:8], dst[i:][:7*wide+1]
			d[0], d[wide], d[2*wide], d[3*wide] = row[0], row[1], row[2], row[3]
			d[4*wide], d[5*wide], d[6*wide], d[7*wide] = row[4], row[5], row[6], row[7]
		}
		return
	case w == 8 && wide == 8: // the other one
		b0, b1, b2, b3 := b[:k], b[ldb:][:k], b[2*ldb:][:k], b[3*ldb:][:k]
		b4, b5, b6, b7 := b[4*ldb:][:k], b[5*ldb:][:k], b[6*ldb:][:k], b[7*ldb:][:k]
		for l := range k {
			d := dst[8*l:][:8]
			d[0], d[1], d[2], d[3] = b0[l], b1[l], b2[l], b3[l]
			d[4], d[5], d[6], d[7] = b4[l], b5[l], b6[l], b7[l]
		}
		return
	}
	for l := range k {
		d := dst[l*wide:][:wide]
		for i := j; i < w; i++ {
			d[i] = b[i*ldb+l]
		}
		clear(d[w:])
	}
}
