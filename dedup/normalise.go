package dedup

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// What a byte of plain ASCII text becomes.
const (
	charDrop     = iota // separates words and disappears: , ; " ( ) ...
	charKeep            // letters (lowered through keptASCII), digits and signs that carry meaning: + = % $ ...
	charInWord          // stays where it belongs to a word or a number, joins nothing else: . ' _ ...
	charOperator        // stays inside a word and as an operator: * ~ >
	charMinus           // stays before and between digits and as an operator
	charAngle           // may open a tag
	charAmp             // may open an entity
	charHash            // stays after a letter (C#)
)

var (
	charClass [256]uint8
	keptASCII [256]byte // what a byte of class charKeep becomes, 0 of the other classes
)

func init() {
	keep := func(c, as byte) { charClass[c], keptASCII[c] = charKeep, as }
	for c := range byte(utf8.RuneSelf) {
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			keep(c, c)
		case c >= 'A' && c <= 'Z':
			keep(c, c+'a'-'A')
		}
	}
	for _, c := range []byte("+=%$@^|/\\") {
		keep(c, c)
	}
	for _, c := range []byte(".,:'_!") {
		charClass[c] = charInWord
	}
	for _, c := range []byte("*~>") {
		charClass[c] = charOperator
	}
	charClass['-'], charClass['<'], charClass['&'], charClass['#'] = charMinus, charAngle, charAmp, charHash
}

// Normalise brings texts that differ only in case, spacing, markup, typography and ornamental punctuation to one form.
// What changes the meaning stays: digits with their signs and points, operators between operands, superscripts, the # of
// C#, accents. Unicode is brought to NFKC first. The result has single spaces between words and none at the ends.
func Normalise(s string) string { return string(appendNormal(make([]byte, 0, len(s)+8), s)) }

// appendNormal appends Normalise(s) to dst.
func appendNormal(dst []byte, s string) []byte {
	s = foldUnicode(s)
	return appendFolded(dst, s, 0, len(s))
}

// foldUnicode brings a text to NFKC and its typographic signs to those of ASCII.
func foldUnicode(s string) string {
	if isASCII(s) {
		return s
	}
	return typography.Replace(compatible(s))
}

// raised are the superscripts, subscripts and fractions that NFKC would make plain digits and letters: 10² is not 102, nor 1½ 11/2.
var raised = &unicode.RangeTable{R16: []unicode.Range16{{0xb2, 0xb3, 1}, {0xb9, 0xb9, 1}, {0xbc, 0xbe, 1}, {0x2b0, 0x2b8, 1}, {0x2e0, 0x2e4, 1},
	{0x1d2c, 0x1d6a, 1}, {0x2070, 0x209f, 1}, {0x2150, 0x215f, 1}, {0x2189, 0x2189, 1}}, LatinOffset: 3}

// compatible is NFKC but for what is raised.
func compatible(s string) string {
	at := strings.IndexFunc(s, isRaised)
	if at < 0 {
		return norm.NFKC.String(s)
	}
	var b strings.Builder
	for ; at >= 0; at = strings.IndexFunc(s, isRaised) {
		_, size := utf8.DecodeRuneInString(s[at:])
		b.WriteString(norm.NFKC.String(s[:at]))
		b.WriteString(s[at : at+size])
		s = s[at+size:]
	}
	b.WriteString(norm.NFKC.String(s))
	return b.String()
}

func isRaised(r rune) bool { return unicode.Is(raised, r) }

