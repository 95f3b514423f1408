package dedup

import (
	"unicode"
	"unicode/utf8"

	"plumb/datasets"
)

// spanWords is how many equal words in a row count as the same passage.
const spanWords = 3

// spanCharacters is how many letters in a row do where no word is equal.
const spanCharacters = 4

type rawWord struct {
	hash       uint64
	start, end int
}

// rawWords cuts a text at white space and hashes each word in its normalised form; words that vanish are left out.
func rawWords(text string) []rawWord {
	var out []rawWord
	var buf []byte
	start := -1
	for i := 0; i <= len(text); i++ {
		blank := i == len(text) || text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r'
		switch {
		case !blank && start < 0:
			start = i
		case blank && start >= 0:
			if buf = appendNormal(buf[:0], text[start:i]); len(buf) > 0 {
				out = append(out, rawWord{hashBytes(buf), start, i})
			}
			start = -1
		}
	}
	return out
}

// span finds the bytes of the record's compared text, fields joined by line feeds, between the first and the last passage
// that the kept record has too; nil when they share not even a word, or a few characters in a row.
func (c *corpus) span(rec *datasets.Record, kept int32) (*[2]int, error) {
	other, err := c.text(int(c.entries[kept].node))
	if err != nil {
		return nil, err
	}
	own := recordTexts(rec)
	return sharedSpan(c.key.joined(&own), c.key.joined(&other)), nil
}

func sharedSpan(own, other string) *[2]int {
	if own == other {
		return &[2]int{0, len(own)}
	}
	a, b := rawWords(own), rawWords(other)
	for n := min(spanWords, len(a), len(b)); n > 0; n-- {
		if s := sharedRuns(a, b, n); s != nil {
			return s
		}
	}
	// Scripts without spaces, or texts with a slip in every word.
	a, b = characters(own), characters(other)
	if n := min(spanCharacters, len(a), len(b)); n > 0 {
		return sharedRuns(a, b, n)
	}
	return nil
}

// characters are the letters and digits of a text, each as a word of its own.
func characters(text string) (out []rawWord) {
	for i, r := range text {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			out = append(out, rawWord{mix64(uint64(unicode.ToLower(r))), i, i + utf8.RuneLen(r)})
		}
	}
	return out
}

// sharedRuns reaches from the first to the last run of n words of a that b has too.
func sharedRuns(a, b []rawWord, n int) *[2]int {
	key := func(w []rawWord) (h uint64) {
		for _, x := range w[:n] {
			h = mix64(h) + x.hash
		}
		return h
	}
	has := map[uint64]bool{}
	for i := 0; i+n <= len(b); i++ {
		has[key(b[i:])] = true
	}
	var s *[2]int
	for i := 0; i+n <= len(a); i++ {
		if !has[key(a[i:])] {
			continue
		}
		if s == nil {
			s = &[2]int{a[i].start, 0}
		}
		s[1] = a[i+n-1].end
	}
	return s
}
