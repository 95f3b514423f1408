//go:build amd64 && !noasm

package kernels

import "unsafe"

// dotWork is the argument of the tiles by AVX512_BF16's dot product. The generator (_asm/dot512.go) counts on fields of eight bytes in this
// order. Distances are in bytes, steps are pairs.
type dotWork struct {
	kp          int
	a           *uint16
	lda         int
	b           *uint16
	ahead, slow int // fetching's
	c           unsafe.Pointer
	ldc         int
	acc         int // 1: sums begin from c
	lowKP       int // steps of the low rank u·v, whose sums go on from those of a·b
	u           *uint16
	ldu         int
	v           *uint16
	end         int
	bias        *float32
	add         unsafe.Pointer // rows as those of c
}

// intWork is the argument of the tiles by AVX512_VNNI's, likewise; distances of the factors in float32, c, u and v, are in bytes too.
type intWork struct {
	kp          int
	a           *uint16
	lda         int
	b           *uint16
	ahead, slow int
	c           *float32
	ldc         int
	acc         int
	xs, ws      *float32
	r           int
	u           *float32
	ldu         int
	v           *float32
	ldv         int
}

// rows512 are the most rows of a tile.
const rows512 = 14

// What becomes of a tile's sums.
const (
	dotStore = iota // c is they, in float32
	dotAdd          // they plus bias plus add
	dotRound        // they plus bias, in bf16
)

// tileDot512 is tileDot. Sums take k in its order, whatever becomes of them.
func tileDot512(mr, kp int, a []uint16, lda int, b []uint16, c []float32, ldc int, acc bool, ahead int, low lowTile) {
	_, _, _ = a[(mr-1)*lda+2*kp-1], b[kp*64-1], c[(mr-1)*ldc+31]
	w := dotWork{kp: kp, a: &a[0], lda: 2 * lda, b: &b[0], ahead: ahead, c: unsafe.Pointer(&c[0]), ldc: 4 * ldc}
	if acc {
		w.acc = 1
	}
	if n := low.hi - low.lo; n > 0 {
		_, _ = low.ub[(mr-1)*low.r+low.hi-1], low.vb[32*low.hi-1]
		w.lowKP, w.u, w.ldu, w.v = n/2, &low.ub[low.lo], 2*low.r, &low.vb[32*low.lo]
	}
	tileDot32AVX512(mr, &w)
}

// panelsDot512 and slimDot512 are impl.panelsDot and impl.slimDot, the latter with tiles of half the columns, so that rows that are not finite
// do not meet its zeros.
func panelsDot512(m, panels, kp int, a []uint16, lda int, b []uint16, step int, c []float32, ldc int, acc bool) {
	dotTiles512(false, m, panels, kp, a, lda, b, step, c, ldc, acc)
}

func slimDot512(m, kp int, a []uint16, lda int, b []uint16, c []float32, ldc int, acc bool) {
	dotTiles512(true, m, 1, kp, a, lda, b, 0, c, ldc, acc)
}

func dotTiles512(slim bool, m, panels, kp int, a []uint16, lda int, b []uint16, step int, c []float32, ldc int, acc bool) {
	_, _, _ = a[(m-1)*lda+2*kp-1], b[(panels-1)*step+kp*64-1], c[(m-1)*ldc+32*panels-1]
	w := dotWork{kp: kp, lda: 2 * lda, ldc: 4 * ldc}
	if acc {
		w.acc = 1
	}
	if m <= decodeRows {
		w.ahead = active.Load().ahead
	}
	tiles := (m + rows512 - 1) / rows512
	for p := range panels {
		w.b = &b[p*step]
		for t := range tiles {
			i := m * t / tiles
			w.a, w.c = &a[i*lda], unsafe.Pointer(&c[i*ldc+32*p])
			if mr := m*(t+1)/tiles - i; slim {
				tileDot16AVX512(mr, &w)
			} else {
				tileDot32AVX512(mr, &w)
			}
		}
	}
}

