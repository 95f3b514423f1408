package model

import "plumb/internal/ops"

// sequence is the cache of one prompt, or of one sample's own tokens: keys and values of each layer.
type sequence struct {
	k, v [][]float32 // a layer each, (cap, KV*Dim)
	n    int         // rows filled
}

func newSequence(layers, rows, width int) *sequence {
	s := &sequence{k: make([][]float32, layers), v: make([][]float32, layers)}
	all := make([]float32, 2*layers*rows*width)
	for i := range layers {
		s.k[i], all = all[:rows*width], all[rows*width:]
		s.v[i], all = all[:rows*width], all[rows*width:]
	}
	return s
}

// prefill stores the rows of a packed run of prompts, whose own rows are their keys meanwhile.
type prefill struct {
	width int
	to    []*sequence
	rows  []int // how many rows each takes, in order
}

func (p *prefill) put(layer int, k, v []float32) (kb, vb [][]float32) {
	at := 0
	for i, s := range p.to {
		n := p.rows[i] * p.width
		copy(s.k[layer], k[at:at+n])
		copy(s.v[layer], v[at:at+n])
		at += n
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
		at := s.own.n * d.width
		copy(s.own.k[layer][at:at+d.width], k[i*d.width:])
		copy(s.own.v[layer][at:at+d.width], v[i*d.width:])
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
	return &ops.AttnPlan{Groups: [][]ops.AttnItem{items}, Causal: true, Window: window}
}
