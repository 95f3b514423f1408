package tokenizer

import (
	"fmt"
	"hash/maphash"
	"math/bits"
	"sync/atomic"
	"unicode/utf8"
)

// bpe is a byte-pair-encoding model. In byte mode (its last pre-tokenizer is ByteLevel) it works on raw bytes and never
// builds the visible characters; otherwise its symbols are the characters of the piece.
type bpe struct {
	vocab  map[string]int32 // as written in the file
	raw    map[string]int32 // byte mode: the bytes a token stands for
	merges pairTable
	byteID [256]int32 // byte mode: token of each byte, -1 where missing

	byteMode     bool
	ignoreMerges bool
	byteFallback bool
	fuseUnk      bool
	unk          int32  // -1: characters outside the vocabulary vanish, as in the reference
	prefix       string // continuing_subword_prefix
	suffix       string // end_of_word_suffix

	seed  maphash.Seed
	cache []atomic.Pointer[cached]
}

// A cached word. The table is direct-mapped: a collision replaces, so memory is bounded and no lock is needed.
type cached struct {
	word string
	ids  []int32
	ends []int32
}

const (
	cacheSlots   = 1 << 15
	cacheLongest = 64 // bytes of a word worth keeping
	scanLongest  = 48 // symbols up to which scanning beats the heap
)

type mergeRule struct{ left, right string }

func newBPE(vocab map[string]int32, merges []mergeRule, byteMode bool, prefix, suffix string) (*bpe, error) {
	m := &bpe{vocab: vocab, byteMode: byteMode, unk: -1, prefix: prefix, suffix: suffix,
		seed: maphash.MakeSeed(), cache: make([]atomic.Pointer[cached], cacheSlots)}
	m.merges = newPairTable(len(merges))
	for rank, r := range merges {
		left, ok := vocab[r.left]
		if !ok {
			return nil, fmt.Errorf("merge %d: token %q is not in the vocabulary", rank, r.left)
		}
		right, ok := vocab[r.right]
		if !ok {
			return nil, fmt.Errorf("merge %d: token %q is not in the vocabulary", rank, r.right)
		}
		tail := r.right
		if prefix != "" && len(tail) >= len(prefix) {
			tail = tail[len(prefix):]
		}
		joined, ok := vocab[r.left+tail]
		if !ok {
			return nil, fmt.Errorf("merge %d: its result %q is not in the vocabulary", rank, r.left+tail)
		}
		m.merges.put(left, right, int32(rank), joined)
	}
	for b := range 256 {
		m.byteID[b] = -1
		if id, ok := vocab[string(byteRune[b])]; ok {
			m.byteID[b] = id
		}
	}
	return m, nil
}

// indexBytes fills the lookup by raw bytes, which only ignore_merges needs.
func (m *bpe) indexBytes() {
	m.raw = make(map[string]int32, len(m.vocab))
	for tok, id := range m.vocab {
		if s, ok := fromByteLevel(tok); ok {
			m.raw[s] = id
		}
	}
}

// symbol is one node of a word while it is being merged: a doubly linked list over a slice.
type symbol struct {
	id, end    int32 // end: byte offset in the word
	prev, next int32
}

// work is the scratch space of one Encode call.
type work struct {
	syms []symbol
	heap []candidate
}

// tokenize appends the ids of one piece and, when ends is not nil, the end of each in bytes of the piece.
func (m *bpe) tokenize(w *work, piece string, ids []int32, ends []int32) ([]int32, []int32) {
	if piece == "" {
		return ids, ends
	}
	if len(piece) > cacheLongest {
		return m.merge(w, piece, ids, ends)
	}
	h := maphash.String(m.seed, piece)
	slot := &m.cache[h&(cacheSlots-1)]
	if c := slot.Load(); c != nil && c.word == piece {
		ids = append(ids, c.ids...)
		if ends != nil {
			ends = append(ends, c.ends...)
		}
		return ids, ends
	}
	c := &cached{word: string([]byte(piece))} // a copy: the cache must not hold the whole text
	c.ids, c.ends = m.merge(w, piece, nil, make([]int32, 0, 4))
	slot.Store(c)
	ids = append(ids, c.ids...)
	if ends != nil {
		ends = append(ends, c.ends...)
	}
	return ids, ends
}

