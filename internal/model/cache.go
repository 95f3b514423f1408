package model

import "plumb/internal/ops"

// sequence is the cache of one prompt, or of one sample's own tokens: keys and values of each layer.
type sequence struct {
	h    ops.Heads
	size int         // rows there is room for
	k    [][]float32 // a layer each, packed by Heads.PackKeys
	v    [][]float32 // a layer each, (size, KV*Dim)
	n    int         // rows filled
}

func newSequence(layers, size int, h ops.Heads) *sequence {
	s := &sequence{h: h, size: size, k: make([][]float32, layers), v: make([][]float32, layers)}
	nk, nv := h.PackedLen(size), size*h.KV*h.Dim
	all := make([]float32, layers*(nk+nv))
	for i := range layers {
		s.k[i], all = all[:nk], all[nk:]
		s.v[i], all = all[:nv], all[nv:]
	}
	return s
}

// put stores n rows of k and v (n, KV*Dim) of a layer from row at on.
func (s *sequence) put(layer int, k, v []float32, at, n int) {
	w := s.h.KV * s.h.Dim
	s.h.PackKeys(s.k[layer], s.size, k[:n*w], at, n)
	copy(s.v[layer][at*w:(at+n)*w], v)
}

// prefill stores the rows of a packed run of prompts, whose own rows are their keys meanwhile.
type prefill struct {
	width int
	to    []*sequence // each takes its size in rows, in order
}

func (p *prefill) put(layer int, k, v []float32) (kb, vb [][]float32) {
	at := 0
	for _, s := range p.to {
		s.put(layer, k[at:], v[at:], 0, s.size)
		at += s.size * p.width
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
	for i, s := range d.active {
		s.own.put(layer, k[i*d.width:], v[i*d.width:], s.own.n, 1)
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
			Path: []ops.Span{{Buf: 2 * i, Lo: 0, Hi: s.prompt.seq.n}},
			Own:  ops.Span{Buf: 2*i + 1, Lo: 0, Hi: s.own.n + 1},
		}
	}
	return &ops.AttnPlan{Groups: [][]ops.AttnItem{items}, Causal: true, Window: window, Packed: true}
}
