//go:build amd64 && !noasm

package kernels

import "unsafe"

// amxWork is the argument of tileAMXRound and its like: products of rows of a with panels of b, all in one call, and what becomes of each
// tile. The generator (_asm/amx.go) counts on fields of eight bytes in this order. Distances are in bytes.
type amxWork struct {
	cfg             *tileConfig
	a               *uint16
	lda, low, byA   int // of rows, of a tile's second sixteen, of tiles
	b               *uint16
	byB             int // of panels
	k32, n, panels  int // steps of a tile, tiles of a panel
	rows            int // of a tile
	u               *uint16
	ldu, lowU, byU  int
	v               *uint16
	byV, r32        int
	dst             unsafe.Pointer
	ldd             int
	byTile, byPanel int
	bias            *float32
	byBias          int
	x               unsafe.Pointer
	ldx             int
	xByTile         int
	xByPanel        int
	coef            *[4]float32
	c, d            *float32   // two tiles of sums
	_               [5]uintptr // the function's own
}

//go:noescape
func tileAMXRound(w *amxWork)

//go:noescape
func tileAMXSum(w *amxWork)

//go:noescape
func tileAMXGELU(w *amxWork)

// wholeAMX is impl.whole on the tile unit.
func wholeAMX(f *forward, s *scratch, m0, m1, j0, panels int, b []uint16, step int) {
	for i := m0; i < m1; {
		rows, n := 32, (m1-i)/32
		if n == 0 {
			rows, n = m1-i, 1
		}
		f.wholeTiles(s, i, rows, n, j0, panels, b, step)
		i += rows * n
	}
}

// wholeTiles is wholeAMX for n tiles of so many rows each.
func (f *forward) wholeTiles(s *scratch, i, rows, n, j0, panels int, b []uint16, step int) {
	k, end, first := f.p.k, i+rows*n, f.n0/32+j0
	_, _ = f.xb[(end-1)*f.ldx+k-1], b[(panels-1)*step+32*k-1]
	w := amxWork{
		cfg: &tileConfigs[rows], a: &f.xb[i*f.ldx], lda: 2 * f.ldx, b: &b[0], byB: 2 * step, k32: k / 32, n: n, panels: panels, rows: rows,
		bias: &noBias[0], c: &s.c[0], d: &s.c[32*32],
	}
	if f.tail.Bias != nil {
		w.bias, w.byBias = &f.tail.Bias[32*first : 32*(first+panels)][0], 128
	}
	if l := f.tail.Low; l != nil {
		r := wholePairs(l.R)
		_, _ = l.UB[end*r-1], l.VB[32*r*(first+panels)-1]
		w.u, w.ldu, w.v, w.byV, w.r32 = &l.UB[i*r], 2*r, &l.VB[32*r*first], 64*r, r/32
	}
	w.byA, w.byU = 32*w.lda, 32*w.ldu
	if rows > 16 {
		w.low, w.lowU = 16*w.lda, 16*w.ldu
	}
	at, last := i*f.ldd+32*j0, (end-1)*f.ldd+32*(j0+panels)-1
	if f.half == nil {
		_, _ = f.dst[last], f.tail.Add[last]
		w.dst, w.ldd, w.byPanel = unsafe.Pointer(&f.dst[at]), 4*f.ldd, 128
		w.x, w.ldx, w.xByTile, w.xByPanel = unsafe.Pointer(&f.tail.Add[at]), 4*f.ldd, 32*4*f.ldd, 128
		w.byTile = 32 * w.ldd
		tileAMXSum(&w)
		return
	}
	_ = f.half[last]
	w.dst, w.ldd, w.byPanel = unsafe.Pointer(&f.half[at]), 2*f.ldd, 64
	w.byTile = 32 * w.ldd
	if a := f.tail.Act; a != NoActivation {
		w.coef = &geluHalf[a]
		tileAMXGELU(&w)
		return
	}
	tileAMXRound(&w)
}
