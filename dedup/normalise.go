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
	charDrop   = iota // separates words and disappears: , ; " ( ) ...
	charKeep          // letters (lowered through keptASCII), digits and signs that carry meaning: + = % $ ...
	charInWord        // stays between two letters or digits only, joins nothing else: . ' * _ # ...
	charMinus         // stays before a digit and inside a word
	charAngle         // may open a tag
	charAmp           // may open an entity
	charHash          // stays after a letter (C#)
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
	for _, c := range []byte(".,:'*_~!") {
		charClass[c] = charInWord
	}
	charClass['-'], charClass['<'], charClass['&'], charClass['#'] = charMinus, charAngle, charAmp, charHash
	charClass['>'] = charInWord
}

// Normalise brings texts that differ only in case, spacing, markup, typography and ornamental punctuation to one form.
// What changes the meaning stays: digits and their signs and points, operators, the # of C#, accents. Unicode is
// brought to NFKC first. The result has single spaces between words and none at the ends.
func Normalise(s string) string { return string(appendNormal(make([]byte, 0, len(s)+8), s)) }

// appendNormal appends Normalise(s) to dst.
func appendNormal(dst []byte, s string) []byte {
	if !isASCII(s) {
		s = foldTypography(norm.NFKC.String(s))
	}
	return appendNormalASCIIAware(dst, s)
}

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

var typography = strings.NewReplacer("‘", "'", "’", "'", "“", `"`, "”", `"`, "–", "-", "—", "-", "−", "-", "‐", "-", "‑", "-",
	"…", "...", "\u00ad", "", "\u200b", "", "\u200c", "", "\u200d", "", "\ufeff", "", "«", `"`, "»", `"`, "•", " ", "·", " ")

func foldTypography(s string) string { return typography.Replace(s) }

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= utf8.RuneSelf
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func appendNormalASCIIAware(dst []byte, s string) []byte {
	start := len(dst)
	space := false // a separator was seen since the last byte written
	put := func(c byte) {
		if space && len(dst) > start {
			dst = append(dst, ' ')
		}
		space = false
		dst = append(dst, c)
	}
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			i += size
			switch {
			case unicode.IsSpace(r), unicode.IsControl(r):
				space = true
			case unicode.IsPunct(r):
				space = true
			default:
				if space && len(dst) > start {
					dst = append(dst, ' ')
				}
				space = false
				dst = utf8.AppendRune(dst, unicode.ToLower(r))
			}
			continue
		}
		var before, after byte
		switch charClass[c] {
		case charKeep:
			if space && len(dst) > start {
				dst = append(dst, ' ')
			}
			space = false
			var n int
			dst, n = appendKept(dst, s[i:])
			i += n
			continue
		case charDrop:
			space = true
			i++
			continue
		}
		if i > 0 {
			before = s[i-1]
		}
		if i+1 < len(s) {
			after = s[i+1]
		}
		switch charClass[c] {
		case charInWord:
			switch {
			case (c == '.' || c == ',' || c == ':') && isDigit(before) && isDigit(after):
				if c != ',' { // 1,000 is 1000
					put(c)
				}
			case c == '.' && isDigit(after) && (before == 0 || before == ' '): // .5
				put(c)
			case c == '.' || c == ',' || c == ':' || c == '\'':
				if c != '\'' || !isAlnum(before) || !isAlnum(after) { // don't is dont, a:b is a b
					space = true
				}
			case c == '!' && (after == '=' || isAlnum(after) && !isAlnum(before) && before != '.'):
				put(c)
			case isAlnum(before) && isAlnum(after):
				put(c)
			default:
				space = true
			}
		case charMinus:
			if isDigit(after) && (before == 0 || !isAlnum(before)) || isDigit(before) && isDigit(after) {
				put(c)
			} else {
				space = true
			}
		case charHash:
			if isAlnum(before) && before < utf8.RuneSelf {
				put(c)
			} else {
				space = true
			}
		case charAngle:
			if n := tagLength(s[i:]); n > 0 {
				space = true
				i += n
				continue
			}
			put(c)
		case charAmp:
			if n, r := entity(s[i:]); n > 0 {
				dst, space = appendEntity(dst, start, space, r)
				i += n
				continue
			}
			put(c)
		}
		i++
	}
	return dst
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

func appendEntity(dst []byte, start int, space bool, r byte) ([]byte, bool) {
	if r == ' ' || r == '"' || r == '\'' {
		return dst, true
	}
	if space && len(dst) > start {
		dst = append(dst, ' ')
	}
	return append(dst, r), false
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

var tags = map[string]bool{}

func init() {
	for _, t := range strings.Fields("a b i u s p em strong br hr div span ul ol li h1 h2 h3 h4 h5 h6 code pre table thead tbody tr td th img " +
		"blockquote sub sup del ins small big font center html body head title section article header footer nav mark kbd dl dt dd") {
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
	if !tags[strings.ToLower(s[name:i])] {
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
