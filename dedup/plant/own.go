package plant

import (
	"maps"
	"strings"
	"unicode"
)

// Kinds that need the user's own texts, or suit them: names and synonyms of the planter's lists seldom occur there.
const (
	Turned Kind = "turned" // a copy: the halves of a text exchanged, as in lists and headlines
	Slips  Kind = "slips"  // a copy: in one or two words a letter is missing, doubled or swapped with the next; no other one comes in
	Words  Kind = "words"  // a look-alike: one or two words are others that the texts hold
)

var (
	// A cut end is none of them: an answer that breaks off is another answer, and often the worse one of a pair.
	ownCopies = []Kind{Case, Markup, Slips, Reordering, Turned, Turned, Turned}
	ownOthers = []Kind{Words, Words, Words, Words, Words, Words, Number, Negation}
	again     = []Kind{Case, Markup, Slips, Turned, Turned} // what may be done to an edited text
)

// OwnPairs makes n labelled pairs, or as many as the texts offer, from the user's texts: half are copies, a third are
// look-alikes, the others are two of the texts that share words, a quarter
// of all three edited like a copy once more. A copy among the texts
// themselves is taken for two different ones: there have to be few.
func (p *Planter) OwnPairs(n int, texts []string) []Pair {
	if len(texts) == 0 {
		return nil
	}
	words, holding := wordsByShape(texts), index(texts)
	edit := func(text string, kind Kind) (string, bool) {
		switch kind {
		case Turned:
			out := turn(text)
			return out, out != text
		case Slips:
			return p.slips(text)
		case Words:
			return p.otherWords(text, words)
		}
		return p.Edit(text, kind)
	}
	var out []Pair
	for tries := 0; len(out) < n && tries < 20*n+100; tries++ {
		a := pick(p.Rand, texts)
		switch r := p.Rand.IntN(6); {
		case r < 3:
			kind := pick(p.Rand, ownCopies)
			b, ok := edit(a, kind)
			if ok && p.Rand.IntN(4) == 0 {
				b, _ = edit(b, pick(p.Rand, again))
			}
			if ok && b != a {
				out = append(out, Pair{a, b, true, kind})
			}
		case r < 5:
			kind := pick(p.Rand, ownOthers)
			b, ok := edit(a, kind)
			if ok && p.Rand.IntN(4) == 0 {
				b, _ = edit(b, pick(p.Rand, again))
			}
			if ok {
				out = append(out, Pair{a, b, false, kind})
			}
		default:
			b, ok := p.neighbour(a, texts, holding)
			if ok && p.Rand.IntN(4) == 0 {
				b, _ = edit(b, pick(p.Rand, again))
			}
			if ok {
				out = append(out, Pair{a, b, false, ""})
			}
		}
	}
	return out
}

// neighbour returns the text that shares the most words with a among some that share at least one, every fourth time any text; never
// one of the same words in another order. holding lists the texts that hold a word.
func (p *Planter) neighbour(a string, texts []string, holding map[string][]int) (string, bool) {
	drawn := 150
	random := p.Rand.IntN(4) == 0
	if random {
		drawn = 1
	}
	own := strings.Fields(a)
	words := map[string]int{}
	for _, w := range own {
		words[bare(w)]++
	}
	best, most := "", -1
	for range drawn {
		b := pick(p.Rand, texts)
		if !random && len(own) > 0 {
			b = texts[pick(p.Rand, holding[bare(pick(p.Rand, own))])]
		}
		left, shared, all := maps.Clone(words), 0, 0
		for _, w := range strings.Fields(b) {
			if w = bare(w); left[w] > 0 {
				left[w]--
				shared++
			}
			all++
		}
		if same := shared == all && all == len(own); !same && shared > most {
			best, most = b, shared
		}
	}
	return best, most >= 0
}

// index lists the texts that hold each word.
func index(texts []string) map[string][]int {
	out := map[string][]int{}
	for i, t := range texts {
		for _, w := range strings.Fields(t) {
			out[bare(w)] = append(out[bare(w)], i)
		}
	}
	return out
}

// bare is a word without case and the marks behind it.
func bare(word string) string { return strings.ToLower(strings.TrimRight(word, ".,;:!?")) }

func turn(text string) string {
	words := strings.Fields(text)
	half := (len(words) + 1) / 2
	return strings.Join(append(append([]string{}, words[half:]...), words[:half]...), " ")
}

// shape tells numbers, capitalised words and others apart; signs alone have none.
func shape(word string) byte {
	for _, r := range word {
		switch {
		case unicode.IsDigit(r):
			return '0'
		case unicode.IsUpper(r):
			return 'A'
		case unicode.IsLetter(r):
			return 'a'
		}
	}
	return 0
}

// wordsByShape lists the words of the texts without the marks behind them, each as often as it occurs.
func wordsByShape(texts []string) map[byte][]string {
	out := map[byte][]string{}
	for _, t := range texts {
		for _, w := range strings.Fields(t) {
			w = strings.TrimRight(w, ".,;:!?")
			if s := shape(w); s != 0 {
				out[s] = append(out[s], w)
			}
		}
	}
	return out
}

// otherWords puts other words of the same shape in the place of one or two.
func (p *Planter) otherWords(text string, by map[byte][]string) (string, bool) {
	words := cut(text)
	var at []int
	for i, w := range words {
		if s := shape(w); s != 0 && len(by[s]) > 0 {
			at = append(at, i)
		}
	}
	p.Rand.Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] })
	changed := false
	for _, i := range at[:min(1+p.Rand.IntN(2), len(at))] {
		bare := strings.TrimRight(words[i], ".,;:!?")
		if other := pick(p.Rand, by[shape(words[i])]); !strings.EqualFold(other, bare) {
			words[i], changed = other+words[i][len(bare):], true
		}
	}
	return strings.Join(words, " "), changed
}

// slips spoils one or two words of three letters or more.
func (p *Planter) slips(text string) (string, bool) {
	words := cut(text)
	for range 1 + p.Rand.IntN(2) {
		i := p.Rand.IntN(len(words))
		w := []rune(strings.TrimRight(words[i], ".,;:!?"))
		if len(w) < 3 || !allLetters(w) {
			continue
		}
		tail := words[i][len(string(w)):]
		j := p.Rand.IntN(len(w) - 1)
		switch p.Rand.IntN(4) {
		case 0: // missing
			words[i] = string(w[:j+1]) + string(w[j+2:]) + tail
		case 1: // doubled
			words[i] = string(w[:j+1]) + string(w[j:]) + tail
		default:
			if w[j] == w[j+1] {
				continue
			}
			w[j], w[j+1] = w[j+1], w[j]
			words[i] = string(w) + tail
		}
	}
	out := strings.Join(words, " ")
	return out, out != text // two slips of one word may undo each other
}
