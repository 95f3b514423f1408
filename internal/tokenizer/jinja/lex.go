package jinja

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokKind int

const (
	tokEOF tokKind = iota
	tokText
	tokVarBegin
	tokVarEnd
	tokBlockBegin
	tokBlockEnd
	tokName
	tokString
	tokInt
	tokFloat
	tokOp
)

type token struct {
	kind tokKind
	text string
	line int
}

// lexer cuts a source into text, tags and the tokens in them.
type lexer struct {
	src       string
	pos, line int
	lineStart bool // what was consumed last ended a line
	toks      []token
}

func lex(src string) []token {
	src = strings.ReplaceAll(strings.ReplaceAll(src, "\r\n", "\n"), "\r", "\n")
	src = strings.TrimSuffix(src, "\n")
	l := &lexer{src: src, line: 1, lineStart: true}
	for l.pos < len(src) {
		l.text()
	}
	l.add(tokEOF, "")
	return l.toks
}

func (l *lexer) add(kind tokKind, text string) { l.toks = append(l.toks, token{kind, text, l.line}) }

// skip consumes the next n bytes.
func (l *lexer) skip(n int) {
	part := l.src[l.pos : l.pos+n]
	l.line += strings.Count(part, "\n")
	l.pos += n
	if n > 0 {
		l.lineStart = part[n-1] == '\n'
	}
}

// text consumes text up to the next tag, and the tag.
func (l *lexer) text() {
	rest := l.src[l.pos:]
	at := -1
	for i := 0; i+1 < len(rest); i++ {
		if rest[i] == '{' && (rest[i+1] == '{' || rest[i+1] == '%' || rest[i+1] == '#') {
			at = i
			break
		}
	}
	if at < 0 {
		l.add(tokText, rest)
		l.skip(len(rest))
		return
	}
	data, open := rest[:at], rest[at+1]
	sign := byte(0)
	if at+2 < len(rest) && (rest[at+2] == '-' || rest[at+2] == '+') {
		sign = rest[at+2]
	}
	switch {
	case sign == '-':
		data = strings.TrimRightFunc(data, isSpace)
	case sign != '+' && open != '{': // lstrip_blocks
		from := strings.LastIndexByte(data, '\n') + 1
		if (from > 0 || l.lineStart) && strings.TrimFunc(data[from:], isSpace) == "" {
			data = data[:from]
		}
	}
	if data != "" {
		l.add(tokText, data)
	}
	l.skip(at + 2)
	if sign != 0 {
		l.skip(1)
	}
	switch open {
	case '#':
		l.comment()
	case '{':
		l.add(tokVarBegin, "{{")
		l.inside("}}", tokVarEnd)
	default:
		if l.raw() {
			return
		}
		l.add(tokBlockBegin, "{%")
		l.inside("%}", tokBlockEnd)
	}
}

func (l *lexer) comment() {
	end := strings.Index(l.src[l.pos:], "#}")
	if end < 0 {
		fail(l.line, "a comment has no end")
	}
	sign := byte(0)
	if end > 0 {
		sign = l.src[l.pos+end-1]
	}
	l.skip(end + 2)
	l.afterBlock(sign)
}

// afterBlock drops what follows the end of a block or a comment: all white space after "-", else one line break.
func (l *lexer) afterBlock(sign byte) {
	switch {
	case sign == '-':
		l.skipSpace()
	case sign != '+' && strings.HasPrefix(l.src[l.pos:], "\n"): // trim_blocks
		l.skip(1)
	}
}

func (l *lexer) skipSpace() {
	rest := l.src[l.pos:]
	l.skip(len(rest) - len(strings.TrimLeftFunc(rest, isSpace)))
}

// raw consumes {% raw %}...{% endraw %} where it stands; the lexer is behind "{%".
func (l *lexer) raw() bool {
	rest := strings.TrimLeftFunc(l.src[l.pos:], isSpace)
	if !strings.HasPrefix(rest, "raw") {
		return false
	}
	rest = strings.TrimLeftFunc(rest[3:], isSpace)
	trim := strings.HasPrefix(rest, "-%}")
	if trim {
		rest = rest[1:]
	}
	if !strings.HasPrefix(rest, "%}") {
		return false
	}
	l.skip(len(l.src) - l.pos - len(rest) + 2)
	if trim { // unlike other blocks, this one keeps the line break after it
		l.skipSpace()
	}
	rest = l.src[l.pos:]
	for i := 0; ; {
		k := strings.Index(rest[i:], "{%")
		if k < 0 {
			fail(l.line, "a raw block has no end")
		}
		i += k
		tag := rest[i+2:]
		before, left := tag != "" && tag[0] == '-', strings.TrimLeftFunc(strings.TrimLeft(tag, "-+"), isSpace)
		if strings.HasPrefix(left, "endraw") {
			if left = strings.TrimLeftFunc(left[6:], isSpace); strings.HasPrefix(left, "%}") || strings.HasPrefix(left, "-%}") {
				data, sign := rest[:i], byte(0)
				if before {
					data = strings.TrimRightFunc(data, isSpace)
				}
				if left[0] == '-' {
					sign, left = '-', left[1:]
				}
				l.add(tokText, data)
				l.skip(len(rest) - len(left) + 2)
				l.afterBlock(sign)
				return true
			}
		}
		i += 2
	}
}

