package tokenizer

import "unicode/utf8"

// stretch is a part of the text on its way to the model. Where it is still a plain part of the input, start is its place
// and from is nil; once it was rewritten, byte i of s came from the bytes [from[i], to[i]) of the input. Where nobody
// asked for spans (blind), a rewritten stretch keeps no track of them.
type stretch struct {
	s        string
	start    int
	from, to []int32
	blind    bool
}

// cut is the part [i, j) of a stretch.
func (t stretch) cut(i, j int) stretch {
	if t.from == nil {
		return stretch{s: t.s[i:j], start: t.start + i, blind: t.blind}
	}
	return stretch{s: t.s[i:j], from: t.from[i:j], to: t.to[i:j], blind: t.blind}
}

// span is where in the input the bytes [i, j) of the stretch came from.
func (t stretch) span(i, j int) Span {
	if t.from == nil {
		return Span{t.start + i, t.start + j}
	}
	if j <= i {
		if i < len(t.from) {
			return Span{int(t.from[i]), int(t.from[i])}
		}
		return Span{}
	}
	return Span{int(t.from[i]), int(t.to[j-1])}
}

// atStart says whether the stretch begins where the input begins.
func (t stretch) atStart() bool {
	if t.from == nil {
		return t.start == 0
	}
	return len(t.from) == 0 || t.from[0] == 0
}

// builder rewrites a stretch piece by piece.
type builder struct {
	src      stretch
	buf      []byte
	from, to []int32
}

func rewrite(src stretch) *builder {
	n := len(src.s) + 8
	b := &builder{src: src, buf: make([]byte, 0, n)}
	if !src.blind {
		b.from, b.to = make([]int32, 0, n), make([]int32, 0, n)
	}
	return b
}

// put appends out as what the bytes [i, j) of the source became.
func (b *builder) put(out string, i, j int) {
	b.buf = append(b.buf, out...)
	if b.src.blind {
		return
	}
	sp := b.src.span(i, j)
	for range len(out) {
		b.from = append(b.from, int32(sp.Start))
		b.to = append(b.to, int32(sp.End))
	}
}

// keep copies the bytes [i, j) of the source.
func (b *builder) keep(i, j int) {
	b.buf = append(b.buf, b.src.s[i:j]...)
	if b.src.blind {
		return
	}
	for k := i; k < j; k++ {
		sp := b.src.span(k, k+1)
		b.from = append(b.from, int32(sp.Start))
		b.to = append(b.to, int32(sp.End))
	}
}

func (b *builder) done() stretch {
	return stretch{s: string(b.buf), start: b.src.start, from: b.from, to: b.to, blind: b.src.blind}
}

// replaceInvalid writes U+FFFD for what is no valid UTF-8: models that read characters have nothing else for it.
func replaceInvalid(t stretch) stretch {
	if utf8.ValidString(t.s) {
		return t
	}
	b := rewrite(t)
	for i := 0; i < len(t.s); {
		r, n := utf8.DecodeRuneInString(t.s[i:])
		if r == utf8.RuneError && n == 1 {
			n = invalidLen(t.s[i:])
			b.put("\uFFFD", i, i+n)
		} else {
			b.keep(i, i+n)
		}
		i += n
	}
	return b.done()
}
