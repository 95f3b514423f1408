package model

import (
	"plumb/internal/kernels"
	"plumb/internal/ops"
)

// sequence is the cache of one prompt, or of one sample's own tokens: keys and values of each layer.
type sequence struct {
	h    ops.Heads
	k, v [][]float32 // a layer each, kept by Heads.Store
	base int         // rows at the beginning that continue another's last block
	n    int         // rows filled after them
}

func newSequence(layers, size int, h ops.Heads) *sequence {
	s := &sequence{h: h, k: make([][]float32, layers), v: make([][]float32, layers)}
	n := h.CacheLen(size)
	all := make([]float32, 2*layers*n)
	for i := range layers {
		s.k[i], all = all[:n], all[n:]
		s.v[i], all = all[:n], all[n:]
	}
	return s
}

// follow returns the cache of what comes after s, up to size rows.
func (s *sequence) follow(size int) *sequence {
	own := newSequence(len(s.k), s.n-ops.WholeBlocks(s.n)+size, s.h)
	own.base = s.n - ops.WholeBlocks(s.n)
	for i := range s.k {
		s.h.CopyTail(own.k[i], own.v[i], s.k[i], s.v[i], s.n)
	}
	return own
}

// prefill stores the rows of a packed run of prompts, whose own rows are their keys meanwhile.
type prefill struct {
	width int
	to    []*sequence // each takes its n rows, in order
}

func (p *prefill) put(layer int, k, v []float32) (kb, vb [][]float32) {
	at := 0
	for _, s := range p.to {
		s.h.Store(s.k[layer], s.v[layer], k[at:], v[at:], 0, s.n)
		at += s.n * p.width
	}
	return [][]float32{k}, [][]float32{v}
}

// decode appends one row to each active sample's cache; buffers are prompt and own cache in turn.
type decode struct {
	width  int
	active []*sample
	kb, vb [][]float32
}

func (d *decode) put(layer int, k, v []float32) (kb, vb [][]float32) {
	d.kb, d.vb = d.kb[:0], d.vb[:0]
	kernels.Parallel(len(d.active), func(i int) {
		own := d.active[i].own
		own.h.Store(own.k[layer], own.v[layer], k[i*d.width:], v[i*d.width:], own.base+own.n, 1)
	})
	for _, s := range d.active {
		d.kb = append(d.kb, s.prompt.seq.k[layer], s.own.k[layer])
		d.vb = append(d.vb, s.prompt.seq.v[layer], s.own.v[layer])
	}
	return d.kb, d.vb
}

// plan lets each active sample's newest token see its prompt and all of its own tokens.
func (d *decode) plan(window int) *ops.AttnPlan {
	items := make([]ops.AttnItem, len(d.active))
	for i, s := range d.active {
		items[i] = ops.AttnItem{
			QLo: i, QHi: i + 1,
			Path: []ops.Span{{Buf: 2 * i, Lo: 0, Hi: ops.WholeBlocks(s.prompt.seq.n)}},
			Own:  ops.Span{Buf: 2*i + 1, Lo: 0, Hi: s.own.base + s.own.n + 1},
		}
	}
	return &ops.AttnPlan{Groups: [][]ops.AttnItem{items}, Causal: true, Window: window, Packed: true}
}