var operators = []string{"//", "**", "==", "!=", ">=", "<=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "|", ".", ",", ":", "(", ")", "[", "]", "{", "}"}

// inside consumes the tokens of a tag and its end.
func (l *lexer) inside(end string, kind tokKind) {
	depth := 0
	for {
		l.skipSpace()
		rest := l.src[l.pos:]
		if rest == "" {
			fail(l.line, "a tag has no end: %q expected", end)
		}
		if depth == 0 {
			sign := byte(0)
			if (rest[0] == '-' || rest[0] == '+' && kind == tokBlockEnd) && strings.HasPrefix(rest[1:], end) {
				sign = rest[0]
			}
			if sign != 0 || strings.HasPrefix(rest, end) {
				l.add(kind, end)
				if sign != 0 {
					l.skip(1)
				}
				l.skip(len(end))
				if kind == tokBlockEnd {
					l.afterBlock(sign)
				} else if sign == '-' {
					l.skipSpace()
				}
				return
			}
		}
		r, _ := utf8.DecodeRuneInString(rest)
		switch {
		case r == '"' || r == '\'':
			l.str(rest)
		case r >= '0' && r <= '9':
			l.number(rest)
		case r == '_' || unicode.IsLetter(r):
			n := strings.IndexFunc(rest, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
			if n < 0 {
				n = len(rest)
			}
			l.add(tokName, rest[:n])
			l.skip(n)
		default:
			depth = l.operator(rest, depth)
		}
	}
}

func (l *lexer) operator(rest string, depth int) int {
	for _, op := range operators {
		if strings.HasPrefix(rest, op) {
			l.add(tokOp, op)
			l.skip(len(op))
			switch op {
			case "(", "[", "{":
				depth++
			case ")", "]", "}":
				depth--
				if depth < 0 {
					fail(l.line, "unexpected %q", op)
				}
			}
			return depth
		}
	}
	fail(l.line, "unexpected character %q", rest[:min(len(rest), 4)])
	return 0
}

func (l *lexer) str(rest string) {
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case rest[0]:
			l.add(tokString, unescape(rest[1:i], l.line))
			l.skip(i + 1)
			return
		}
	}
	fail(l.line, "a string has no end")
}

// unescape reads Python's escapes in a string.
func unescape(s string, line int) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		width := 0
		switch c := s[i]; c {
		case '\n':
		case '\\', '\'', '"':
			b.WriteByte(c)
		case 'n', 't', 'r', 'b', 'f', 'v', 'a':
			b.WriteByte("\n\t\r\b\f\v\a"[strings.IndexByte("ntrbfva", c)])
		case 'x':
			width = 2
		case 'u':
			width = 4
		case 'U':
			width = 8
		case '0', '1', '2', '3', '4', '5', '6', '7':
			j := i
			for j < len(s) && j < i+3 && s[j] >= '0' && s[j] <= '7' {
				j++
			}
			n, _ := strconv.ParseUint(s[i:j], 8, 32)
			b.WriteRune(rune(n))
			i = j - 1
		default:
			b.WriteByte('\\')
			b.WriteByte(c)
		}
		if width > 0 {
			n, err := strconv.ParseUint(s[min(len(s), i+1):min(len(s), i+1+width)], 16, 32)
			if err != nil || i+width >= len(s) {
				fail(line, "a broken escape in %q", s)
			}
			b.WriteRune(rune(n))
			i += width
		}
	}
	return b.String()
}

func (l *lexer) number(rest string) {
	digits := func(i int) int {
		for i < len(rest) && (rest[i] >= '0' && rest[i] <= '9' || rest[i] == '_') {
			i++
		}
		return i
	}
	n, kind := digits(0), tokInt
	if n+1 < len(rest) && rest[n] == '.' && rest[n+1] >= '0' && rest[n+1] <= '9' {
		n, kind = digits(n+1), tokFloat
	}
	if n < len(rest) && (rest[n] == 'e' || rest[n] == 'E') {
		k := n + 1
		if k < len(rest) && (rest[k] == '+' || rest[k] == '-') {
			k++
		}
		if m := digits(k); m > k {
			n, kind = m, tokFloat
		}
	}
	l.add(kind, strings.ReplaceAll(rest[:n], "_", ""))
	l.skip(n)
}

// isSpace is Python's str.isspace for one character.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1C && r <= 0x1F }
