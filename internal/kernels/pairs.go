package kernels

import (
	"slices"
	"unsafe"
)

// This file owns products of two operands that both change, with bf16 pairs: those of attention. Operands are packed by
// the caller, who reads them several times; sums are in float32, in the order of the products with frozen weights.

// PairBlock is how many numbers of the inner dimension a bf16 product adds at once. Operands padded with zeros to a
// multiple of it give the same bits however much padding there is.
const PairBlock = 32

// wholePairs is n rounded up to whole blocks.
func wholePairs(n int) int { return (n + PairBlock - 1) / PairBlock * PairBlock }

// DotsPairs reports whether products at the active level may multiply bf16 pairs (Compute BF16).
func DotsPairs() bool { return active.Load().tileDot != nil }

// Halves sees memory of float32 as bf16, two for each.
func Halves(x []float32) []uint16 { return asU16(x[:cap(x)])[:2*len(x)] }

// Floats is the inverse of Halves; it has the capacity of what Halves was given.
func Floats(x []uint16) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(x))), cap(x)/2)
}

// GemmPairs computes c(m, 32*panels) = or += a(m, k)·b on the caller's goroutine. a is bf16 with rows lda apart; b is panels
// of 32 columns one after another, step numbers apart, each [k/2][32][2] bf16. k is a multiple of PairBlock.
func GemmPairs(m, panels, k int, a []uint16, lda int, b []uint16, step int, c []float32, ldc int, acc bool) {
	if m < 1 || k < PairBlock {
		panic("kernels: GemmPairs wants rows, and k to be a multiple of PairBlock")
	}
	active.Load().panelsDot(m, panels, k/2, a, lda, b, step, c, ldc, acc)
}

// MatMulPairs computes c(m, 32*panels) = or += a·b on all threads, a being Rows.B of k numbers each and b panels of k, a multiple of
// PairBlock, whose columns from the used-th on are zeros.
func MatMulPairs(c []float32, m, panels, k, used int, a, b []uint16, acc bool) {
	im := active.Load()
	ld := pairStride(k)
	step := 2 * maxTile
	Parallel((m+step-1)/step, func(i int) {
		i *= step
		if n := min(step, m-i); panels == 1 && used <= 16 {
			im.slimDot(n, k/2, a[i*ld:], ld, b, c[i*32:], 32, acc)
		} else {
			GemmPairs(n, panels, k, a[i*ld:], ld, b, 32*k, c[i*32*panels:], 32*panels, acc)
		}
	})
}

// PairColumns packs rows x(n, k), ldx apart, as the panels of xᵀ: rows 32p to 32p+32 become [k/2][32][2], 32*k numbers a panel. Rows
// beyond n are zeros; k and ldx are even.
func PairColumns(dst, x []uint16, ldx, n, k int) {
	im := active.Load()
	for i := 0; i < n; i += 32 {
		d := dst[i*k:][:32*k]
		if n-i < 32 {
			s := getScratch()
			whole := asU16(s.panel(16 * k))
			clear(whole[:32*k])
			for r := range n - i {
				copy(whole[r*k:][:k], x[(i+r)*ldx:])
			}
			turnPairs(im, d, 32, whole, k, k)
			putScratch(s)
			continue
		}
		turnPairs(im, d, 32, x[i*ldx:], ldx, k)
	}
}

// turnPairs writes the transpose of 32 rows of k/2 pairs, ldx numbers apart, rows of dst ldd pairs apart; k/2 is a multiple of 16.
func turnPairs(im *impl, dst []uint16, ldd int, x []uint16, ldx, k int) {
	for h := range 2 {
		im.transpose16(u16AsU32(dst[32*h:]), ldd, u16AsU32(x[16*h*ldx:]), ldx/2, k/32)
	}
}

// PairRows packs rows x(n, w), ldx apart, as panels of 32 columns [k/2][32][2], step numbers apart, k being n padded with zero rows to a
// multiple of PairBlock. w is a multiple of 32.
func PairRows(dst []uint16, step int, x []uint16, ldx, n, w int) {
	im := active.Load()
	s := getScratch()
	defer putScratch(s)
	for r := 0; r < n; r += 32 {
		for p := 0; p < w/32; p++ {
			im.pairBlock(s, dst[p*step+r*32:], x[r*ldx+32*p:], min(32, n-r), ldx)
		}
	}
}

