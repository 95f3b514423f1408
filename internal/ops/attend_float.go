package ops

import (
	"math"

	"plumb/internal/kernels"
)

// floatPath multiplies in float32. Keys, and values for gradients, are packed for the run; what is read in rows stays where it is.
type floatPath struct {
	*run
	ldk  int
	cols [2][][]float32 // of keys and of values: panels of 32 positions for each span, (Dim, 32) each
}

func openFloats(t *run, grad bool) *floatPath {
	p := &floatPath{run: t, ldk: t.h.KV * t.h.Dim}
	if t.plan.Packed {
		for _, s := range t.spans {
			k := t.from[keys][s.Buf].f
			p.cols[keys] = append(p.cols[keys], k[t.kv*(len(k)/t.h.KV):])
		}
		return p
	}
	n := 0
	for _, s := range t.spans {
		n += blocks(s.len()) * panelRows * t.h.Dim
	}
	sources := t.from[:]
	if !grad {
		sources = sources[:1]
	}
	left := t.take(n * len(sources))
	for i, src := range sources {
		for _, s := range t.spans {
			kernels.PackColumns(left, src[s.Buf].f[p.key(s):], p.ldk, s.len(), t.h.Dim)
			p.cols[i] = append(p.cols[i], left)
			left = left[blocks(s.len())*panelRows*t.h.Dim:]
		}
	}
	return p
}

// key is where the first of a span's positions is in its buffer.
func (p *floatPath) key(s Span) int { return s.Lo*p.ldk + p.kv*p.h.Dim }

func (p *floatPath) room(n int) int { return n + panelRows } // a span's last panel may be part empty

// each calls do with each span, the first position of it and how many of them there are before the total-th.
func (p *floatPath) each(total int, do func(i, at, n int)) {
	at := 0
	for i, s := range p.spans {
		if n := min(s.len(), total-at); n > 0 {
			do(i, at, n)
		}
		at += s.len()
	}
}

func (p *floatPath) softmax(_, rows int, s []float32, ld, n, more int, scale float32, b band, stats []float32) {
	for i := range rows {
		row, seen := s[i*ld:][:p.room(b.total)], n+i*more
		whole := (seen + 15) &^ 15
		for j := seen; j < whole; j++ { // the rest of the last vector, which costs nothing
			row[j] = float32(math.Inf(-1))
		}
		clear(row[whole:])
		stats[2*i], stats[2*i+1] = kernels.Softmax(row[:whole], scale)
	}
}

func (p *floatPath) slopes(_, rows int, s, d []float32, ld, n, more int, scale, by float32, b band, lse []float32) {
	for i := range rows {
		seen, room := n+i*more, p.room(b.total)
		row, slope := s[i*ld:][:room], d[i*ld:][:room]
		kernels.ExpScaled(row[:seen], row[:seen], scale, lse[i])
		kernels.SoftmaxBackward(slope[:seen], row, kernels.Dot(slope[:seen], row[:seen]), by)
		clear(row[seen:])
		clear(slope[seen:])
	}
}

func (p *floatPath) columns(s []float32, ld int, x matrix, b band, of operand) {
	p.each(b.total, func(i, at, n int) {
		p.h.eachHead(x, b, func(from, q, rows, ldq int) {
			kernels.GemmPanels(rows, blocks(n), p.h.Dim, x.f[q:], ldq, p.cols[of][i], s[from*ld+at:], ld)
		})
	})
}

func (p *floatPath) mix(out matrix, s []float32, ld int, b band, of operand) {
	p.each(b.total, func(i, at, n int) {
		sp := p.spans[i]
		src := p.from[of][sp.Buf].f[p.key(sp):]
		p.h.eachHead(out, b, func(from, q, rows, ldq int) {
			kernels.GemmSerial(false, false, rows, p.h.Dim, n, s[from*ld+at:], ld, src, p.ldk, out.f[q:], ldq, at > 0)
		})
	})
}

func (p *floatPath) back(grad, s []float32, ld int, x matrix, b band, _ operand) {
	p.each(b.total, func(i, at, n int) {
		p.h.eachHead(x, b, func(from, q, rows, ldq int) {
			kernels.GemmSerial(true, false, n, p.h.Dim, rows, s[from*ld+at:], ld, x.f[q:], ldq, grad[p.key(p.spans[i]):], p.ldk, true)
		})
	})
}
