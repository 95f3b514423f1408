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
	quotes := before && after && sign != "-"                // "a" * 3, a_ * 3, but "Yes" - he said
	if !operandEnds(left, quotes) || !operandBegins(right, quotes) {
		return false
	}
	emphasis := strings.ContainsAny(sign, "*~")
	switch {
	case before && after:
		return true
	case before || after: // a >b, x<- 5, but a *b*, a -b
		return sign != "-" && !emphasis || strings.HasSuffix(sign, "=")
	case sign == "-": // f(x)-1; letters and digits have a hyphen between them
		return !isAlnum(left[len(left)-1]) || !isAlnum(right[0])
	}
	// Scripts without spaces have **emphasis** inside a line.
	return !emphasis || len(sign) == 1 || left[len(left)-1] < utf8.RuneSelf && right[0] < utf8.RuneSelf
}

func isSign(c byte) bool { return strings.IndexByte("*~>-<=|", c) >= 0 }

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

// splitOperators parts a normalised text at its spaces and around its operators.
func splitOperators(s string) []string {
	var out []string
	for _, w := range strings.Fields(s) {
		for from, i := 0, 1; i <= len(w); i++ {
			if i == len(w) || isOperatorByte(w[i]) != isOperatorByte(w[i-1]) {
				out = append(out, w[from:i])
				from = i
			}
		}
	}
	return slices.Clip(out)
}

// isOperatorByte tells the signs that part words by themselves: a*b is three, and/or is one.
func isOperatorByte(c byte) bool { return strings.IndexByte("*~+<>=^!", c) >= 0 }
