package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	regexp2 "github.com/dlclark/regexp2/v2"
)

// matcher calls emit with the matches in s, from left to right, none empty.
type matcher func(s string, emit func(from, to int))

// parseMatcher reads {"String": ...} or {"Regex": ...}.
func parseMatcher(b json.RawMessage) (matcher, error) {
	var pat struct{ String, Regex *string }
	if err := json.Unmarshal(b, &pat); err != nil {
		return nil, fmt.Errorf("pattern: %w", err)
	}
	switch {
	case pat.String != nil && *pat.String != "":
		return literal(*pat.String), nil
	case pat.Regex != nil && knownPatterns[*pat.Regex] != nil:
		scan := knownPatterns[*pat.Regex]
		return func(s string, emit func(from, to int)) {
			for i := 0; i < len(s); {
				j := scan(s, i)
				emit(i, j)
				i = j
			}
		}, nil
	case pat.Regex != nil:
		return compile(*pat.Regex)
	}
	return nil, fmt.Errorf("pattern %s: expected String or Regex", b)
}

func literal(what string) matcher {
	return func(s string, emit func(from, to int)) {
		for i := 0; ; {
			k := strings.Index(s[i:], what)
			if k < 0 {
				return
			}
			emit(i+k, i+k+len(what))
			i += k + len(what)
		}
	}
}

// compile makes a matcher of a pattern that no scanner knows. The engine counts characters, we count bytes.
func compile(pattern string) (matcher, error) {
	re, err := regexp2.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	return func(s string, emit func(from, to int)) {
		runes := make([]rune, 0, len(s))
		at := make([]int, 0, len(s)+1)
		for i := 0; i < len(s); {
			r, n := utf8.DecodeRuneInString(s[i:])
			runes = append(runes, elder(r))
			at = append(at, i)
			i += n
		}
		at = append(at, len(s))
		// An error is a time limit or a stack overflow of the engine; neither is set. What was found until then stands.
		_ = re.FindRunesMatches(runes, 0, func(m regexp2.MatchView) bool {
			if from, n, ok := m.GroupRange(0); ok && n > 0 {
				emit(at[from], at[from+n])
			}
			return true
		})
	}, nil
}

// elder stands in for a letter or a number that is younger than the engine's tables: one of the same category.
func elder(r rune) rune {
	c := classOf(r)
	switch {
	case c&letter != 0 && !unicode.Is(unicode.L, r):
		if toLower(r) != r {
			return 0x10A0 // a Georgian capital
		}
		for i := 0; i < len(moreLower); i += 3 {
			if u := r - moreLower[i+2]; u >= moreLower[i] && u <= moreLower[i+1] {
				return 0x2D00 // its lower case
			}
		}
		return 0xA000 // a syllable of Yi
	case c&number != 0 && !unicode.Is(unicode.N, r):
		return 0x0660 // an Arabic digit
	}
	return r
}

// runs is the matcher of maximal runs of characters for which is holds; one by one where single is set.
func runs(single bool, is func(r rune) bool) matcher {
	return func(s string, emit func(from, to int)) {
		from := -1
		for i := 0; i < len(s); {
			r, n := utf8.DecodeRuneInString(s[i:])
			if is(r) {
				if from < 0 {
					from = i
				}
				if single {
					emit(from, i+n)
					from = -1
				}
			} else if from >= 0 {
				emit(from, i)
				from = -1
			}
			i += n
		}
		if from >= 0 {
			emit(from, len(s))
		}
	}
}

// behavior is what becomes of a match.
type behavior int

const (
	removed behavior = iota
	isolated
	mergedWithPrevious
	mergedWithNext
	contiguous
)

var behaviors = map[string]behavior{"Removed": removed, "Isolated": isolated, "MergedWithPrevious": mergedWithPrevious,
	"MergedWithNext": mergedWithNext, "Contiguous": contiguous}

// splitPre cuts at matches. With invert, what lies between the matches counts as the matches.
type splitPre struct {
	find   matcher
	how    behavior
	invert bool
}

type cutPart struct {
	from, to int
	match    bool
}

func (p splitPre) split(t stretch, emit func(stretch)) {
	var parts []cutPart
	done := 0
	add := func(from, to int, match bool) {
		if from < to {
			parts = append(parts, cutPart{from, to, match != p.invert})
		}
	}
	p.find(t.s, func(from, to int) {
		add(done, from, false)
		add(from, to, true)
		done = to
	})
	add(done, len(t.s), false)
	out := parts[:0]
	prev := false
	for i, e := range parts {
		n := len(out)
		switch p.how {
		case removed:
			if !e.match {
				out = append(out, e)
			}
		case isolated:
			out = append(out, e)
		case mergedWithPrevious: // a match joins what is before it, unless that is a match
			if e.match && i > 0 && !prev && n > 0 {
				out[n-1].to = e.to
			} else {
				out = append(out, e)
			}
		case mergedWithNext: // a match begins the part that the next text ends
			if !e.match && i > 0 && prev && n > 0 {
				out[n-1].to = e.to
			} else {
				out = append(out, e)
			}
		case contiguous:
			if i > 0 && prev == e.match {
				out[n-1].to = e.to
			} else {
				out = append(out, e)
			}
		}
		prev = e.match
	}
	for _, e := range out {
		emit(t.cut(e.from, e.to))
	}
}
