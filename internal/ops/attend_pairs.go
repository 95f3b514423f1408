package ops

import "plumb/internal/kernels"

// pairPath multiplies bf16 pairs. Blocks of 32 positions are the unit of its sums, counted from the path's beginning, so that
// a path gives the same bits in a batch, where it is gathered, and in caches, which keep whole blocks.
type pairPath struct {
	*run
	grad  bool
	parts []pairPart
	x     []uint16    // rows of a band (rows, Dim), where they have to be gathered
	xr    []uint16    // rows of a band in panels
	s     [2][]uint16 // (rows, room) of a band: gradients of scores, which meet keys, and probabilities, which meet values
	st    []uint16    // one of them turned
	out   []float32   // (rows, 32) sums
}

// pairPart is a run of positions, n of them. cols are panels of 32 positions, rows are panels of 32 columns, step numbers apart.
type pairPart struct {
	n          int
	cols, rows [2][]uint16 // of keys and of values
	step       int
}

func openPairs(t *run, grad bool) *pairPath {
	p := &t.desk.halves
	*p = pairPath{run: t, grad: grad, parts: p.parts[:0]}
	d, rows := t.h.Dim, roundUp(t.bands[0].rows())
	all := roundUp(t.total) * d // numbers of keys, or of values
	scores := rows * p.room(t.total)
	p.s[values] = t.takeHalves(scores)
	if grad {
		p.s[keys], p.st, p.xr = t.takeHalves(scores), t.takeHalves(scores), t.takeHalves(rows*d)
	} else {
		p.out = t.take(rows * 32)
	}
	if grad || t.q.b == nil {
		p.x = t.takeHalves(rows * d)
	}
	if t.plan.Packed {
		p.cached()
		return p
	}
	part := pairPart{n: t.total, step: roundUp(t.total) * 32}
	for i, src := range t.from {
		flat, ld := p.flat(src)
		if grad || operand(i) == keys {
			part.cols[i] = t.takeHalves(all)
			kernels.PairColumns(part.cols[i], flat, ld, t.total, d)
		}
		if grad || operand(i) == values {
			part.rows[i] = t.takeHalves(all)
			kernels.PairRows(part.rows[i], part.step, flat, ld, t.total, d)
		}
	}
	p.parts = append(p.parts, part)
	return p
}

// flat is the path's rows of one head in bf16, (total, Dim) with rows ld apart: where they are or, unless they are one run of bf16,
// copied.
func (p *pairPath) flat(src []matrix) (flat []uint16, ld int) {
	d := p.h.Dim
	if s := p.spans[0]; len(p.spans) == 1 && src[s.Buf].b != nil {
		return src[s.Buf].b[s.Lo*src[s.Buf].ld+p.kv*d:], src[s.Buf].ld
	}
	flat = p.takeHalves(roundUp(p.total) * d)
	at := flat
	for _, s := range p.spans {
		x := src[s.Buf]
		for i := range s.len() {
			x.half(at[i*d:], (s.Lo+i)*x.ld+p.kv*d, d)
		}
		at = at[s.len()*d:]
	}
	return flat, d
}

// cached reads the parts of the path where caches keep them.
func (p *pairPath) cached() {
	for _, s := range p.spans {
		k, v := kernels.Halves(p.from[keys][s.Buf].f), kernels.Halves(p.from[values][s.Buf].f)
		per := len(k) / p.h.KV
		part := pairPart{n: s.len(), step: per / (p.h.Dim / 32)}
		part.cols[keys], part.rows[values] = k[p.kv*per:], v[p.kv*per:]
		p.parts = append(p.parts, part)
	}
}

func (p *pairPath) room(n int) int { return roundUp(n) }

func (p *pairPath) softmax(i, rows int, s []float32, ld, n, more int, scale float32, b band, stats []float32) {
	room := p.room(b.total)
	kernels.SoftmaxHalf(p.s[values][i*room:], room, s, ld, rows, n, more, room, scale, stats)
}