func (m *bpe) merge(w *work, piece string, ids []int32, ends []int32) ([]int32, []int32) {
	if m.ignoreMerges {
		table := m.vocab
		if m.byteMode {
			table = m.raw
		}
		if id, ok := table[piece]; ok {
			ids = append(ids, id)
			if ends != nil {
				ends = append(ends, int32(len(piece)))
			}
			return ids, ends
		}
	}
	w.syms = w.syms[:0]
	if m.byteMode {
		m.symbolsOfBytes(w, piece)
	} else {
		m.symbolsOfRunes(w, piece)
	}
	n := len(w.syms)
	if n == 0 {
		return ids, ends
	}
	for i := range w.syms {
		w.syms[i].prev, w.syms[i].next = int32(i-1), int32(i+1)
	}
	w.syms[n-1].next = -1
	if n <= scanLongest {
		m.mergeScanning(w)
	} else {
		m.mergeHeap(w)
	}
	for i := int32(0); i >= 0; i = w.syms[i].next {
		ids = append(ids, w.syms[i].id)
		if ends != nil {
			ends = append(ends, w.syms[i].end)
		}
	}
	return ids, ends
}

// symbolsOfBytes starts with one symbol for each byte.
func (m *bpe) symbolsOfBytes(w *work, piece string) {
	pending := false
	for i := 0; i < len(piece); i++ {
		id := m.byteID[piece[i]]
		end := int32(i + 1)
		if id >= 0 {
			pending = false
			w.syms = append(w.syms, symbol{id: id, end: end})
			continue
		}
		if m.unk < 0 {
			continue
		}
		if pending && m.fuseUnk {
			w.syms[len(w.syms)-1].end = end
			continue
		}
		w.syms = append(w.syms, symbol{id: m.unk, end: end})
		pending = true
	}
}

const upperHex = "0123456789ABCDEF"

// symbolsOfRunes starts with one symbol for each character, or for each of its bytes where the vocabulary falls back to bytes.
func (m *bpe) symbolsOfRunes(w *work, piece string) {
	var unkEnd int32 // end of an unknown run that is not yet written; 0: none
	flush := func() {
		if unkEnd > 0 {
			w.syms = append(w.syms, symbol{id: m.unk, end: unkEnd})
			unkEnd = 0
		}
	}
	var code [6]byte
	copy(code[:], "<0x00>")
	for i := 0; i < len(piece); {
		_, n := utf8.DecodeRuneInString(piece[i:])
		s := piece[i : i+n]
		end := int32(i + n)
		if i > 0 && m.prefix != "" {
			s = m.prefix + s
		}
		if int(end) == len(piece) && m.suffix != "" {
			s += m.suffix
		}
		i += n
		if id, ok := m.vocab[s]; ok {
			flush()
			w.syms = append(w.syms, symbol{id: id, end: end})
			continue
		}
		if m.byteFallback {
			from := len(w.syms)
			for j := 0; j < len(s); j++ {
				code[3], code[4] = upperHex[s[j]>>4], upperHex[s[j]&15]
				id, ok := m.vocab[string(code[:])]
				if !ok {
					w.syms = w.syms[:from]
					break
				}
				w.syms = append(w.syms, symbol{id: id, end: end})
			}
			if len(w.syms) > from {
				continue
			}
		}
		if m.unk >= 0 {
			if !m.fuseUnk {
				flush()
			}
			unkEnd = end
		}
	}
	flush()
}

