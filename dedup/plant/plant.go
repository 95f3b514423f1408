// Package plant makes duplicates on purpose: texts, copies of them edited in known ways, and texts that look like copies
// and are not. Tests measure recall and precision with it, and verifiers are trained on it.
//
// It owns the edits and a small generator of texts. It must not know how duplicates are found: what it plants must not be
// made to fit a detector.
package plant

import (
	"math/rand/v2"
	"strings"
	"unicode"
)

// Kind is how a planted text came from its original.
type Kind string

// The copies: each still says what its original says.
const (
	Exact      Kind = "exact"
	Case       Kind = "case"       // letter case and spacing
	Markup     Kind = "markup"     // HTML or Markdown around words, typographic quotes
	Typos      Kind = "typos"      // letters dropped, doubled, swapped: 1 to 4% of the words
	Truncation Kind = "truncation" // the last 5 to 20% of the words are missing
	Reordering Kind = "reordering" // sentences in another order
	Paraphrase Kind = "paraphrase" // words replaced by words of the same meaning, contractions, filler
)

// The look-alikes: each says something else.
const (
	Number   Kind = "number"   // one number is another
	Name     Kind = "name"     // one name is another
	Negation Kind = "negation" // one sentence is negated
	Opposite Kind = "opposite" // one word became its opposite
)

// Copies and LookAlikes list the kinds.
var (
	Copies     = []Kind{Exact, Case, Markup, Typos, Truncation, Reordering, Paraphrase}
	LookAlikes = []Kind{Number, Name, Negation, Opposite}
)

// Planter plants with one random stream. Half says which half of the word lists it draws from (0 or 1), so that a
// test set can hold no replacement that a training set held; -1 uses all.
type Planter struct {
	Rand      *rand.Rand
	Half      int
	Sentences int // at most, in a text that Pairs makes; 0: 8
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// Edit returns text changed in the given way; false when the text offers no place for it (no number to change, say).
func (p *Planter) Edit(text string, kind Kind) (string, bool) {
	out := text
	switch kind {
	case Exact:
		return text, true
	case Case:
		out = p.caseAndSpace(text)
	case Markup:
		out = p.markup(text)
	case Typos:
		out = p.typos(text)
	case Truncation:
		out = p.truncate(text)
	case Reordering:
		out = p.reorder(text)
	case Paraphrase:
		out = p.paraphrase(text)
	case Number:
		out = p.number(text)
	case Name:
		out = p.name(text)
	case Negation:
		out = p.negate(text)
	case Opposite:
		out = p.swapWord(text, opposites, 1)
	}
	return out, out != text
}

// cut splits at single spaces; strings.Join(cut(s), " ") is s.
func cut(s string) []string { return strings.Split(s, " ") }

func (p *Planter) caseAndSpace(text string) string {
	words := cut(text)
	switch p.Rand.IntN(4) {
	case 0:
		return strings.ToUpper(text)
	case 1:
		return strings.ToLower(text) + " "
	case 2:
		for i, w := range words {
			words[i] = title(w)
		}
		return strings.Join(words, " ")
	}
	for range 1 + len(words)/10 {
		i := p.Rand.IntN(len(words))
		words[i] = pick(p.Rand, []string{" ", "\n", "\t"}) + words[i]
	}
	return strings.Join(words, " ")
}

func title(w string) string {
	for i, r := range w {
		return w[:i] + string(unicode.ToUpper(r)) + w[i+len(string(r)):]
	}
	return w
}

func (p *Planter) markup(text string) string {
	words := cut(text)
	for range 1 + len(words)/12 {
		i := p.Rand.IntN(len(words))
		if words[i] == "" {
			continue
		}
		around := pick(p.Rand, [][2]string{{"**", "**"}, {"<b>", "</b>"}, {"<em>", "</em>"}, {"\u201c", "\u201d"}, {"_", "_"}, {"`", "`"}})
		words[i] = around[0] + words[i] + around[1]
	}
	out := strings.Join(words, " ")
	switch p.Rand.IntN(3) {
	case 0:
		out = "<p>" + out + "</p>"
	case 1:
		out = "> " + out
	}
	return out
}

func (p *Planter) typos(text string) string {
	words := cut(text)
	for range max(1, int(float64(len(words))*(0.01+0.03*p.Rand.Float64()))) {
		for range 20 {
			i := p.Rand.IntN(len(words))
			if w := []rune(words[i]); len(w) >= 4 && allLetters(w) {
				words[i] = p.typo(w)
				break
			}
		}
	}
	return strings.Join(words, " ")
}

func allLetters(w []rune) bool {
	for _, r := range w {
		if !unicode.IsLetter(r) {
			return false
		}
	}
	return true
}

func (p *Planter) typo(w []rune) string {
	i := 1 + p.Rand.IntN(len(w)-2)
	switch p.Rand.IntN(4) {
	case 0: // dropped
		return string(w[:i]) + string(w[i+1:])
	case 1: // doubled
		return string(w[:i]) + string(w[i]) + string(w[i:])
	case 2: // swapped
		w[i], w[i+1] = w[i+1], w[i]
		return string(w)
	}
	w[i] = rune('a' + p.Rand.IntN(26)) // replaced
	return string(w)
}

func (p *Planter) truncate(text string) string {
	words := cut(text)
	n := max(1, int(float64(len(words))*(0.05+0.15*p.Rand.Float64())))
	if n >= len(words) {
		return text
	}
	return strings.Join(words[:len(words)-n], " ")
}

// sentences splits after a full stop, question or exclamation mark that a space follows.
func sentences(text string) []string {
	var out []string
	start := 0
	for i := 0; i+1 < len(text); i++ {
		if (text[i] == '.' || text[i] == '?' || text[i] == '!') && text[i+1] == ' ' {
			out = append(out, text[start:i+1])
			start = i + 2
		}
	}
	return append(out, text[start:])
}

func (p *Planter) reorder(text string) string {
	s := sentences(text)
	if len(s) < 2 {
		return text
	}
	i := p.Rand.IntN(len(s) - 1)
	s[i], s[i+1] = s[i+1], s[i]
	if len(s) > 4 && p.Rand.IntN(2) == 0 {
		s = append(s[1:], s[0])
	}
	return strings.Join(s, " ")
}

func (p *Planter) paraphrase(text string) string {
	out := p.swapWord(text, synonyms, 1+p.Rand.IntN(4))
	for _, c := range contractions {
		if p.Rand.IntN(2) == 0 {
			out = strings.ReplaceAll(out, " "+c[0]+" ", " "+c[1]+" ")
		}
	}
	if p.Rand.IntN(3) == 0 {
		out = pick(p.Rand, []string{"Basically, ", "In short, ", "To be clear, ", "As far as I know, "}) + out
	}
	return out
}

// swapWord replaces up to n words found in the lists by their partner.
func (p *Planter) swapWord(text string, lists [][2]string, n int) string {
	words := cut(text)
	var at []int
	for i, w := range words {
		if _, _, ok := p.partner(w, lists); ok {
			at = append(at, i)
		}
	}
	p.Rand.Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] })
	for _, i := range at[:min(n, len(at))] {
		other, tail, _ := p.partner(words[i], lists)
		if unicode.IsUpper([]rune(words[i])[0]) {
			other = title(other)
		}
		words[i] = other + tail
	}
	return strings.Join(words, " ")
}

