package dedup

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// corpusHead announces what follows it in a saved corpus: the ids, the entries, the nodes, the ends of the texts, the candidates.
type corpusHead struct {
	Entries, Nodes, IDs, Pairs int
	Files, Splits              []string
	Proposed                   *proposed `json:",omitempty"`
}

const (
	entryBytes = 5*4 + 1 + 4*8
	nodeBytes  = 2*8 + 5*4
)

func (e *entry) encode(b []byte) []byte {
	for _, x := range [...]int32{e.node, e.file, e.copies, e.length, e.next} {
		b = binary.LittleEndian.AppendUint32(b, uint32(x))
	}
	flags := byte(0)
	if e.protected {
		flags |= 1
	}
	if e.against {
		flags |= 2
	}
	b = append(b, flags)
	for _, x := range [...]uint64{e.exact, uint64(e.row), math.Float64bits(e.rank), uint64(e.idEnd)} {
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	return b
}

func (e *entry) decode(b []byte) {
	for _, x := range [...]*int32{&e.node, &e.file, &e.copies, &e.length, &e.next} {
		*x = int32(binary.LittleEndian.Uint32(b))
		b = b[4:]
	}
	e.protected, e.against = b[0]&1 > 0, b[0]&2 > 0
	var v [4]uint64
	for i := range v {
		v[i] = binary.LittleEndian.Uint64(b[1+8*i:])
	}
	e.exact, e.row, e.rank, e.idEnd = v[0], int64(v[1]), math.Float64frombits(v[2]), int64(v[3])
}

func (n *node) encode(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, n.id)
	for _, x := range [...]int32{n.first, n.last, n.count, n.length, n.split} {
		b = binary.LittleEndian.AppendUint32(b, uint32(x))
	}
	return binary.LittleEndian.AppendUint64(b, n.setting)
}

func (n *node) decode(b []byte) {
	n.id = binary.LittleEndian.Uint64(b)
	b = b[8:]
	for _, x := range [...]*int32{&n.first, &n.last, &n.count, &n.length, &n.split} {
		*x = int32(binary.LittleEndian.Uint32(b))
		b = b[4:]
	}
	n.setting = binary.LittleEndian.Uint64(b)
}

// save writes what the first pass learned; the texts stay in their spool.
func (c *corpus) save(w *bufio.Writer) error {
	h := corpusHead{Entries: len(c.entries), Nodes: len(c.nodes), IDs: len(c.ids), Files: c.files.list, Splits: c.splits.list, Proposed: c.proposed}
	if c.proposed != nil {
		h.Pairs = len(c.proposed.pairs)
	}
	if err := writeHead(w, h); err != nil {
		return err
	}
	w.Write(c.ids) // a bufio.Writer keeps its first error for Flush
	var b []byte
	for i := range c.entries {
		b = c.entries[i].encode(b[:0])
		w.Write(b)
	}
	for i := range c.nodes {
		b = c.nodes[i].encode(b[:0])
		w.Write(b)
	}
	for _, end := range c.texts.ends {
		w.Write(binary.LittleEndian.AppendUint64(b[:0], uint64(end)))
	}
	if h.Pairs > 0 {
		for _, p := range c.proposed.pairs {
			w.Write(binary.LittleEndian.AppendUint64(b[:0], p))
		}
	}
	return w.Flush()
}

// load reads it back and takes up the texts; false when these are not there.
func (c *corpus) load(r *bufio.Reader) (whole bool, err error) {
	var h corpusHead
	if err := readHead(r, &h); err != nil {
		return false, err
	}
	get := func(b []byte) bool {
		if err == nil {
			_, err = io.ReadFull(r, b)
		}
		return err == nil
	}
	ids := make([]byte, h.IDs)
	get(ids)
	entries, nodes, ends := make([]entry, h.Entries), make([]node, h.Nodes), make([]int64, h.Nodes)
	var b [max(entryBytes, nodeBytes)]byte
	for i := range entries {
		if !get(b[:entryBytes]) {
			break
		}
		entries[i].decode(b[:])
	}
	for i := range nodes {
		if !get(b[:nodeBytes]) {
			break
		}
		nodes[i].decode(b[:])
	}
	for i := range ends {
		if !get(b[:8]) {
			break
		}
		ends[i] = int64(binary.LittleEndian.Uint64(b[:]))
	}
	if h.Proposed != nil {
		h.Proposed.pairs = make([]uint64, h.Pairs)
		for i := range h.Proposed.pairs {
			if !get(b[:8]) {
				break
			}
			h.Proposed.pairs[i] = binary.LittleEndian.Uint64(b[:])
		}
	}
	if err != nil {
		return false, fmt.Errorf("a corpus of %d records: %w", h.Entries, err)
	}
	if whole, err = c.texts.reopen(ends); err != nil || !whole {
		return false, err
	}
	c.entries, c.nodes, c.ids, c.files.list, c.splits.list, c.proposed = entries, nodes, ids, h.Files, h.Splits, h.Proposed
	c.index, c.byHash = nil, nil
	return true, nil
}