// pairBlock makes [16][32][2] of 32 columns of n rows, ldx apart, and zeros for the rows after them.
func (im *impl) pairBlock(s *scratch, dst, x []uint16, n, ldx int) {
	if n == 32 && im.pairRows != nil {
		im.pairRows(dst, x, ldx, 16)
		return
	}
	block := u32AsU16(s.block[:])
	gatherBlock(block, x, n, ldx)
	im.interleave(dst[:32*32], block)
}

// RoundTile rounds c(rows,32) to bf16, rows of dst ldd apart, at levels that multiply pairs (DotsPairs).
func RoundTile(dst []uint16, ldd, rows int, c []float32) {
	active.Load().roundRows(dst, ldd, rows, c, noBias)
}

// AddOuterPairs adds rows of uᵀ·x, from the first on, to the gradient of a low rank's factor on all threads: element j of row i to g[i][j*col],
// unless g[i] is nil. u(m, wide), wide a multiple of PairBlock, and x(m,w) are bf16, x a Rows.B, w a multiple of 32.
func AddOuterPairs(g [][]float32, col int, u []uint16, wide, first int, x []uint16, m, w int) {
	if m < 1 || !slices.ContainsFunc(g, func(to []float32) bool { return to != nil }) {
		return
	}
	im := active.Load()
	deep, r := wholePairs(m), len(g)
	shared := getScratch()
	defer putScratch(shared)
	ld := deep + PairBlock // not a power of two apart
	turned := asU16(shared.extra(wide * ld / 2))
	PairTranspose(turned, ld, u, wide, m, wide)
	turned = turned[first*ld:]
	ldx := pairStride(w)
	if im.outer != nil {
		im.outer(g, col, turned, ld, x, ldx, m, w)
		return
	}
	const group = 4 // panels an item
	Parallel((w/32+group-1)/group, func(item int) {
		s := getScratch()
		defer putScratch(s)
		from := item * group
		n := min(group, w/32-from)
		b := asU16(s.panel(n * 16 * deep))
		for i := 0; i < m; i += 32 {
			for j := range n { // side by side: lines of x that follow each other
				im.pairBlock(s, b[32*(j*deep+i):], x[i*ldx+32*(from+j):], min(32, m-i), ldx)
			}
		}
		for i := 0; i < r; i += 32 {
			rows := g[i:min(r, i+32)]
			c := s.c[:len(rows)*32*n]
			GemmPairs(len(rows), n, deep, turned[i*ld:], ld, b, 32*deep, c, 32*n, false)
			addOuter(rows, 32*from, col, c, 32*n)
		}
	})
}

// addOuter adds c, rows of w, to columns of g from the given one on.
func addOuter(g [][]float32, from, col int, c []float32, w int) {
	if col == 1 {
		for i, to := range g {
			if to != nil {
				Add(to[from:][:w], c[i*w:][:w])
			}
		}
		return
	}
	for j := range w { // elements of a column are side by side in g
		for i, to := range g {
			if to != nil {
				to[(from+j)*col] += c[i*w+j]
			}
		}
	}
}

// PairTranspose writes xᵀ in bf16: dst(w, k) with rows ldd apart, k being n padded with zeros to a multiple of PairBlock, for
// x(n, w) in bf16 with rows ldx apart. w is a multiple of 32, ldd even.
func PairTranspose(dst []uint16, ldd int, x []uint16, ldx, n, w int) {
	im := active.Load()
	s := getScratch()
	defer putScratch(s)
	pairs := asU16(s.c[:16*32])
	for r := 0; r < n; r += 32 {
		for c := 0; c < w; c += 32 {
			im.pairBlock(s, pairs, x[r*ldx+c:], min(32, n-r), ldx)
			for h := range 2 { // 16 pairs of rows by 32 columns, 16 columns at a time
				im.transpose16(u16AsU32(dst[(c+16*h)*ldd+r:]), ldd/2, u16AsU32(pairs[32*h:]), 32, 1)
			}
		}
	}
}

// gatherBlock copies 32 columns of n rows of x, and zeros for the rows after them.
func gatherBlock(block, x []uint16, n, ldx int) {
	for i := range n {
		copy(block[32*i:32*i+32], x[i*ldx:i*ldx+32])
	}
	clear(block[32*n : 32*32])
}