func (p *Planter) partner(word string, lists [][2]string) (other, tail string, ok bool) {
	bare := strings.TrimRight(word, ".,;:!?")
	tail = word[len(bare):]
	bare = strings.ToLower(bare)
	for i, l := range lists {
		if p.Half >= 0 && i%2 != p.Half {
			continue
		}
		switch bare {
		case l[0]:
			return l[1], tail, true
		case l[1]:
			return l[0], tail, true
		}
	}
	return "", "", false
}

func (p *Planter) number(text string) string {
	words := cut(text)
	var at []int
	for i, w := range words {
		if strings.IndexFunc(w, unicode.IsDigit) >= 0 {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return text
	}
	i := pick(p.Rand, at)
	w := []byte(words[i])
	var digits []int
	for j, c := range w {
		if c >= '0' && c <= '9' {
			digits = append(digits, j)
		}
	}
	j := pick(p.Rand, digits)
	w[j] = '1' + (w[j]-'0'+byte(p.Rand.IntN(8)))%9
	words[i] = string(w)
	return strings.Join(words, " ")
}

func (p *Planter) name(text string) string {
	words := cut(text)
	var at []int
	for i, w := range words {
		if isName(w) {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return text
	}
	i := pick(p.Rand, at)
	bare := strings.TrimRight(words[i], ".,;:!?")
	for range 50 {
		list := names
		if p.Half >= 0 {
			list = names[p.Half*len(names)/2 : (p.Half+1)*len(names)/2]
		}
		if other := pick(p.Rand, list); other != bare {
			return strings.Join(append(append(append([]string{}, words[:i]...), other+words[i][len(bare):]), words[i+1:]...), " ")
		}
	}
	return text
}

func isName(w string) bool {
	bare := strings.TrimRight(w, ".,;:!?")
	for _, n := range names {
		if n == bare {
			return true
		}
	}
	return false
}

// negate puts "not" behind the first suitable verb of a sentence drawn at random, or takes one away.
func (p *Planter) negate(text string) string {
	s := sentences(text)
	order := p.Rand.Perm(len(s))
	for _, i := range order {
		if strings.Contains(s[i], " not ") {
			s[i] = strings.Replace(s[i], " not ", " ", 1)
			return strings.Join(s, " ")
		}
		for j, v := range negatable {
			if p.Half >= 0 && j%2 != p.Half {
				continue
			}
			if strings.Contains(s[i], " "+v+" ") {
				s[i] = strings.Replace(s[i], " "+v+" ", " "+v+" not ", 1)
				return strings.Join(s, " ")
			}
		}
	}
	return text
}
