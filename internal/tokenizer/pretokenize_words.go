package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// bertPre cuts at white space, which it drops, and isolates punctuation.
type bertPre struct{}

func (bertPre) split(t stretch, emit func(stretch)) {
	from := 0
	flush := func(i int) {
		if from < i {
			emit(t.cut(from, i))
		}
	}
	for i := 0; i < len(t.s); {
		r, n := utf8.DecodeRuneInString(t.s[i:])
		switch {
		case classOf(r)&space != 0:
			flush(i)
			from = i + n
		case isBertPunct(r):
			flush(i)
			emit(t.cut(i, i+n))
			from = i + n
		}
		i += n
	}
	flush(len(t.s))
}

// wordPre is \w+|[^\w\s]+ : runs of word characters and runs of the rest, without white space.
type wordPre struct{}

func (wordPre) split(t stretch, emit func(stretch)) {
	for i := 0; i < len(t.s); {
		c, n := classAt(t.s, i)
		j := i + n
		if c&space == 0 {
			for j < len(t.s) {
				d, w := classAt(t.s, j)
				if d&space != 0 || (c^d)&wordChar != 0 {
					break
				}
				j += w
			}
			emit(t.cut(i, j))
		}
		i = j
	}
}

// metaspacePre writes blanks as a visible character, puts one in front, and cuts before each.
type metaspacePre struct {
	replacement string
	scheme      string // always, first, never
	cut         bool
}

func (p metaspacePre) split(t stretch, emit func(stretch)) {
	if t.s == "" {
		return
	}
	b := rewrite(t)
	front := p.scheme == "always" || p.scheme == "first" && t.atStart()
	if front && t.s[0] != ' ' && !strings.HasPrefix(t.s, p.replacement) {
		b.put(p.replacement, 0, 0)
	}
	done := 0
	for i := 0; i < len(t.s); i++ {
		if t.s[i] == ' ' {
			b.keep(done, i)
			b.put(p.replacement, i, i+1)
			done = i + 1
		}
	}
	b.keep(done, len(t.s))
	u := b.done()
	if !p.cut {
		emit(u)
		return
	}
	splitPre{find: literal(p.replacement), how: mergedWithNext}.split(u, emit)
}
