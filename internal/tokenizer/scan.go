package tokenizer

// A scanner returns the end of the match that starts at s[i]; the patterns below match at every position, so pieces
// touch. Each is the leftmost-first reading of a regular expression with backtracking, written by hand.
type scanner func(s string, i int) int

const (
	patternGPT2  = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	patternLlama = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternQwen  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// patternCL100K, of OpenAI's vocabularies, differs from Llama 3's in giving nothing back and in one line break instead of
// several, which come to the same matches.
const patternCL100K = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`

// knownPatterns are the Split patterns that need no regular expression engine.
var knownPatterns = map[string]scanner{
	patternGPT2: scanGPT2,
	`'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`: scanGPT2,
	patternLlama:  scanLlama,
	patternQwen:   scanQwen,
	patternCL100K: scanLlama,
}

func scanGPT2(s string, i int) int {
	if s[i] == '\'' {
		if n := contraction(s[i+1:]); n > 0 {
			return i + 1 + n
		}
	}
	c, n := classAt(s, i)
	if c&space == 0 {
		return run(s, i+n, c&kinds)
	}
	if s[i] == ' ' && i+1 < len(s) {
		if d, w := classAt(s, i+1); d&space == 0 {
			return run(s, i+1+w, d&kinds)
		}
	}
	return spaces(s, i)
}

// spaces matches \s+(?!\S)|\s+ : a run of white space without its last character where something follows.
func spaces(s string, i int) int {
	last, j := i, i
	for j < len(s) {
		c, n := classAt(s, j)
		if c&space == 0 {
			break
		}
		last = j
		j += n
	}
	if j == len(s) || last == i {
		return j
	}
	return last
}

// contraction is the length of s, t, re, ve, m, ll or d at the start of s, 0 where there is none.
func contraction(s string) int {
	if s == "" {
		return 0
	}
	switch s[0] {
	case 's', 't', 'm', 'd':
		return 1
	case 'r', 'v':
		if len(s) > 1 && s[1] == 'e' {
			return 2
		}
	case 'l':
		if len(s) > 1 && s[1] == 'l' {
			return 2
		}
	}
	return 0
}

// contractionFold is contraction without regard to case; the long s (U+017F) folds to s.
func contractionFold(s string) int {
	if s == "" {
		return 0
	}
	second := byte(0)
	if len(s) > 1 {
		second = s[1] | 0x20
	}
	switch s[0] | 0x20 {
	case 's', 't', 'm', 'd':
		if s[0] >= 'A' {
			return 1
		}
	case 'r', 'v':
		if second == 'e' {
			return 2
		}
	case 'l':
		if second == 'l' {
			return 2
		}
	}
	if len(s) > 1 && s[0] == 0xC5 && s[1] == 0xBF {
		return 2
	}
	return 0
}

func scanLlama(s string, i int) int { return scanModern(s, i, 3) }
func scanQwen(s string, i int) int  { return scanModern(s, i, 1) }

// scanModern is the pattern of Llama 3 (digits: 3) and Qwen 2 (digits: 1).
func scanModern(s string, i, digits int) int {
	if s[i] == '\'' {
		if n := contractionFold(s[i+1:]); n > 0 {
			return i + 1 + n
		}
	}
	c, n := classAt(s, i)
	if c&letter != 0 {
		return run(s, i+n, letter)
	}
	if c&(newline|number) == 0 && i+n < len(s) {
		if d, w := classAt(s, i+n); d&letter != 0 {
			return run(s, i+n+w, letter)
		}
	}
	if c&number != 0 {
		i += n
		for range digits - 1 {
			if i >= len(s) {
				break
			}
			d, w := classAt(s, i)
			if d&number == 0 {
				break
			}
			i += w
		}
		return i
	}
	j := i
	if s[i] == ' ' {
		j++
	}
	if k := run(s, j, 0); k > j {
		for k < len(s) && (s[k] == '\r' || s[k] == '\n') {
			k++
		}
		return k
	}
	end, last, lines := i, i, -1 // lines: end of the last line break in the run
	for end < len(s) {
		d, w := classAt(s, end)
		if d&space == 0 {
			break
		}
		last = end
		end += w
		if d&newline != 0 {
			lines = end
		}
	}
	switch {
	case lines >= 0:
		return lines
	case end == len(s) || last == i:
		return end
	}
	return last
}

// eachDigit calls emit for every numeric character by itself and for every stretch between them.
func eachDigit(s string, emit func(from, to int)) {
	from := 0
	for i := 0; i < len(s); {
		c, n := classAt(s, i)
		if c&digit != 0 {
			if from < i {
				emit(from, i)
			}
			emit(i, i+n)
			from = i + n
		}
		i += n
	}
	if from < len(s) {
		emit(from, len(s))
	}
}
