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
	acc, lowDst     int // whether sums start from dst, and its second sixteen
	bias            *float32
	byBias          int
	x               unsafe.Pointer // what is added, in rows as those of dst
	coef            *[4]float32
	c               *float32   // sums of a tile
	_               [5]uintptr // the function's own
}

//go:noescape
func tileAMXStore(w *amxWork)

//go:noescape
func tileAMXSum(w *amxWork)

//go:noescape
func tileAMXRound(w *amxWork)

//go:noescape
func tileAMXPast(w *amxWork)

//go:noescape
func tileAMXGELU(w *amxWork)

// Nothing can stop a call: callMuls is how many multiplications one has at most, about a millisecond. restBytes are of panels that rows
// which fill no tile find in the second cache.
const (
	callMuls  = 1 << 28
	restBytes = 512 << 10
	pastBytes = 1 << 20
)

// tailedAMX is impl.tailed on the tile unit.
func tailedAMX(p *tailedPairs, s *scratch) {
	per := callMuls / (32 * p.k * p.m)
	if p.m > 32 && p.m%32 > 0 {
		per = min(per, restBytes/(64*p.k))
	}
	per = max(1, per)
	for j := 0; j < p.panels; j += per {
		q := p.part(j, min(per, p.panels-j))
		if n := q.m / 32; n > 0 {
			q.tiles(s, 0, 32, n)
		}
		switch rest := q.m % 32; {
		case rest > 16:
			q.tiles(s, q.m-rest, rest, 1)
		case rest > 0:
			for j := range q.panels {
				one := q.part(j, 1)
				one.few(s, q.m-rest, rest)
			}
		}
	}
}

// few does up to 16 rows of one panel, from row i on, which take five instructions of the tile unit a step where a tile takes eight.
func (p *tailedPairs) few(s *scratch, i, rows int) {
	at, low, bias := i*p.ld, p.low, p.bias
	if low.r > 0 {
		low.ub = low.ub[i*low.r:]
	}
	c, ldc := s.c[:32*rows], 32
	sums := p.half == nil && p.add == nil // are the result, but for a bias
	if sums && bias == nil {
		c, ldc = p.dst[at:], p.ld
	} else if sums || p.acc {
		p.tiles(s, i, rows, 1)
		return
	}
	tileDotAMX(rows, p.k/2, p.a[i*p.lda:], p.lda, p.b, c, ldc, p.acc, 0, low)
	if sums {
		return
	}
	if bias == nil {
		bias = noBias
	}
	active.Load().putRows(from(p.half, at), from(p.dst, at), from(p.add, at), p.ld, rows, c, bias, p.act)
}

// tiles does n tiles of so many rows each, from row i on.
func (p *tailedPairs) tiles(s *scratch, i, rows, n int) {
	end := i + rows*n
	_, _ = p.a[(end-1)*p.lda+p.k-1], p.b[(p.panels-1)*p.step+32*p.k-1]
	w := amxWork{
		cfg: &tileConfigs[rows], a: &p.a[i*p.lda], lda: 2 * p.lda, b: &p.b[0], byB: 2 * p.step, k32: p.k / 32, n: n, panels: p.panels, rows: rows,
		bias: &noBias[0], c: &s.c[0],
	}
	if p.bias != nil {
		w.bias, w.byBias = &p.bias[:32*p.panels][0], 128
	}
	if r := p.low.r; r > 0 {
		_, _ = p.low.ub[end*r-1], p.low.vb[32*r*p.panels-1]
		w.u, w.ldu, w.v, w.byV, w.r32 = &p.low.ub[i*r], 2*r, &p.low.vb[0], 64*r, r/32
	}
	at, last := i*p.ld, (end-1)*p.ld+32*p.panels-1
	if p.half == nil {
		_ = p.dst[last]
		w.dst, w.ldd, w.byPanel = unsafe.Pointer(&p.dst[at]), 4*p.ld, 128
	} else {
		_ = p.half[last]
		w.dst, w.ldd, w.byPanel = unsafe.Pointer(&p.half[at]), 2*p.ld, 64
	}
	w.x = w.dst // which moves as what is added does
	w.byA, w.byU, w.byTile = 32*w.lda, 32*w.ldu, 32*w.ldd
	if n == 1 {
		w.byTile = w.byPanel // by which the tile of the next panel is fetched
	}
	if rows > 16 {
		w.low, w.lowU, w.lowDst = 16*w.lda, 16*w.ldu, 16*w.ldd
	}
	if p.acc {
		w.acc = 1
	}
	switch {
	case p.half != nil && p.act != NoActivation:
		w.coef = &geluHalf[p.act]
		tileAMXGELU(&w)
	case p.half != nil && p.m*w.ldd > pastBytes && (uintptr(w.dst)|uintptr(w.ldd))%64 == 0:
		tileAMXPast(&w)
	case p.half != nil:
		tileAMXRound(&w)
	case p.add != nil:
		_ = p.add[last]
		w.x = unsafe.Pointer(&p.add[at])
		tileAMXSum(&w)
	default:
		tileAMXStore(&w)
	}
}