func isASCII(s string) bool {
	for ; len(s) >= 8; s = s[8:] {
		if (s[0]|s[1]|s[2]|s[3]|s[4]|s[5]|s[6]|s[7])&utf8.RuneSelf != 0 {
			return false
		}
	}
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// The longer dashes are no hyphens: dash and parts say what they are.
var typography = strings.NewReplacer("‘", "'", "’", "'", "“", `"`, "”", `"`, "−", "-", "‐", "-", "‑", "-",
	"…", "...", "\u00ad", "", "\u200b", "", "\u200c", "", "\u200d", "", "\ufeff", "", "«", `"`, "»", `"`, "•", " ")

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= utf8.RuneSelf
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// normaliser writes the normal form of a text behind the first start bytes of dst.
type normaliser struct {
	dst   []byte
	start int
	space bool // a separator was seen since the last byte written
}

// appendFolded appends the normal form of s[lo:hi] to dst. What stands around it decides what its signs mean.
func appendFolded(dst []byte, s string, lo, hi int) []byte {
	n := normaliser{dst: dst, start: len(dst)}
	for i := lo; i < hi; {
		switch c := s[i]; {
		case c >= utf8.RuneSelf:
			i += n.rune(s, i)
		case charClass[c] == charKeep:
			n.part()
			var size int
			n.dst, size = appendKept(n.dst, s[i:hi])
			i += size
		case charClass[c] == charDrop:
			n.space = true
			i++
		default:
			i += n.sign(s, i)
		}
	}
	return n.dst
}

// part writes the space that is due.
func (n *normaliser) part() {
	if n.space && len(n.dst) > n.start {
		n.dst = append(n.dst, ' ')
	}
	n.space = false
}

func (n *normaliser) put(c byte) {
	n.part()
	n.dst = append(n.dst, c)
}

// apart writes c as a word of its own.
func (n *normaliser) apart(c byte) {
	n.space = true
	n.put(c)
	n.space = true
}

// rune takes the character at s[i], which is not ASCII, and returns its length.
func (n *normaliser) rune(s string, i int) int {
	r, size := utf8.DecodeRuneInString(s[i:])
	switch {
	case (r == '–' || r == '—') && dash(s[:i], s[i+size:]):
		n.put('-')
	case (r == '–' || r == '—') && parts(s, i, size):
		n.apart('-')
	case r == '·' && product(s[:i], s[i+size:]):
		n.put('*')
	case unicode.IsSpace(r), unicode.IsControl(r), unicode.IsPunct(r):
		n.space = true
	default:
		n.part()
		n.dst = utf8.AppendRune(n.dst, unicode.ToLower(r))
	}
	return size
}

// sign takes the sign at s[i], which stays where it means something and else parts words, and returns its length.
func (n *normaliser) sign(s string, i int) int {
	var before, after byte
	if i > 0 {
		before = s[i-1]
	}
	if i+1 < len(s) {
		after = s[i+1]
	}
	c := s[i]
	keep := true
	switch charClass[c] {
	case charAngle:
		if size := tagLength(s[i:]); size > 0 {
			n.space = true
			return size
		}
	case charAmp:
		if size, r := entity(s[i:]); size > 0 {
			n.entity(r)
			return size
		}
	case charHash:
		keep = isAlnum(before) && before < utf8.RuneSelf
	case charMinus:
		if doubleHyphen(s, i) {
			n.apart('-')
			return 2
		}
		keep = isDigit(after) && (isDigit(before) || !isAlnum(before)) || operator(s, i) || negates(s, i)
	case charOperator:
		keep = isAlnum(before) && isAlnum(after) || operator(s, i)
	case charInWord:
		switch {
		case c == ',' && thousands(s, i), c == '\'' && isAlnum(before) && isAlnum(after): // 1,000 is 1000, don't is dont
			return 1
		case c == '.': // 1.5, .5
			keep = isDigit(after) && (isDigit(before) || before <= ' ')
		case c == ':': // 10:30; a:b is a b
			keep = isDigit(before) && isDigit(after)
		case c == '_':
			keep = isAlnum(before) && isAlnum(after)
		case c == '!': // !=, !x
			keep = after == '=' || isAlnum(after) && before != '.'
		default:
			keep = false
		}
	}
	if keep {
		n.put(c)
	} else {
		n.space = true
	}
	return 1
}

// maxGroups bounds the groups of digits of a number; longer runs of them are lists.
const maxGroups = 12

// thousands tells that the comma at s[i] parts groups of digits of a number: 1,000 and 1,00,000 but not 1,2 or 1,2,300.
func thousands(s string, i int) bool {
	groups := 1
	for j := i; ; groups++ { // behind the comma
		n := 0
		for j++; j < len(s) && n < 4 && isDigit(s[j]); j++ {
			n++
		}
		more := j+1 < len(s) && s[j] == ',' && isDigit(s[j+1])
		if n != 3 && (n != 2 || !more) || groups > maxGroups {
			return false
		}
		if !more {
			break
		}
	}
	for j := i; ; groups++ { // before it
		n := 0
		for j--; j >= 0 && n < 4 && isDigit(s[j]); j-- {
			n++
		}
		more := j > 0 && s[j] == ',' && isDigit(s[j-1])
		if n == 0 || n > 3 || n == 1 && more || groups > maxGroups {
			return false
		}
		if !more {
			return true
		}
	}
}

// appendKept appends what s begins with as long as that is bytes of class charKeep and single spaces between them: most
// of most texts. It returns how many bytes of s these are.
func appendKept(dst []byte, s string) ([]byte, int) {
	dst = slices.Grow(dst, len(s))
	out := dst[len(dst) : len(dst)+len(s)]
	n := 0
	for ; n < len(out); n++ {
		k := keptASCII[s[n]]
		if k == 0 {
			if s[n] != ' ' || n+1 == len(s) || keptASCII[s[n+1]] == 0 {
				break
			}
			k = ' '
		}
		out[n] = k
	}
	return dst[:len(dst)+n], n
}

func (n *normaliser) entity(r byte) {
	if r == ' ' || r == '"' || r == '\'' {
		n.space = true
	} else {
		n.put(r)
	}
}

var entities = []struct {
	name string
	char byte
}{{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&#39;", '\''}, {"&apos;", '\''}, {"&nbsp;", ' '}}

func entity(s string) (int, byte) {
	for _, e := range entities {
		if strings.HasPrefix(s, e.name) {
			return len(e.name), e.char
		}
	}
	return 0, 0
}

// tags are the names of HTML tags; true are those inside lines.
var tags = map[string]bool{}

func init() {
	for _, t := range strings.Fields("p br hr div ul ol li h1 h2 h3 h4 h5 h6 pre table thead tbody tr td th img blockquote sub sup center " +
		"html body head title section article header footer nav dl dt dd") {
		tags[t] = false
	}
	for _, t := range strings.Fields("a b i u s em strong span code del ins small big font mark kbd") {
		tags[t] = true
	}
}

// tagLength is the length of the HTML tag s opens with, or 0. Only known names count, so that "a < b && c > d" stays.
func tagLength(s string) int {
	i := 1
	if i < len(s) && s[i] == '/' {
		i++
	}
	name := i
	for i < len(s) && i < name+12 && isAlnum(s[i]) && s[i] < utf8.RuneSelf {
		i++
	}
	if _, known := tags[strings.ToLower(s[name:i])]; !known {
		return 0
	}
	if i < len(s) && s[i] == ' ' && i+1 < len(s) && s[i+1] != '/' && s[i+1] != '>' && (!isAlnum(s[i+1]) || isDigit(s[i+1])) {
		return 0
	}
	for limit := i + 300; i < len(s) && i < limit; i++ {
		switch s[i] {
		case '>':
			return i + 1
		case '<', '\n':
			return 0
		}
	}
	return 0
}

// inlineTag is the length of the tag s opens with if such tags stand inside lines, or 0.
func inlineTag(s string) int {
	size := tagLength(s)
	name := strings.TrimLeft(s[:size], "</")
	if end := strings.IndexAny(name, " \t/>"); end < 0 || !tags[strings.ToLower(name[:end])] {
		return 0
	}
	return size
}
