package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// class is the set of character properties that scanners, pre-tokenizers and normalizers ask for.
type class uint16

const (
	letter     class = 1 << iota // \p{L}
	number                       // \p{N}
	space                        // \s, Unicode White_Space
	newline                      // \r \n
	digit                        // numeric, as the Digits pre-tokenizer has it
	punct                        // punctuation, as BERT's pre-tokenizer has it
	wordChar                     // \w
	mark                         // \p{M}, as StripAccents has it
	nonspacing                   // \p{Mn}, as BERT's normalizer has it
	control                      // dropped by BERT's normalizer
	unformed                     // without decomposition and combining class, as the normalization forms have it
)

const kinds = letter | number | space // what tells runs apart; none of them: "other"

// classPages is a two-level table over all code points; equal pages are shared.
var classPages = buildClasses()

func buildClasses() *[unicode.MaxRune>>8 + 1]*[256]class {
	flat := make([]class, unicode.MaxRune+1)
	set := func(t *unicode.RangeTable, c class) {
		for _, r := range t.R16 {
			for x := uint32(r.Lo); x <= uint32(r.Hi); x += uint32(r.Stride) {
				flat[x] |= c
			}
		}
		for _, r := range t.R32 {
			for x := r.Lo; x <= r.Hi; x += r.Stride {
				flat[x] |= c
			}
		}
	}
	list := func(ranges []rune, add, drop class) {
		for i := 0; i < len(ranges); i += 2 {
			for r := ranges[i]; r <= ranges[i+1]; r++ {
				flat[r] = flat[r]&^drop | add
			}
		}
	}
	set(unicode.L, letter|wordChar)
	set(unicode.N, number|digit)
	set(unicode.Nd, wordChar)
	set(unicode.Nl, wordChar)
	set(unicode.White_Space, space)
	set(unicode.P, punct)
	set(unicode.M, mark|wordChar)
	set(unicode.Mn, nonspacing)
	set(unicode.Pc, wordChar)
	set(unicode.Other_Alphabetic, wordChar)
	set(unicode.Join_Control, wordChar)
	set(unicode.Cc, control)
	set(unicode.Cf, control)
	set(unicode.Co, control)
	list([]rune{'!', '/', ':', '@', '[', '`', '{', '~'}, punct, 0)
	list([]rune{'\t', '\n', '\r', '\r'}, 0, control)
	list([]rune{0xFFFD, 0xFFFD}, control, 0)
	list(moreLetters, letter, 0)
	list(moreNumbers, number, 0)
	list(moreDigits, digit, 0)
	list(moreWords, wordChar, 0)
	list(morePunct, punct, 0)
	list(notPunct, 0, punct)
	list(notMarks, 0, mark)
	list(moreMarks, mark, 0)
	list(notNonspacing, 0, nonspacing)
	list(moreNonspacing, nonspacing, 0)
	list(notControls, 0, control)
	list(unknownForms, unformed, 0)
	flat['\r'] |= newline
	flat['\n'] |= newline
	pages := new([unicode.MaxRune>>8 + 1]*[256]class)
	shared := map[[256]class]*[256]class{}
	for i := range pages {
		page := [256]class(flat[i<<8 : i<<8+256])
		if shared[page] == nil {
			shared[page] = &page
		}
		pages[i] = shared[page]
	}
	return pages
}

func classOf(r rune) class { return classPages[r>>8][r&255] }

// classAt is the class and the width of the character at s[i]; an invalid byte is an "other" of width 1.
func classAt(s string, i int) (class, int) {
	if c := s[i]; c < utf8.RuneSelf {
		return classPages[0][c], 1
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	return classOf(r), n
}

// run is the end of the run of characters at s[i:] whose kind (letter, number, space or other) is kind.
func run(s string, i int, kind class) int {
	for i < len(s) {
		c, n := classAt(s, i)
		if c&kinds != kind {
			break
		}
		i += n
	}
	return i
}
