package dedup

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"plumb/internal/kernels"
)

// An Embedder turns texts into vectors of Dim() numbers. Vectors need not have length 1: similarity is the cosine. A
// vector must not depend on the texts around it. Name changes whenever the vectors would; a store refuses another.
type Embedder interface {
	Embed(ctx context.Context, texts []string) ([][]float32, error)
	Dim() int
	Name() string
}

// HashEncoder is the built-in encoder; it needs no weights. A text is the sum of its distinct words, each weighted by
// (1 + ln count) times a prior of its rarity (function words count little, long words and numbers much); a word is the sum
// of itself and its character 3-, 4- and 5-grams, so that a typo moves it a little; every feature is projected to eight
// signed places chosen by its hash (sparse random projection: Achlioptas, "Database-friendly random projections", 2003).
// Pairs of neighbouring words add a little, so that order matters a little. Spelling is all it sees: a paraphrase in other
// words is far away.
type HashEncoder struct{ dim int }

// NewHashEncoder makes an encoder of dim numbers; more of them make unlike texts more surely unlike (the error of a
// cosine is about 1/sqrt(dim)).
func NewHashEncoder(dim int) *HashEncoder { return &HashEncoder{dim} }

// Dim is the length of a vector.
func (h *HashEncoder) Dim() int { return h.dim }

// Name identifies the encoder and its version.
func (h *HashEncoder) Name() string { return fmt.Sprintf("plumb-hash-2/%d", h.dim) }

// Embed encodes each text to a vector of length 1; one without words to zeros.
func (h *HashEncoder) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	out := make([][]float32, len(texts))
	const chunk = 16
	kernels.Parallel((len(texts)+chunk-1)/chunk, func(g int) {
		if ctx.Err() != nil {
			return
		}
		var w wordBag
		for i := g * chunk; i < min((g+1)*chunk, len(texts)); i++ {
			out[i] = h.encode(&w, texts[i])
		}
	})
	return out, ctx.Err()
}

// functionWeight is the weight of words that say nothing about the topic; a content word of one letter has 0.55.
const functionWeight = 0.25

var functionWords = map[uint64]bool{}

func init() {
	for _, w := range strings.Fields("a an the and or but if then else of to in on at by for from with without about as into through over under " +
		"is am are was were be been being do does did done have has had having will would can could shall should may might must it its this " +
		"that these those there here i me my mine you your yours he him his she her hers we us our ours they them their theirs who whom whose " +
		"which what when where why how so than too very just also only even some any each every all both more most other such own same up down " +
		"out off again once let please human assistant user system im ive youre dont doesnt isnt") {
		functionWords[hashBytes([]byte(w))] = true
	}
}

type wordAt struct {
	hash       uint64
	start, end int32
}

type wordBag struct {
	text  []byte
	words []wordAt
}

const (
	gramWeight = 0.45 // of all character n-grams of a word together, against 1 for the word
	pairWeight = 0.2  // of two neighbouring words
)

func (h *HashEncoder) encode(w *wordBag, text string) []float32 {
	w.text = append(w.text[:0], ' ')
	w.text = append(appendNormal(w.text, text), ' ')
	w.words = w.words[:0]
	v := make([]float32, h.dim)
	start, previous := 1, uint64(0)
	for i := 1; i < len(w.text); i++ {
		if w.text[i] != ' ' {
			continue
		}
		if i > start {
			x := hashBytes(w.text[start:i])
			w.words = append(w.words, wordAt{x, int32(start), int32(i)})
			if previous != 0 {
				h.project(v, mix64(previous)+x, pairWeight)
			}
			previous = x
		}
		start = i + 1
	}
	slices.SortStableFunc(w.words, func(a, b wordAt) int {
		switch {
		case a.hash < b.hash:
			return -1
		case a.hash > b.hash:
			return 1
		}
		return 0
	})
	for lo := 0; lo < len(w.words); {
		hi := lo + 1
		for hi < len(w.words) && w.words[hi].hash == w.words[lo].hash {
			hi++
		}
		h.addWord(v, w.text[w.words[lo].start-1:w.words[lo].end+1], w.words[lo].hash, 1+float32(math.Log(float64(hi-lo))))
		lo = hi
	}
	normalise(v)
	return v
}

// addWord adds a word; padded has a space at each end, so that n-grams know where it begins and ends.
func (h *HashEncoder) addWord(v []float32, padded []byte, hash uint64, weight float32) {
	n := len(padded) - 2
	switch {
	case functionWords[hash]:
		weight *= functionWeight
	case isDigit(padded[1]):
		weight *= 1.2
	default:
		weight *= 0.5 + 0.05*float32(min(n, 10))
	}
	h.project(v, hash, weight)
	grams := 0
	for size := 3; size <= 5; size++ {
		grams += max(len(padded)-size+1, 0)
	}
	if grams == 0 {
		return
	}
	each := weight * gramWeight / float32(math.Sqrt(float64(grams)))
	for size := 3; size <= 5; size++ {
		for i := 0; i+size <= len(padded); i++ {
			h.project(v, hashBytes(padded[i:i+size])^0xabcdef, each)
		}
	}
}

// project adds weight to eight places of v, with signs, both taken from the feature's hash.
func (h *HashEncoder) project(v []float32, feature uint64, weight float32) {
	x, y := mix64(feature+1), mix64(feature^mixA)
	n := uint64(len(v))
	w := weight * 0.35355339 // 1/sqrt(8)
	for i := range 4 {
		v[x&0xffff*n>>16] += w * float32(1-2*int32(y>>i&1))
		x >>= 16
	}
	x = mix64(feature ^ mixB)
	for i := range 4 {
		v[x&0xffff*n>>16] += w * float32(1-2*int32(y>>(i+8)&1))
		x >>= 16
	}
}

// normalise scales v to length 1; zeros stay.
func normalise(v []float32) {
	var s float64
	for _, x := range v {
		s += float64(x) * float64(x)
	}
	if s == 0 {
		return
	}
	k := 1 / math.Sqrt(s)
	for i, x := range v {
		v[i] = float32(float64(x) * k)
	}
}

// unit scales v to length 1, unless it has that length up to rounding: scaled once, it passes through here and through stores that
// scale unchanged, so that a vector read back from a store is the one that was computed, bit for bit.
func unit(v []float32) {
	if !isUnit(v) {
		normalise(v)
	}
}

func isUnit(v []float32) bool {
	var s float64
	for _, x := range v {
		s += float64(x) * float64(x)
	}
	return math.Abs(s-1) < 5e-7
}

// Cosine is the cosine of the angle between two vectors, in float64, in ascending order; 0 when one is zero.
func Cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i, x := range a {
		y := b[i]
		ab += float64(x) * float64(y)
		aa += float64(x) * float64(x)
		bb += float64(y) * float64(y)
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return ab / math.Sqrt(aa*bb)
}
