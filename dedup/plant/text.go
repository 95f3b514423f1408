package plant

import (
	"strconv"
	"strings"
)

// Text makes a text of about the given number of sentences. Two calls share sentence frames and words, as texts of one
// template do, and say different things.
func (p *Planter) Text(sentences int) string {
	var out []string
	for range max(sentences, 1) {
		out = append(out, p.sentence(pick(p.Rand, frames)))
	}
	return strings.Join(out, " ")
}

func (p *Planter) sentence(frame string) string {
	var b strings.Builder
	first := true
	for _, slot := range strings.Fields(frame) {
		word := slot
		switch slot {
		case "N":
			word = pick(p.Rand, nouns)
		case "A":
			if first || b.Len() == 0 {
				word = "a"
				break
			}
			word = pick(p.Rand, adjectives)
		case "V":
			word = pick(p.Rand, verbs)
		case "D":
			word = pick(p.Rand, adverbs)
		case "P":
			word = pick(p.Rand, names)
		case "#":
			word = strconv.Itoa(2 + p.Rand.IntN(1998))
		}
		if !first && slot != "." && slot != "," && slot != "?" {
			b.WriteByte(' ')
		}
		b.WriteString(word)
		first = false
	}
	return title(b.String())
}

// Pair is two texts and whether they say the same.
type Pair struct {
	A, B string
	Same bool
	Kind Kind // of the edit; "other" for two texts of one template, "" for unrelated ones
}

// Pairs makes n labelled pairs from texts of its own, or from yours when any are given: half are copies, edited once or twice;
// a third are look-alikes, half of those edited like a copy as well; the others share a template or nothing.
func (p *Planter) Pairs(n int, from []string) []Pair {
	var out []Pair
	most := p.Sentences
	if most < 1 {
		most = 8
	}
	base := func() string {
		if len(from) > 0 {
			return pick(p.Rand, from)
		}
		return p.Text(1 + p.Rand.IntN(most))
	}
	for len(out) < n {
		a := base()
		switch r := p.Rand.IntN(6); {
		case r < 3:
			kind := pick(p.Rand, Copies[1:])
			b, ok := p.Edit(a, kind)
			if ok && p.Rand.IntN(3) == 0 {
				b, _ = p.Edit(b, pick(p.Rand, Copies[1:]))
			}
			if ok && b != a {
				out = append(out, Pair{a, b, true, kind})
			}
		case r < 5:
			kind := pick(p.Rand, LookAlikes)
			b, ok := p.Edit(a, kind)
			if ok && p.Rand.IntN(2) == 0 {
				b, _ = p.Edit(b, pick(p.Rand, []Kind{Case, Markup, Typos}))
			}
			if ok {
				out = append(out, Pair{a, b, false, kind})
			}
		default:
			b := base()
			kind := Kind("")
			if len(from) == 0 && p.Rand.IntN(2) == 0 {
				kind = "other"
				f := pick(p.Rand, frames)
				a, b = p.sentence(f), p.sentence(f)
			}
			if a != b {
				out = append(out, Pair{a, b, false, kind})
			}
		}
	}
	return out
}