// tailedDot512 is impl.tailed by the dot product. It copies no structure from tile to tile: a load of what several stores have written waits until
// all stores of the last tile are done.
func tailedDot512(p *tailedPairs, s *scratch) {
	_, _ = p.a[(p.m-1)*p.lda+p.k-1], p.b[(p.panels-1)*p.step+32*p.k-1]
	w := dotWork{kp: p.k / 2, lda: 2 * p.lda, ahead: p.ahead, bias: &noBias[0]}
	last, size := (p.m-1)*p.ld+32*p.panels-1, 4
	var c, add unsafe.Pointer
	if p.half != nil {
		_ = p.half[last]
		c, size, w.end = unsafe.Pointer(&p.half[0]), 2, dotRound
	} else {
		_ = p.dst[last]
		c = unsafe.Pointer(&p.dst[0])
		if p.acc {
			w.acc = 1
		}
		if p.add != nil {
			_ = p.add[last]
			add, w.end = unsafe.Pointer(&p.add[0]), dotAdd
		}
	}
	w.ldc = size * p.ld
	if p.bias != nil {
		_ = p.bias[32*p.panels-1]
	}
	gelu := p.half != nil && p.act != NoActivation
	if gelu {
		w.ldc, w.end = 128, dotStore
	}
	low := p.low.hi - p.low.lo
	if low > 0 {
		_, _ = p.low.ub[(p.m-1)*p.low.r+p.low.hi-1], p.low.vb[32*((p.panels-1)*p.low.r+p.low.hi)-1]
		w.lowKP, w.ldu = low/2, 2*p.low.r
	}
	tiles := (p.m + rows512 - 1) / rows512
	for j := range p.panels {
		w.b = &p.b[j*p.step]
		if low > 0 {
			w.v = &p.low.vb[32*(j*p.low.r+p.low.lo)]
		}
		if p.bias != nil {
			w.bias = &p.bias[32*j]
		}
		for t := range tiles {
			i := p.m * t / tiles
			mr := p.m*(t+1)/tiles - i
			w.a = &p.a[i*p.lda]
			if p.ahead > 0 && tiles > 1 {
				to := sharedFetching(t, tiles, w.kp)
				w.ahead, w.slow = to.ahead, to.slow
			}
			if low > 0 {
				w.u = &p.low.ub[i*p.low.r+p.low.lo]
			}
			at := i*p.ld + 32*j
			if gelu {
				w.c = unsafe.Pointer(&s.c[0])
				tileDot32AVX512(mr, &w)
				geluRowsAVX512(&p.half[at], p.ld, mr, &s.c[0], w.bias, &geluHalf[p.act])
				continue
			}
			w.c = unsafe.Add(c, size*at)
			if add != nil {
				w.add = unsafe.Add(add, size*at)
			}
			tileDot32AVX512(mr, &w)
			if p.bias != nil && w.end == dotStore {
				active.Load().addRows(p.dst[at:], p.ld, mr, p.bias[32*j:])
			}
		}
	}
}

// tileInt512 is tileInt for any number of rows. The panel that comes next is not fetched meanwhile: what reads it ahead in the processor does
// better (docs/LOG.md).
func tileInt512(m, kp int, a []uint16, lda int, b []uint16, c []float32, ldc int, acc bool, xs, ws []float32, to fetching, low lowTile) {
	checkInt(m, kp, a, lda, b, c, ldc, xs, ws)
	w := intWork{kp: kp, lda: 2 * lda, b: &b[0], ahead: to.ahead, slow: to.slow, ldc: 4 * ldc, ws: &ws[0]}
	if acc {
		w.acc = 1
	}
	if low.r > 0 {
		_, _ = low.u[m*low.r-1], low.v[(low.r-1)*low.ldv+31]
		w.r, w.ldu, w.v, w.ldv = low.r, 4*low.r, &low.v[0], 4*low.ldv
	}
	tiles := (m + rows512 - 1) / rows512
	for t := range tiles {
		i := m * t / tiles
		w.a, w.c, w.xs = &a[i*lda], &c[i*ldc], &xs[i]
		if low.r > 0 {
			w.u = &low.u[i*low.r]
		}
		tileInt32AVX512(m*(t+1)/tiles-i, &w)
	}
}
