package dedup

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxOperator is the length of the longest operator (>>>=); longer runs of signs are lines.
const maxOperator = 4

// operator tells that s[i], one of * ~ > -, belongs to an operator: a run of signs with an operand on either side in the same
// line. A bullet, the dash of a dialogue and the > of a quotation have none before them; *emphasis* touches one of the two.
func operator(s string, i int) bool {
	lo, hi := i, i+1
	for lo > 0 && hi-lo <= maxOperator && isSign(s[lo-1]) && (s[lo-1] != '>' || s[i] == '>') { // a tag may end there
		lo--
	}
	for hi < len(s) && hi-lo <= maxOperator && isSign(s[hi]) {
		hi++
	}
	sign, left, right := s[lo:hi], strings.TrimRight(s[:lo], " \t"), strings.TrimLeft(s[hi:], " \t")
	if len(sign) > maxOperator || strings.HasPrefix(sign, "--") || strings.HasPrefix(sign, "***") {
		return false
	}
	before, after := len(left) < lo, len(right) < len(s)-hi // spaces
	if before && after {
		return operands(left, right, sign != "-") // "a" * 3, a_ * 3, but "Yes" - he said
	}
	if !operandEnds(left, false) || !operandBegins(right, false) {
		return false
	}
	emphasis := strings.ContainsAny(sign, "*~")
	switch {
	case before || after: // a >b, x<- 5, but a *b*, a -b
		return sign != "-" && !emphasis || strings.HasSuffix(sign, "=")
	case sign == "-": // f(x)-1; letters and digits have a hyphen between them
		return !isAlnum(left[len(left)-1]) || !isAlnum(right[0])
	}
	// Scripts without spaces have **emphasis** inside a line.
	return !emphasis || len(sign) == 1 || left[len(left)-1] < utf8.RuneSelf && right[0] < utf8.RuneSelf
}

func isSign(c byte) bool { return strings.IndexByte("*~>-<=|", c) >= 0 }

// operands tells that a sign with spaces on both sides has operands there, be they **marked** or <b>marked</b>.
func operands(left, right string, quotes bool) bool {
	return (operandEnds(left, quotes) || operandEnds(unmarkedEnd(left), quotes)) &&
		(operandBegins(right, quotes) || operandBegins(unmarkedBegin(right), quotes))
}

// unmarkedEnd cuts the markup off that s ends with.
func unmarkedEnd(s string) string {
	s = strings.TrimRight(s, markup)
	if tail := s[max(len(s)-maxMarkup, 0):]; strings.HasSuffix(tail, ">") {
		if at := strings.LastIndexByte(tail, '<'); at >= 0 && inlineTag(tail[at:]) == len(tail)-at {
			s = strings.TrimRight(s[:len(s)-len(tail)+at], markup)
		}
	}
	return s
}

// unmarkedBegin cuts the markup off that s begins with.
func unmarkedBegin(s string) string {
	s = strings.TrimLeft(s, markup)
	if strings.HasPrefix(s, "<") {
		s = strings.TrimLeft(s[inlineTag(s):], markup)
	}
	return s
}

const (
	markup    = "*_~`"
	maxMarkup = 300 // the longest tag that is looked past
)

// operandEnds tells that s ends with what an operator can follow.
func operandEnds(s string, quotes bool) bool {
	r, _ := utf8.DecodeLastRuneInString(s)
	return isOperand(r) || strings.ContainsRune(")]}%$", r) || quotes && strings.ContainsRune("\"'`_", r)
}

// operandBegins tells that s begins with what can follow an operator, perhaps with signs of its own: -1, $a, !b.
func operandBegins(s string, quotes bool) bool {
	for n := 0; n < 2 && s != "" && strings.IndexByte(`-+!~&*$@._\`, s[0]) >= 0; n++ {
		s = s[1:]
	}
	r, _ := utf8.DecodeRuneInString(s)
	return isOperand(r) || strings.ContainsRune("([{", r) || quotes && strings.ContainsRune("\"'`", r)
}

func isOperand(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r) || r >= utf8.RuneSelf && unicode.In(r, unicode.Sm, unicode.Sc)
}

