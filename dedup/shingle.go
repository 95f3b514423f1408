package dedup

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// shingler turns a normalised text into the hashes of its shingles: runs of size characters, or of size words. A text
// shorter than one shingle is one shingle.
type shingler struct {
	words bool
	size  int
	ends  []int // scratch: where each character or word ends
	hash  []uint64
}

func newShingler(c MinHashConfig) *shingler {
	return &shingler{words: c.Shingle == "word", size: c.ShingleSize}
}

const (
	mixA = 0x9e3779b97f4a7c15
	mixB = 0xd6e8feb86659fd93
)

// mix64 spreads every bit of x over all of the result.
func mix64(x uint64) uint64 {
	x *= mixA
	x ^= x >> 32
	x *= mixB
	return x ^ x>>29
}

// hashBytes is a hash of b: eight bytes a step, its length mixed in.
func hashBytes(b []byte) uint64 {
	h := uint64(len(b)) * mixB
	for len(b) >= 8 {
		h = bits.RotateLeft64((h^binary.LittleEndian.Uint64(b))*mixA, 29)
		b = b[8:]
	}
	var last uint64
	for i, c := range b {
		last |= uint64(c) << (8 * i)
	}
	return mix64(h ^ last)
}

// appendTo appends the hashes of text's shingles, repeats included, to dst. The empty text has none.
func (s *shingler) appendTo(dst []uint64, text []byte) []uint64 {
	if len(text) == 0 {
		return dst
	}
	if s.words {
		return s.appendWords(dst, text)
	}
	for _, c := range text {
		if c >= utf8.RuneSelf {
			return s.appendRunes(dst, text)
		}
	}
	n := len(text) - s.size + 1
	if n < 1 {
		return append(dst, hashBytes(text))
	}
	mask := ^uint64(0) >> (64 - 8*s.size)
	i := 0
	for ; i < n && i+8 <= len(text); i++ {
		dst = append(dst, mix64(binary.LittleEndian.Uint64(text[i:])&mask))
	}
	for ; i < n; i++ {
		var x uint64
		for j := range s.size {
			x |= uint64(text[i+j]) << (8 * j)
		}
		dst = append(dst, mix64(x))
	}
	return dst
}

// appendRunes counts characters, not bytes: five bytes of Chinese are less than two characters.
func (s *shingler) appendRunes(dst []uint64, text []byte) []uint64 {
	s.ends = s.ends[:0]
	for i := range string(text) {
		s.ends = append(s.ends, i)
	}
	s.ends = append(s.ends, len(text))
	n := len(s.ends) - s.size
	if n < 1 {
		return append(dst, hashBytes(text))
	}
	for i := range n {
		run := text[s.ends[i]:s.ends[i+s.size]]
		if len(run) == s.size { // plain ASCII: the hash it has in an ASCII text
			var x uint64
			for j, c := range run {
				x |= uint64(c) << (8 * j)
			}
			dst = append(dst, mix64(x))
			continue
		}
		dst = append(dst, hashBytes(run))
	}
	return dst
}

func (s *shingler) appendWords(dst []uint64, text []byte) []uint64 {
	h := s.hash[:0]
	for start := 0; start < len(text); {
		if start+8 <= len(text) { // most words end within eight bytes: where, by arithmetic, and hashBytes in one step
			x := binary.LittleEndian.Uint64(text[start:])
			const ones = 0x0101010101010101
			d := x ^ ' '*ones
			if at := (d - ones) &^ d & (0x80 * ones); at != 0 { // its lowest bit is in the first space
				n := bits.TrailingZeros64(at) / 8
				if n > 0 {
					h = append(h, mix64(uint64(n)*mixB^x&(1<<(8*n)-1)))
				}
				start += n + 1
				continue
			}
		}
		n := bytes.IndexByte(text[start:], ' ')
		if n < 0 {
			n = len(text) - start
		}
		if n > 0 {
			h = append(h, hashBytes(text[start:start+n]))
		}
		start += n + 1
	}
	s.hash = h
	n := max(len(h)-s.size+1, 1)
	for i := range n {
		x := uint64(0)
		for _, w := range h[i:min(i+s.size, len(h))] {
			x = bits.RotateLeft64(x, 23)*mixB + w
		}
		dst = append(dst, mix64(x))
	}
	return dst
}

// sortedSet turns hashes into the ascending set of their upper halves, appended to dst. Two sets of a few thousand
// shingles share one of the 2^32 values by chance with a probability below 0.01.
func sortedSet(dst []uint32, hashes []uint64, scratch *[]uint32) []uint32 {
	base := len(dst)
	for _, h := range hashes {
		dst = append(dst, uint32(h>>32))
	}
	v := dst[base:]
	radixSort32(v, scratch)
	n := 0
	for i, x := range v {
		if i == 0 || x != v[n-1] {
			v[n] = x
			n++
		}
	}
	return dst[:base+n]
}

func radixSort32(v []uint32, scratch *[]uint32) {
	if len(v) < 64 {
		for i := 1; i < len(v); i++ {
			x, j := v[i], i
			for ; j > 0 && v[j-1] > x; j-- {
				v[j] = v[j-1]
			}
			v[j] = x
		}
		return
	}
	if cap(*scratch) < len(v) {
		*scratch = make([]uint32, len(v))
	}
	a, b := v, (*scratch)[:len(v)]
	var count [4][256]int32
	for _, x := range a {
		count[0][x&255]++
		count[1][x>>8&255]++
		count[2][x>>16&255]++
		count[3][x>>24]++
	}
	for d := range 4 {
		c := &count[d]
		sum := int32(0)
		for i, n := range c {
			c[i] = sum
			sum += n
		}
		shift := 8 * d
		for _, x := range a {
			k := x >> shift & 255
			b[c[k]] = x
			c[k]++
		}
		a, b = b, a
	}
}

// overlap counts the common elements of two ascending sets.
func overlap(a, b []uint32) int {
	n, i, j := 0, 0, 0
	for i < len(a) && j < len(b) {
		x, y := a[i], b[j]
		if x == y {
			n++
		}
		// Both advance without a branch on the comparison, which no predictor could guess.
		if x <= y {
			i++
		}
		if y <= x {
			j++
		}
	}
	return n
}

// jaccard is |a and b| / |a or b|; two empty sets are equal.
func jaccard(a, b []uint32) float64 {
	if len(a) == 0 && len(b) == 0 {
		return 1
	}
	n := overlap(a, b)
	return float64(n) / float64(len(a)+len(b)-n)
}
