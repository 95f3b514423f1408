package tokenizer

import (
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// bertNorm is BERT's normalizer: drop control characters and write every white space as a blank, put blanks around
// Chinese characters, strip accents, lower the case.
type bertNorm struct{ clean, chinese, strip, lower bool }

func (n bertNorm) normalize(t stretch) stretch {
	b := rewrite(t)
	for i := 0; i < len(t.s); {
		c := t.s[i]
		if c >= utf8.RuneSelf {
			j := i + 1
			for j < len(t.s) && t.s[j] >= utf8.RuneSelf {
				j++
			}
			n.beyondASCII(b, i, j)
			i = j
			continue
		}
		j := i
		for j < len(t.s) && t.s[j] < utf8.RuneSelf && !n.changes(t.s[j]) {
			j++
		}
		if j > i {
			b.keep(i, j)
			i = j
			continue
		}
		switch {
		case c >= 'A' && c <= 'Z':
			b.put(lowerASCII[c:c+1], i, i+1)
		case c == '\t' || c == '\n' || c == '\r':
			b.put(" ", i, i+1)
		}
		i++
	}
	return b.done()
}

// lowerASCII holds the lower case of each capital at its place.
const lowerASCII = "\x00\x01\x02\x03\x04\x05\x06\x07\x08\t\n\x0b\x0c\r\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f" +
	" !\"#$%&'()*+,-./0123456789:;<=>?@abcdefghijklmnopqrstuvwxyz"

func (n bertNorm) changes(c byte) bool {
	return n.lower && c >= 'A' && c <= 'Z' || n.clean && (c < ' ' || c == 0x7F)
}

// beyondASCII handles the bytes [i, j) of the source. ASCII on either side neither joins with marks nor moves.
func (n bertNorm) beyondASCII(b *builder, i, j int) {
	part := stretch{s: b.src.s[i:j], start: i, blind: b.src.blind}
	if n.clean {
		part = mapRunes(part, func(r rune) (string, bool) {
			switch {
			case classOf(r)&control != 0:
				return "", true
			case classOf(r)&space != 0:
				return " ", true
			}
			return "", false
		})
	}
	if n.chinese {
		part = mapRunes(part, func(r rune) (string, bool) {
			if !isChinese(r) {
				return "", false
			}
			return " " + string(r) + " ", true
		})
	}
	if n.strip {
		part = formNorm{norm.NFD}.normalize(part)
		part = mapRunes(part, func(r rune) (string, bool) { return "", classOf(r)&nonspacing != 0 })
	}
	if n.lower {
		part = lowerNorm{}.normalize(part)
	}
	if b.src.blind {
		b.buf = append(b.buf, part.s...)
		return
	}
	for k := range len(part.s) {
		sp := part.span(k, k+1)
		b.put(part.s[k:k+1], sp.Start, sp.End)
	}
}

func isBertPunct(r rune) bool { return classOf(r)&punct != 0 }

// isChinese is BERT's idea of a Chinese character: the ideographs, not kana or hangul.
func isChinese(r rune) bool {
	return r >= 0x4E00 && r <= 0x9FFF || r >= 0x3400 && r <= 0x4DBF || r >= 0x20000 && r <= 0x2A6DF || r >= 0x2A700 && r <= 0x2B73F ||
		r >= 0x2B740 && r <= 0x2B81F || r >= 0x2B920 && r <= 0x2CEAF || r >= 0xF900 && r <= 0xFAFF || r >= 0x2F800 && r <= 0x2FA1F
}
