package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalizer rewrites a stretch.
type normalizer interface {
	normalize(t stretch) stretch
}

type seqNorm []normalizer

func (n seqNorm) normalize(t stretch) stretch {
	for _, e := range n {
		t = e.normalize(t)
	}
	return t
}

// lowerNorm maps each character to lower case by itself (no final sigma).
type lowerNorm struct{}

func (lowerNorm) normalize(t stretch) stretch {
	return mapRunes(t, func(r rune) (string, bool) {
		if r == 'İ' {
			return "i\u0307", true // the only unconditional mapping to two characters
		}
		if l := toLower(r); l != r {
			return string(l), true
		}
		return "", false
	})
}

func toLower(r rune) rune {
	if r >= moreLower[0] {
		for i := 0; i < len(moreLower); i += 3 {
			if r >= moreLower[i] && r <= moreLower[i+1] {
				return r + moreLower[i+2]
			}
		}
	}
	return unicode.ToLower(r)
}

// mapRunes rewrites the characters for which f returns true; invalid bytes stay.
func mapRunes(t stretch, f func(r rune) (string, bool)) stretch {
	var b *builder
	done := 0
	for i := 0; i < len(t.s); {
		r, n := utf8.DecodeRuneInString(t.s[i:])
		if r != utf8.RuneError || n > 1 {
			if out, ok := f(r); ok {
				if b == nil {
					b = rewrite(t)
				}
				b.keep(done, i)
				b.put(out, i, i+n)
				done = i + n
			}
		}
		i += n
	}
	if b == nil {
		return t
	}
	b.keep(done, len(t.s))
	return b.done()
}

// marksNorm drops combining marks.
type marksNorm struct{}

func (marksNorm) normalize(t stretch) stretch {
	return mapRunes(t, func(r rune) (string, bool) { return "", classOf(r)&mark != 0 })
}

type replaceNorm struct {
	find matcher
	with string
}

func (n replaceNorm) normalize(t stretch) stretch {
	var b *builder
	done := 0
	n.find(t.s, func(from, to int) {
		if b == nil {
			b = rewrite(t)
		}
		b.keep(done, from)
		b.put(n.with, from, to)
		done = to
	})
	if b == nil {
		return t
	}
	b.keep(done, len(t.s))
	return b.done()
}

type prependNorm struct{ what string }

func (n prependNorm) normalize(t stretch) stretch {
	if t.s == "" {
		return t
	}
	b := rewrite(t)
	b.put(n.what, 0, 0)
	b.keep(0, len(t.s))
	return b.done()
}

type stripNorm struct{ left, right bool }

func (n stripNorm) normalize(t stretch) stretch {
	i, j := 0, len(t.s)
	for n.left && i < j {
		c, w := classAt(t.s, i)
		if c&space == 0 {
			break
		}
		i += w
	}
	for n.right && i < j {
		r, w := utf8.DecodeLastRuneInString(t.s[:j])
		if classOf(r)&space == 0 {
			break
		}
		j -= w
	}
	return t.cut(i, j)
}

// byteLevelNorm writes bytes as their visible characters.
type byteLevelNorm struct{}

func (byteLevelNorm) normalize(t stretch) stretch {
	b := rewrite(t)
	for i := 0; i < len(t.s); i++ {
		b.put(string(byteRune[t.s[i]]), i, i+1)
	}
	return b.done()
}

type normalizerFile struct {
	Type        string
	Normalizers []json.RawMessage
	Lowercase   bool
	Strip       *bool           `json:"strip_accents"`
	Chinese     bool            `json:"handle_chinese_chars"`
	Clean       bool            `json:"clean_text"`
	Pattern     json.RawMessage `json:"pattern"`
	Content     string
	Prepend     string
	Left        bool `json:"strip_left"`
	Right       bool `json:"strip_right"`
}

func parseNormalizer(b json.RawMessage) (normalizer, error) {
	if isNull(b) {
		return nil, nil
	}
	var f normalizerFile
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, err
	}
	switch f.Type {
	case "NFC":
		return formNorm{norm.NFC}, nil
	case "NFD":
		return formNorm{norm.NFD}, nil
	case "NFKC":
		return formNorm{norm.NFKC}, nil
	case "NFKD":
		return formNorm{norm.NFKD}, nil
	case "Lowercase":
		return lowerNorm{}, nil
	case "StripAccents":
		return marksNorm{}, nil
	case "Strip":
		return stripNorm{f.Left, f.Right}, nil
	case "Prepend":
		return prependNorm{f.Prepend}, nil
	case "ByteLevel":
		return byteLevelNorm{}, nil
	case "BertNormalizer":
		return bertNorm{clean: f.Clean, chinese: f.Chinese, strip: or(f.Strip, f.Lowercase), lower: f.Lowercase}, nil
	case "Replace":
		m, err := parseMatcher(f.Pattern)
		if err != nil {
			return nil, fmt.Errorf("normalizer Replace: %w", err)
		}
		return replaceNorm{m, strings.Clone(f.Content)}, nil
	case "Sequence":
		var seq seqNorm
		for _, raw := range f.Normalizers {
			n, err := parseNormalizer(raw)
			if err != nil {
				return nil, err
			}
			if n != nil {
				seq = append(seq, n)
			}
		}
		return seq, nil
	}
	return nil, fmt.Errorf("type %q is not supported", f.Type)
}
