package dedup

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"plumb/internal/kernels"
)

// Pair is two texts, by position, A < B, with the score of the stage that found them.
type Pair struct {
	A, B  int
	Score float64
}

// A signature is a fast similarity sketch (Dahlgaard, Knudsen, Thorup, "Fast Similarity Sketching", 2017): like MinHash,
// two sets agree in each position with a probability equal to their Jaccard similarity, but an element is hashed once a
// round instead of once a position, and a text with more shingles than positions needs one or two rounds. Positions
// are negatively correlated, so the estimate varies less than MinHash's. Values of later rounds are larger, which
// makes the sketch of a set independent of how many rounds another set needed.
const (
	roundShift = 23 // a value is the round above 23 bits of hash
	emptySlot  = math.MaxUint32
)

// sketch fills sig with the signature of the set of hashes. The empty set leaves every position empty.
func sketch(sig []uint32, hashes []uint64) {
	for i := range sig {
		sig[i] = emptySlot
	}
	if len(hashes) == 0 {
		return
	}
	k := uint64(len(sig))
	for _, x := range hashes {
		slot := x >> 32 * k >> 32
		sig[slot] = min(sig[slot], uint32(x)>>(32-roundShift))
	}
	for round := uint64(1); ; round++ {
		if round >= 2*k || !slices.Contains(sig, emptySlot) {
			return
		}
		key := round * mixB
		if round >= k { // from here on one position a round, so that every position is filled in the end
			p := &sig[round-k]
			if *p == emptySlot {
				for _, x := range hashes {
					*p = min(*p, uint32(round)<<roundShift|uint32(mix64(x^key))>>(32-roundShift))
				}
			}
			continue
		}
		for _, x := range hashes {
			y := mix64(x ^ key)
			slot := y >> 32 * k >> 32
			sig[slot] = min(sig[slot], uint32(round)<<roundShift|uint32(y)>>(32-roundShift))
		}
	}
}

// BandsAndRows chooses how many bands of how many rows a signature is cut into: the most rows, hence the fewest useless
// candidates, with which a pair of Jaccard similarity threshold becomes a candidate with probability recall:
// 1 - (1 - threshold^rows)^bands >= recall. One row where nothing reaches it.
func (c MinHashConfig) BandsAndRows() (bands, rows int) {
	if c.Bands > 0 {
		return c.Bands, c.Hashes / c.Bands
	}
	for rows = c.Hashes; rows > 1; rows-- {
		bands = c.Hashes / rows
		if 1-math.Pow(1-math.Pow(c.Threshold, float64(rows)), float64(bands)) >= c.Recall {
			return bands, rows
		}
	}
	return c.Hashes, 1
}

// bandIndex holds the band hashes of every text, band by band, and finds the pairs that share one.
type bandIndex struct {
	bands, rows int
	maxBucket   int
	keys        [][]uint32 // [band][text]
	empty       []bool     // texts without shingles are no one's candidate
	bytes       [][]byte   // [text/signChunk]: the lowest byte of each position of each text's signature
	hashes      int
	agree       int // positions in which a candidate's bytes must agree
}

// signChunk is how many texts' bytes are allocated at a time: a growing slice would hold everything twice while it moves.
const signChunk = 1 << 14

func (b *bandIndex) growBytes(n int) {
	for len(b.bytes)*signChunk < n {
		b.bytes = append(b.bytes, make([]byte, signChunk*b.hashes))
	}
}

// short are the bytes of text i's signature.
func (b *bandIndex) short(i uint64) []byte {
	at := int(i%signChunk) * b.hashes
	return b.bytes[i/signChunk][at : at+b.hashes]
}

// sureness is how many standard deviations an estimate may fall short of the threshold before a candidate is given up
// without its exact score being computed: one pair in 30,000 at the threshold.
const sureness = 4

