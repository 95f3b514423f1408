package kernels

// wideRows are the rows of a tile of a wide strip, as the generator has them, and wideUnroll the steps between what it fetches; wideBlock is
// the most rows of a strip. wideDepth bounds the part of two panels that is read from the second cache while rows pass: 384 KB.
const (
	wideRows   = 6
	wideUnroll = 8
	wideBlock  = 264
	wideDepth  = 1536
)

// pays reports whether wide strips are faster than tiles for m rows.
func (im *impl) pays(m int) bool { return im.wide != nil && m >= 2*wideRows }

// runWide does what it can of run, two whole panels at a time from j0 on, and returns the panel that is left.
func (f *forward) runWide(s *scratch, m0, m1, j0, j1 int) int {
	if f.im.wide == nil || !f.strips || f.xi != nil {
		return j0
	}
	k, m := f.p.k, m1-m0
	for ; j0+2 <= min(j1, (f.n1-f.n0)/32); j0 += 2 {
		panel := f.n0/32 + j0
		c := f.dst[m0*f.ldd+32*j0:]
		for k0 := 0; k0 < k; k0 += wideDepth {
			k1 := min(k, k0+wideDepth)
			b, apart := f.pair(s, panel, k0, k1)
			f.im.wide(m, k1-k0, f.x[m0*k+k0:], k, b, apart, c, f.ldd, f.acc || k0 > 0, f.p.followingPair(panel, k0, k1))
		}
		for j := range 2 {
			f.finish(m, m0, j0+j, true, f.lowPanel(s, j0+j, 32, k), c[32*j:], f.ldd)
		}
	}
	return j0
}

// pair is the part [k0,k1) of panels j and j+1 in float32, so many numbers apart.
func (f *forward) pair(s *scratch, j, k0, k1 int) (b []float32, apart int) {
	if f.p.typ == PanelF32 {
		return f.p.f[j*f.p.size+32*k0:], f.p.size
	}
	apart = unfolded(k0, k1)
	b = s.panel(2 * apart)
	f.unfold(b[:apart], f.p.panel(j), k0, k1)
	f.unfold(b[apart:], f.p.panel(j+1), k0, k1)
	return b, apart
}

// followingPair is the share of columns [k0,k1) in the two panels behind j and j+1, which are read next.
func (p *Panels) followingPair(j, k0, k1 int) []float32 {
	at := func(k int) int { return min(len(p.f), (j+2)*p.size+2*p.size*k/p.k) }
	return p.f[at(k0):at(k1)]
}

// runWide does what it can of rows [m0,m1), two whole panels at a time, and returns the panel that is left.
func (b *backward) runWide(m0, m1, j0, j1 int, made []float32, size, l0, l1 int) int {
	if b.im.wide == nil || !b.strips || b.yi != nil {
		return j0
	}
	k, m := b.p.k, m1-m0
	for ; j0+2 <= min(j1, k/32); j0 += 2 {
		c := b.dx[m0*b.ldx+32*j0:]
		b.im.wide(m, l1-l0, b.dy[m0*b.ldy+l0:], b.ldy, made, size, c, b.ldx, b.acc || l0 > 0, b.following(m0, m1, l1-l0))
		made = from(made, min(len(made), 2*size))
		for j := range 2 {
			if b.low != nil && !b.low.Halves && l1 == b.n {
				b.low.add(b.im, false, m, m0, b.low.V[32*(j0+j):], k, c[32*j:], b.ldx)
			}
		}
	}
	return j0
}

// following is what lies behind the first tile of rows [m0,m1) of dy, and as much: rows that arrive while the tile above passes, for a block
// of long ones does not stay in the second cache. It is nil where products of depth numbers do not take whole rows.
func (b *backward) following(m0, m1, depth int) []float32 {
	if depth < b.ldy {
		return nil
	}
	at := func(i int) int { return min(len(b.dy), (i+wideRows)*b.ldy) }
	return b.dy[at(m0):at(m1)]
}
