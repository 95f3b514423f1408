package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// class is the set of character properties that scanners and pre-tokenizers ask for.
type class uint8

const (
	letter   class = 1 << iota // \p{L}
	number                     // \p{N}
	space                      // \s, Unicode White_Space
	newline                    // \r \n
	punct                      // \p{P}
	mark                       // \p{M}
	wordChar                   // \w as Rust's regex crate has it
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
	set(unicode.L, letter|wordChar)
	set(unicode.N, number)
	set(unicode.Nd, wordChar)
	set(unicode.Nl, wordChar)
	set(unicode.White_Space, space)
	set(unicode.P, punct)
	set(unicode.M, mark|wordChar)
	set(unicode.Pc, wordChar)
	set(unicode.Other_Alphabetic, wordChar)
	set(unicode.Join_Control, wordChar)
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