func newBandIndex(c MinHashConfig, n int) *bandIndex {
	b := &bandIndex{maxBucket: c.MaxBucket, empty: make([]bool, n), hashes: c.Hashes}
	b.growBytes(n)
	if c.Containment == 0 {
		k, t := float64(c.Hashes), c.Threshold
		b.agree = max(int(k*t-sureness*math.Sqrt(k*t*(1-t))), 0)
	}
	b.bands, b.rows = c.BandsAndRows()
	b.keys = make([][]uint32, b.bands)
	for i := range b.keys {
		b.keys[i] = make([]uint32, n)
	}
	return b
}

// set stores text i's bands; different i may be set at the same time.
func (b *bandIndex) set(i int, sig []uint32, empty bool) {
	b.empty[i] = empty
	short := b.short(uint64(i))
	for j, v := range sig {
		short[j] = byte(v)
	}
	for band := range b.bands {
		h := uint64(band+1) * mixB
		for _, v := range sig[band*b.rows : (band+1)*b.rows] {
			h = (h ^ uint64(v)) * mixA
			h ^= h >> 31
		}
		b.keys[band][i] = uint32(h >> 32)
	}
}

// likely reports whether the signatures of two texts agree in enough positions, judged by a byte of each.
func (b *bandIndex) likely(i, j uint64) bool {
	x, y := b.short(i), b.short(j)
	const low7 = 0x7f7f7f7f7f7f7f7f
	n := 0
	for len(x) >= 8 && len(y) >= 8 {
		d := binary.LittleEndian.Uint64(x) ^ binary.LittleEndian.Uint64(y)
		n += bits.OnesCount64(^((d&low7 + low7) | d | low7)) // one bit for each byte that is zero
		x, y = x[8:], y[8:]
	}
	for k := range x {
		if x[k] == y[k] {
			n++
		}
	}
	return n >= b.agree
}

// candidates lists each pair that shares a bucket in some band and is likely once, ascending, packed as A<<32|B. The texts of a
// bucket are compared all with all up to maxBucket of them; in a larger one each text meets the maxBucket/2 texts before
// it and the first maxBucket/2, and capped counts such buckets. Pairs that the cap hides are found again through the
// kept record when clusters are made.
func (b *bandIndex) candidates() (pairs []uint64, capped int) {
	found := make([][]uint64, b.bands)
	caps := make([]int, b.bands)
	kernels.Parallel(b.bands, func(band int) {
		keys := b.keys[band]
		order := make([]uint64, 0, len(keys))
		for i, k := range keys {
			if !b.empty[i] {
				order = append(order, uint64(k)<<32|uint64(i))
			}
		}
		order = sortByKey(order)
		var out []uint64
		for lo := 0; lo < len(order); {
			hi := lo + 1
			for hi < len(order) && order[hi]>>32 == order[lo]>>32 {
				hi++
			}
			if bucket := order[lo:hi]; len(bucket) > 1 {
				window := len(bucket)
				if window > b.maxBucket {
					window = max(b.maxBucket/2, 1)
					caps[band]++
				}
				for j := 1; j < len(bucket); j++ {
					back := max(j-window, 0)
					to := bucket[j] & math.MaxUint32
					for i := back; i < j; i++ {
						if from := bucket[i] & math.MaxUint32; b.likely(from, to) {
							out = append(out, from<<32|to)
						}
					}
					for i := 0; i < min(back, window); i++ {
						if from := bucket[i] & math.MaxUint32; b.likely(from, to) {
							out = append(out, from<<32|to)
						}
					}
				}
			}
			lo = hi
		}
		slices.Sort(out)
		found[band] = out
	})
	for band, f := range found {
		pairs = append(pairs, f...)
		capped += caps[band]
	}
	slices.Sort(pairs)
	return slices.Compact(pairs), capped
}

// sortByKey sorts by the upper 32 bits and keeps the order of equals: three passes of 11 bits.
func sortByKey(v []uint64) []uint64 {
	if len(v) < 256 {
		slices.Sort(v)
		return v
	}
	tmp := make([]uint64, len(v))
	for shift := 32; shift < 64; shift += 11 {
		var count [2048]int
		for _, x := range v {
			count[x>>shift&2047]++
		}
		sum := 0
		for i, n := range count {
			count[i] = sum
			sum += n
		}
		for _, x := range v {
			k := x >> shift & 2047
			tmp[count[k]] = x
			count[k]++
		}
		v, tmp = tmp, v
	}
	return v
}