// negates tells that the hyphen at s[i] is a minus before a name or a bracket, or marks an option: y = -x, f(-x), ls -l.
func negates(s string, i int) bool {
	if i+1 == len(s) || !isAlnum(s[i+1]) && s[i+1] != '(' {
		return false
	}
	left := strings.TrimRight(s[:i], " \t")
	return left != "" && strings.IndexByte("=<(/+^[{", left[len(left)-1]) >= 0 || strings.HasSuffix(left, " >") ||
		len(left) < i && operandEnds(left, false)
}

// dash tells that a longer dash between left and right is a minus or stands between numbers.
func dash(left, right string) bool {
	if right != "" && isDigit(right[0]) && (left == "" || !isAlnum(left[len(left)-1])) {
		return true
	}
	left, right = strings.TrimRight(left, " \t"), strings.TrimLeft(right, " \t")
	return left != "" && right != "" && isDigit(left[len(left)-1]) && isDigit(right[0])
}

// parts tells that a dash of size bytes at s[i] stands between operands as a spaced hyphen does: a — b, a—b and a -- b are a - b. Between
// letters the shorter dash is a hyphen: Paris–London.
func parts(s string, i, size int) bool {
	left, right := strings.TrimRight(s[:i], " \t"), strings.TrimLeft(s[i+size:], " \t")
	spaces := len(s) - size - len(left) - len(right)
	return (spaces > 0 || !strings.HasPrefix(s[i:], "–")) && operands(left, right, false)
}

// doubleHyphen tells that the two hyphens at s[i] are a dash: not --option, -->, i-- or a line.
func doubleHyphen(s string, i int) bool {
	if !strings.HasPrefix(s[i:], "--") || i > 0 && isSign(s[i-1]) || i+2 == len(s) || isSign(s[i+2]) {
		return false
	}
	before, after := i > 0 && isBlank(s[i-1]), isBlank(s[i+2])
	if !before && !after && (isDigit(s[i+2]) || product(s[:i], s[i+2:])) { // 5--3, n--m
		return false
	}
	return before == after && parts(s, i, 2)
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// product tells that a middle dot between left and right multiplies: 3 · 4, a·b, but not col·legi or Home · About.
func product(left, right string) bool {
	left, right = strings.TrimRight(left, " \t"), strings.TrimLeft(right, " \t")
	r, size := utf8.DecodeLastRuneInString(left)
	next, _ := utf8.DecodeLastRuneInString(left[:len(left)-size])
	if !isFactor(r, next) {
		return false
	}
	r, size = utf8.DecodeRuneInString(right)
	next, _ = utf8.DecodeRuneInString(right[size:])
	return isFactor(r, next)
}

// isFactor tells that r is of a number, or a letter with none next to it.
func isFactor(r, next rune) bool {
	return unicode.IsNumber(r) || unicode.In(r, unicode.Latin, unicode.Greek) && !unicode.IsLetter(next) && !unicode.IsMark(next)
}

// splitOperators parts a normalised text at its spaces and around the operators inside its words: a*b is three words, c++, 18+ and <5 are one.
func splitOperators(s string) []string {
	var out []string
	for _, w := range strings.Fields(s) {
		from := 0
		for i := 1; i < len(w); i++ {
			if !isOperatorByte(w[i]) || !operandEnds(w[:i], false) {
				continue
			}
			end := i
			for end < len(w) && isOperatorByte(w[end]) {
				end++
			}
			if operandBegins(w[end:], false) {
				out = append(out, w[from:i], w[i:end])
				from = end
			}
			i = end
		}
		out = append(out, w[from:])
	}
	return slices.Clip(out)
}

// sameSigns tells that two words have the same signs: count++ is no slip of count.
func sameSigns(a, b string) bool {
	signs := func(r rune) rune {
		if strings.ContainsRune(operatorSigns, r) {
			return r
		}
		return -1
	}
	return strings.Map(signs, a) == strings.Map(signs, b)
}

// operatorSigns are the signs operators are made of in normalised texts.
const operatorSigns = "*~+<>=^!-/%|&"

// isOperatorByte tells the signs that part words by themselves: a*b is three, and/or is one.
func isOperatorByte(c byte) bool { return strings.IndexByte("*~+<>=^!", c) >= 0 }
