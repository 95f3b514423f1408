package ops

import (
	"sync"

	"plumb/internal/kernels"
)

// desk is the working memory of a run of attention. It stays for the next one: runs of a few rows would else spend more time with the
// pool than with numbers.
type desk struct {
	buf    []float32
	used   int // floats that were taken, those that buf had no room for too
	spans  []Span
	bands  []band
	halves pairPath // of a run in bf16
}

// deskFloats is what a desk need not give back whatever the last run took.
const deskFloats = 256 << 10

var desks struct {
	sync.Mutex
	spare []*desk
}

func openDesk() *desk {
	d := spareDesk()
	if d.used > len(d.buf) || len(d.buf) > 8*max(d.used, deskFloats) {
		d.buf = kernels.Alloc(d.used + d.used/2)
	}
	d.used = 0
	d.spans, d.bands = d.spans[:0], d.bands[:0]
	return d
}

func spareDesk() *desk {
	desks.Lock()
	defer desks.Unlock()
	n := len(desks.spare)
	if n == 0 {
		return new(desk)
	}
	d := desks.spare[n-1]
	desks.spare = desks.spare[:n-1]
	return d
}

// take returns n floats of arbitrary content, from a multiple of 64 bytes on, until close.
func (d *desk) take(n int) []float32 {
	at := d.used
	d.used += (n + blockUnit - 1) / blockUnit * blockUnit
	if d.used > len(d.buf) {
		return kernels.Alloc(n)
	}
	return d.buf[at:][:n:n]
}

// takeHalves is take for n numbers of bf16; n is even.
func (d *desk) takeHalves(n int) []uint16 { return kernels.Halves(d.take(n / 2)) }

func (d *desk) close() {
	clear(d.halves.parts)
	d.halves = pairPath{parts: d.halves.parts}
	desks.Lock()
	desks.spare = append(desks.spare, d)
	desks.Unlock()
}
