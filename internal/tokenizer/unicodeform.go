package tokenizer

import (
	"sort"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// formNorm is one of Unicode's four normalization forms. golang.org/x/text writes the stream-safe form, which breaks runs of
// more than 30 marks with a character of its own; such runs go through the definition instead.
type formNorm struct{ form norm.Form }

const streamSafe = 30

func (n formNorm) normalize(t stretch) stretch {
	if isASCII(t.s) {
		return t
	}
	var b *builder
	done := 0
	for i := 0; i < len(t.s); {
		j, marks := n.segment(t.s, i)
		seg := t.s[i:j]
		out := seg
		switch {
		case len(seg) == 1 || marks == 0:
		case marks > streamSafe:
			out = n.define(seg)
		default:
			out = n.form.String(seg)
		}
		if out != seg {
			if b == nil {
				b = rewrite(t)
			}
			b.keep(done, i)
			b.put(out, i, j)
			done = j
		}
		i = j
	}
	if b == nil {
		return t
	}
	b.keep(done, len(t.s))
	return b.done()
}

// segment is the end of the part at s[i:] that no character outside it can change, and its number of characters.
func (n formNorm) segment(s string, i int) (end, runes int) {
	for j := i; j < len(s); {
		r, w := utf8.DecodeRuneInString(s[j:])
		alone := classOf(r)&unformed != 0
		if j > i && (alone || s[j] < utf8.RuneSelf || !utf8.FullRuneInString(s[j:]) || n.form.PropertiesString(s[j:]).BoundaryBefore()) {
			return j, runes
		}
		j += w
		runes++
		end = j
		if alone {
			return end, 0
		}
	}
	return end, runes
}

type ordered struct {
	r   rune
	ccc uint8
}

// define follows the definition (Unicode 3.11): decompose, order the marks, compose.
func (n formNorm) define(s string) string {
	split := norm.NFD
	if n.form == norm.NFKC || n.form == norm.NFKD {
		split = norm.NFKD
	}
	var list []ordered
	for i := 0; i < len(s); {
		_, w := utf8.DecodeRuneInString(s[i:])
		for _, r := range split.String(s[i : i+w]) {
			list = append(list, ordered{r, norm.NFD.PropertiesString(string(r)).CCC()})
		}
		i += w
	}
	for i := 0; i < len(list); {
		j := i
		for j < len(list) && list[j].ccc != 0 {
			j++
		}
		sort.SliceStable(list[i:j], func(a, b int) bool { return list[i+a].ccc < list[i+b].ccc })
		i = j + 1
	}
	if n.form == norm.NFC || n.form == norm.NFKC {
		list = composeMarks(list)
	}
	var b strings.Builder
	for _, e := range list {
		b.WriteRune(e.r)
	}
	return b.String()
}

// composeMarks joins each character with the last starter where a composite exists and nothing in between blocks it.
func composeMarks(list []ordered) []ordered {
	out := list[:0:0]
	starter := -1
	var last uint8 // class of what was kept since the starter
	for _, e := range list {
		if starter >= 0 && (len(out)-1 == starter || last < e.ccc) {
			if pair := []rune(norm.NFC.String(string(out[starter].r) + string(e.r))); len(pair) == 1 {
				out[starter].r = pair[0]
				continue
			}
		}
		if e.ccc == 0 {
			starter = len(out)
		}
		last = e.ccc
		out = append(out, e)
	}
	return out
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
