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
	mStep, nStep := split(m, (n+31)/32, g.im.mc, k)
	nStep *= 32
	mi, ni := (m+mStep-1)/mStep, (n+nStep-1)/nStep
	Parallel(mi*ni, func(i int) {
		m0, n0 := i%mi*mStep, i/mi*nStep
		g.run(m0, min(m, m0+mStep), n0, min(n, n0+nStep))
	})
}

// GemmSerial is Gemm on the caller's goroutine alone.
func GemmSerial(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	newGemm(transA, transB, n, k, a, lda, b, ldb, c, ldc, acc).run(0, m, 0, n)
}

// split cuts m rows and n panels of 32 columns into items for the threads: blocks of mc rows, and fewer panels an
// item until there are enough items to balance. A product too small to share is one item.
func split(m, panels, mc, k int) (mStep, nStep int) {
	t := Threads()
	if m < 1 || panels < 1 {
		return 1, 1
	}
	if t < 2 || m*panels*32*k < 1<<16 {
		return m, panels
	}
	blocks := (m + mc - 1) / mc
	mStep = (m + blocks - 1) / blocks
	if blocks >= 4*t {
		return mStep, panels
	}
	pieces := min(panels, (4*t+blocks-1)/blocks)
	return mStep, (panels + pieces - 1) / pieces
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

// kBlock bounds the panel rows held in scratch: 256 KB for 32 columns.
const kBlock = 2048

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
	for k0 := 0; k0 < g.k; k0 += kBlock {
		k1 := min(g.k, k0+kBlock)
		acc := g.acc || k0 > 0
		for j := n0; j < n1; j += 32 {
			w := min(32, n1-j)
			wide := 32
			if w <= 16 {
				wide = 16
			}
			var b []float32
			ldb := wide
			switch {
			case g.transB:
				b = s.panel((k1 - k0) * wide)
				packTransposed(g.im, b, wide, g.b[j*g.ldb+k0:], g.ldb, w, k1-k0)
			case w == wide && (m1-m0 < 4*g.im.mr || g.ldb <= 128):
				b, ldb = g.b[k0*g.ldb+j:], g.ldb
			default:
				b = s.panel((k1 - k0) * wide)
				packRows(b, wide, g.b[k0*g.ldb+j:], g.ldb, w, k1-k0)
			}
			g.rows(s, m0, m1, k0, k1, b, ldb, j, w, wide, acc)
		}
	}
}

// rows multiplies rows [m0,m1) of a with one panel of wide columns, of which w count.
func (g *gemm) rows(s *scratch, m0, m1, k0, k1 int, b []float32, ldb, j, w, wide int, acc bool) {
	tile := g.im.tile
	if wide == 16 {
		tile = g.im.tile16
	}
	tiles := (m1 - m0 + g.im.mr - 1) / g.im.mr
	for t := range tiles {
		i := m0 + (m1-m0)*t/tiles
		mr := m0 + (m1-m0)*(t+1)/tiles - i
		a, c := g.a[i*g.ars+k0*g.acs:], g.c[i*g.ldc+j:]
		if w == wide {
			tile(mr, k1-k0, a, g.ars, g.acs, b, ldb, c, g.ldc, acc, 0)
			continue
		}
		if acc {
			copyTile(s.c[:], wide, c, g.ldc, mr, w)
		}
		tile(mr, k1-k0, a, g.ars, g.acs, b, ldb, s.c[:], wide, acc, 0)
		copyTile(c, g.ldc, s.c[:], wide, mr, w)
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
	if j == wide {
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