func (p *pairPath) slopes(i, rows int, s, d []float32, ld, n, more int, scale, by float32, b band, lse []float32) {
	room := p.room(b.total)
	kernels.SoftmaxHalfBackward(p.s[values][i*room:], p.s[keys][i*room:], room, s, d, ld, rows, n, more, room, scale, by, lse)
}

func (p *pairPath) columns(s []float32, ld int, x matrix, b band, of operand) {
	d := p.h.Dim
	if x.b == nil {
		p.gather(x, b)
	}
	p.eachPart(b, func(q *pairPart, at, n int) {
		if x.b == nil {
			kernels.GemmPairs(b.rows(), blocks(n), d, p.x, d, q.cols[of], 32*d, s[at:], ld, false)
			return
		}
		p.h.eachHead(x, b, func(from, to, rows, ldx int) {
			kernels.GemmPairs(rows, blocks(n), d, x.b[to:], ldx, q.cols[of], 32*d, s[from*ld+at:], ld, false)
		})
	})
}

// gather copies the band's rows of x, or rounds them.
func (p *pairPath) gather(x matrix, b band) {
	d := p.h.Dim
	for i := range b.rows() {
		x.half(p.x[i*d:], p.h.at(x, b, i), d)
	}
}

func (p *pairPath) mix(out matrix, _ []float32, _ int, b band, of operand) {
	if out.b != nil {
		p.mixHalf(out, b, of)
		return
	}
	p.eachPart(b, func(q *pairPart, at, n int) {
		p.h.eachHead(out, b, func(from, to, rows, ld int) {
			kernels.GemmPairs(rows, p.h.Dim/32, roundUp(n), p.s[of][from*p.room(b.total)+at:], p.room(b.total), q.rows[of], q.step, out.f[to:], ld, at > 0)
		})
	})
}

// mixHalf is mix with out in bf16: 32 columns of the band are summed and then rounded.
func (p *pairPath) mixHalf(out matrix, b band, of operand) {
	room, rows, o := p.room(b.total), b.rows(), p.out
	for c := 0; c < p.h.Dim; c += 32 {
		p.eachPart(b, func(q *pairPart, at, n int) {
			kernels.GemmPairs(rows, 1, roundUp(n), p.s[of][at:], room, q.rows[of][c/32*q.step:], 0, o, 32, at > 0)
		})
		p.h.eachHead(out, b, func(from, to, n, ld int) { kernels.RoundTile(out.b[to+c:], ld, n, o[32*from:]) })
	}
}

// eachPart calls do with each part of the path that the band sees, its first position and how many of it.
func (p *pairPath) eachPart(b band, do func(q *pairPart, at, n int)) {
	at := 0
	for i := range p.parts {
		q := &p.parts[i]
		if n := min(q.n, b.total-at); n > 0 {
			do(q, at, n)
		}
		at += q.n
	}
}

func (p *pairPath) back(grad, _ []float32, _ int, x matrix, b band, of operand) {
	d, ldk, deep := p.h.Dim, p.h.KV*p.h.Dim, roundUp(b.rows())
	room := p.room(b.total)
	if x.b != nil && b.per%panelRows == 0 {
		p.h.eachHead(x, b, func(from, to, rows, ldx int) { kernels.PairRows(p.xr[from*32:], deep*32, x.b[to:], ldx, rows, d) })
	} else {
		p.gather(x, b)
		kernels.PairRows(p.xr, deep*32, p.x, d, b.rows(), d)
	}
	kernels.PairTranspose(p.st, deep, p.s[of], room, b.rows(), room)
	at := 0
	for _, sp := range p.spans {
		if n := min(sp.len(), b.total-at); n > 0 {
			kernels.GemmPairs(n, d/32, deep, p.st[at*deep:], deep, p.xr, deep*32, grad[sp.Lo*ldk+p.kv*d:], ldk, true)
		}
		at += sp.len()
	}
}