// mergeScanning merges the pair of lowest rank, leftmost first, until none is left: quadratic, but the fastest for words.
func (m *bpe) mergeScanning(w *work) {
	syms := w.syms
	var rank, joined [scanLongest]int32
	look := func(i int32) {
		rank[i] = noRank
		if j := syms[i].next; j >= 0 {
			rank[i], joined[i] = m.merges.get(syms[i].id, syms[j].id)
		}
	}
	for i := range syms {
		look(int32(i))
	}
	for {
		best, at := int32(noRank), int32(-1)
		for i := int32(0); i >= 0; i = syms[i].next {
			if rank[i] < best {
				best, at = rank[i], i
			}
		}
		if at < 0 {
			return
		}
		m.join(syms, at, joined[at])
		look(at)
		if p := syms[at].prev; p >= 0 {
			look(p)
		}
	}
}

// join replaces the symbol at i and the one after it by id.
func (m *bpe) join(syms []symbol, i, id int32) {
	j := syms[i].next
	syms[i].id, syms[i].end, syms[i].next = id, syms[j].end, syms[j].next
	if k := syms[j].next; k >= 0 {
		syms[k].prev = i
	}
	syms[j].id = -1
}

// candidate is a possible merge in the heap: ordered by rank, then by position. It is stale when the symbols changed.
type candidate struct {
	key         uint64 // rank<<32 | position
	left, right int32
	joined      int32
}

func (m *bpe) mergeHeap(w *work) {
	syms := w.syms
	w.heap = w.heap[:0]
	push := func(i int32) {
		j := syms[i].next
		if j < 0 {
			return
		}
		if r, id := m.merges.get(syms[i].id, syms[j].id); r != noRank {
			w.heap = append(w.heap, candidate{uint64(r)<<32 | uint64(uint32(i)), syms[i].id, syms[j].id, id})
			up(w.heap, len(w.heap)-1)
		}
	}
	for i := range syms {
		push(int32(i))
	}
	for len(w.heap) > 0 {
		c := w.heap[0]
		last := len(w.heap) - 1
		w.heap[0] = w.heap[last]
		w.heap = w.heap[:last]
		down(w.heap)
		i := int32(uint32(c.key))
		j := syms[i].next
		if syms[i].id != c.left || j < 0 || syms[j].id != c.right {
			continue
		}
		m.join(syms, i, c.joined)
		push(i)
		if p := syms[i].prev; p >= 0 {
			push(p)
		}
	}
}

func up(h []candidate, i int) {
	for i > 0 {
		p := (i - 1) / 2
		if h[p].key <= h[i].key {
			return
		}
		h[p], h[i] = h[i], h[p]
		i = p
	}
}

func down(h []candidate) {
	for i := 0; ; {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && h[c+1].key < h[c].key {
			c++
		}
		if h[i].key <= h[c].key {
			return
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}

// pairTable maps a pair of ids to (rank, joined id): open addressing, about half full.
type pairTable struct {
	keys  []uint64 // pair + 1; 0 is empty
	vals  [][2]int32
	shift uint
}

const noRank = 1<<31 - 1

func newPairTable(n int) pairTable {
	size := uint(1) << max(4, bits.Len(uint(2*n)))
	return pairTable{keys: make([]uint64, size), vals: make([][2]int32, size), shift: uint(64 - bits.TrailingZeros(size))}
}

func (t *pairTable) slot(key uint64) uint {
	mask := uint(len(t.keys) - 1)
	i := uint(key * 0x9E3779B97F4A7C15 >> t.shift)
	for t.keys[i] != 0 && t.keys[i] != key {
		i = (i + 1) & mask
	}
	return i
}

func pairKey(a, b int32) uint64 { return uint64(uint32(a))<<32 | uint64(uint32(b)) + 1 }

// put keeps the last rule given for a pair, as the reference does.
func (t *pairTable) put(a, b, rank, joined int32) {
	i := t.slot(pairKey(a, b))
	t.keys[i], t.vals[i] = pairKey(a, b), [2]int32{rank, joined}
}

func (t *pairTable) get(a, b int32) (rank, joined int32) {
	i := t.slot(pairKey(a, b))
	if t.keys[i] == 0 {
		return noRank, -1
	}
	return t.vals[i][0], t.vals[i][1]
}
