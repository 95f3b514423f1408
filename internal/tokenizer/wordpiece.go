package tokenizer

import (
	"hash/maphash"
	"sync/atomic"
	"unicode/utf8"
)

// wordPiece cuts a word greedily into the longest known pieces; a word with a part that is unknown is wholly unknown.
type wordPiece struct {
	vocab    map[string]int32
	inner    map[string]int32 // pieces that continue a word, without their prefix
	longest  int              // bytes of the longest piece
	maxChars int
	unk      int32

	seed  maphash.Seed
	cache []atomic.Pointer[cached]
}

func newWordPiece(vocab map[string]int32, prefix string, maxChars int, unk int32) *wordPiece {
	m := &wordPiece{vocab: vocab, inner: map[string]int32{}, maxChars: maxChars, unk: unk,
		seed: maphash.MakeSeed(), cache: make([]atomic.Pointer[cached], cacheSlots)}
	for tok, id := range vocab {
		m.longest = max(m.longest, len(tok))
		if len(tok) >= len(prefix) && tok[:len(prefix)] == prefix {
			m.inner[tok[len(prefix):]] = id
		}
	}
	return m
}

func (m *wordPiece) tokenize(_ *work, piece string, ids []int32, ends []int32) ([]int32, []int32) {
	if piece == "" {
		return ids, ends
	}
	if len(piece) > cacheLongest {
		return m.cut(piece, ids, ends)
	}
	slot := &m.cache[maphash.String(m.seed, piece)&(cacheSlots-1)]
	c := slot.Load()
	if c == nil || c.word != piece {
		c = &cached{word: string([]byte(piece))}
		c.ids, c.ends = m.cut(piece, nil, make([]int32, 0, 4))
		slot.Store(c)
	}
	ids = append(ids, c.ids...)
	if ends != nil {
		ends = append(ends, c.ends...)
	}
	return ids, ends
}

func (m *wordPiece) cut(piece string, ids []int32, ends []int32) ([]int32, []int32) {
	nids, nends := len(ids), len(ends)
	unknown := func() ([]int32, []int32) {
		ids = append(ids[:nids], m.unk)
		if ends != nil {
			ends = append(ends[:nends], int32(len(piece)))
		}
		return ids, ends
	}
	if len(piece) > 4*m.maxChars || utf8.RuneCountInString(piece) > m.maxChars {
		return unknown()
	}
	table := m.vocab
	for start := 0; start < len(piece); table = m.inner {
		end := min(len(piece), start+m.longest)
		for ; end > start; end-- {
			if end < len(piece) && !utf8.RuneStart(piece[end]) {
				continue
			}
			if id, ok := table[piece[start:end]]; ok {
				ids = append(ids, id)
				if ends != nil {
					ends = append(ends, int32(end))
				}
				break
			}
		}
		if end == start {
			return unknown()
		}
		start = end
	}
	return ids, ends
}