// MinHashPairs finds the pairs of texts whose shingle sets, after Normalise, have a Jaccard similarity of at least
// c.Threshold (or that contain one another by c.Containment). The scores are exact; that a pair at the threshold is
// found has probability c.Recall or more. Pairs are ascending and do not depend on the number of threads.
func MinHashPairs(texts []string, c MinHashConfig) []Pair {
	index := newBandIndex(c, len(texts))
	const chunk = 64
	kernels.Parallel((len(texts)+chunk-1)/chunk, func(g int) {
		w := newLexer(c)
		for i := g * chunk; i < min((g+1)*chunk, len(texts)); i++ {
			w.sign(index, i, texts[i])
		}
	})
	pairs, _ := index.candidates()
	sets := shingleSets(c, len(texts), pairs, func(i int) string { return texts[i] })
	return verifyPairs(c, pairs, sets)
}

// lexer holds one worker's scratch.
type lexer struct {
	text    []byte
	hashes  []uint64
	sig     []uint32
	scratch []uint32
	*shingler
}

func newLexer(c MinHashConfig) *lexer {
	return &lexer{sig: make([]uint32, c.Hashes), shingler: newShingler(c)}
}

func (w *lexer) shingles(text string) []uint64 {
	w.text = appendNormal(w.text[:0], text)
	w.hashes = w.appendTo(w.hashes[:0], w.text)
	return w.hashes
}

func (w *lexer) sign(index *bandIndex, i int, text string) {
	h := w.shingles(text)
	sketch(w.sig, h)
	index.set(i, w.sig, len(h) == 0)
}

func (w *lexer) set(dst []uint32, text string) []uint32 {
	return sortedSet(dst, w.shingles(text), &w.scratch)
}

// shingleSets returns the shingle set of every text that occurs in a pair, nil for the others.
func shingleSets(c MinHashConfig, n int, pairs []uint64, text func(int) string) [][]uint32 {
	sets := make([][]uint32, n)
	used := make([]bool, n)
	for _, p := range pairs {
		used[p>>32], used[p&math.MaxUint32] = true, true
	}
	var list []int
	for i, u := range used {
		if u {
			list = append(list, i)
		}
	}
	const chunk = 64
	kernels.Parallel((len(list)+chunk-1)/chunk, func(g int) {
		w := newLexer(c)
		for _, i := range list[g*chunk : min((g+1)*chunk, len(list))] {
			sets[i] = slices.Clip(w.set(nil, text(i)))
		}
	})
	return sets
}

// verifyPairs keeps the pairs whose sets pass the configuration's thresholds, in order.
func verifyPairs(c MinHashConfig, pairs []uint64, sets [][]uint32) []Pair {
	scores := make([]float64, len(pairs))
	const chunk = 1024
	kernels.Parallel((len(pairs)+chunk-1)/chunk, func(g int) {
		for i := g * chunk; i < min((g+1)*chunk, len(pairs)); i++ {
			scores[i] = c.score(sets[pairs[i]>>32], sets[pairs[i]&math.MaxUint32])
		}
	})
	var out []Pair
	for i, s := range scores {
		if s > 0 {
			out = append(out, Pair{int(pairs[i] >> 32), int(pairs[i] & math.MaxUint32), s})
		}
	}
	return out
}

// score is the Jaccard similarity of a pair that passes, the containment of one that passes by it, 0 for the others.
func (c MinHashConfig) score(a, b []uint32) float64 {
	small, large := min(len(a), len(b)), max(len(a), len(b))
	if large == 0 {
		return 1
	}
	if c.Containment == 0 && float64(small) < c.Threshold*float64(large) {
		return 0
	}
	n := overlap(a, b)
	if j := float64(n) / float64(small+large-n); j >= c.Threshold {
		return j
	}
	if s := float64(n) / float64(max(small, 1)); c.Containment > 0 && small > 0 && s >= c.Containment {
		return s
	}
	return 0
}
