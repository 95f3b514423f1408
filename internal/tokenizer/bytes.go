package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// byteRune maps a byte to the visible character that stands for it in byte-level vocabularies (GPT-2's table: printable
// Latin-1 stands for itself, the other 68 bytes follow from U+0100 in order). runeByte is the reverse, -1 where no byte.
var (
	byteRune [256]rune
	runeByte [0x144]int16
)

func init() {
	for i := range runeByte {
		runeByte[i] = -1
	}
	next := rune(0x100)
	for b := range 256 {
		r := rune(b)
		if !(b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE) {
			r = next
			next++
		}
		byteRune[b] = r
		runeByte[r] = int16(b)
	}
}

// fromByteLevel returns the bytes that the visible characters of s stand for; ok is false when s holds a character that stands for no byte.
func fromByteLevel(s string) (raw string, ok bool) {
	buf := make([]byte, 0, len(s))
	for _, r := range s {
		if r < 0 || int(r) >= len(runeByte) || runeByte[r] < 0 {
			return "", false
		}
		buf = append(buf, byte(runeByte[r]))
	}
	return string(buf), true
}

// validUTF8 replaces each maximal invalid part by one U+FFFD, as Unicode recommends (chapter 3, "substitution of maximal
// subparts") and Rust does; Go's own conversion writes one for each byte.
func validUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 8)
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b.WriteRune(utf8.RuneError)
			i += invalidLen(s[i:])
			continue
		}
		b.WriteString(s[i : i+n])
		i += n
	}
	return b.String()
}

// invalidLen is the length of the maximal invalid part that s begins with.
func invalidLen(s string) int {
	lo, hi, need := byte(0x80), byte(0xBF), 0
	switch c := s[0]; {
	case c >= 0xC2 && c <= 0xDF:
		need = 1
	case c == 0xE0:
		lo, need = 0xA0, 2
	case c == 0xED:
		hi, need = 0x9F, 2
	case c >= 0xE1 && c <= 0xEF:
		need = 2
	case c == 0xF0:
		lo, need = 0x90, 3
	case c >= 0xF1 && c <= 0xF3:
		need = 3
	case c == 0xF4:
		hi, need = 0x8F, 3
	}
	n := 1
	for ; n <= need && n < len(s); n++ {
		if s[n] < lo || s[n] > hi {
			break
		}
		lo, hi = 0x80, 0xBF
	}
	return n
}
