package datasets

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// NFC composes characters (Unicode normalisation form C): the same text typed on two systems becomes the same bytes.
func NFC(s string) string { return norm.NFC.String(s) }

// invisible are the characters that change bytes but nothing that is seen. The zero-width joiners stay: emoji and several scripts need them.
func invisible(r rune) bool {
	switch r {
	case '\u00ad', '\u200b', '\u2060', '\ufeff', '\u180e':
		return true
	}
	return false
}

// Tidy is the normalisation that may be written back: NFC, line ends as \n, no invisible characters, no blanks at the ends of lines, at
// most one empty line in a row, nothing around the text. Words and their spacing inside a line stay, because code depends on it.
func Tidy(s string) string {
	s = NFC(s)
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.ReplaceAll(s, "\r", "\n")
	s = strings.Map(func(r rune) rune {
		if invisible(r) {
			return -1
		}
		return r
	}, s)
	lines := strings.Split(s, "\n")
	out := lines[:0]
	empty := 0
	for _, l := range lines {
		l = strings.TrimRightFunc(l, unicode.IsSpace)
		if l == "" {
			empty++
		} else {
			empty = 0
		}
		if empty < 2 {
			out = append(out, l)
		}
	}
	return strings.Trim(strings.Join(out, "\n"), "\n")
}

// Fold is the normalisation for comparing, never for writing: compatibility forms (NFKC), lower case, every run of white space one space,
// no invisible characters. Texts that fold to the same are the same to a reader.
func Fold(s string) string {
	s = norm.NFKC.String(strings.ToLower(norm.NFKC.String(s)))
	var b strings.Builder
	b.Grow(len(s))
	gap := false
	for _, r := range s {
		switch {
		case invisible(r):
		case unicode.IsSpace(r):
			gap = b.Len() > 0
		default:
			if gap {
				b.WriteByte(' ')
				gap = false
			}
			b.WriteRune(r)
		}
	}
	return b.String()
}

// MapText applies f to every text of a record: contents of all messages. Records share messages, so new ones are made.
func (r *Record) MapText(f func(string) string) {
	for _, side := range []*[]Message{&r.Prompt, &r.Chosen, &r.Rejected} {
		if len(*side) == 0 {
			continue
		}
		out := make([]Message, len(*side))
		for i, m := range *side {
			m.Content = f(m.Content)
			out[i] = m
		}
		*side = out
	}
}
