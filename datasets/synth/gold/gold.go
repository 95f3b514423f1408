package gold

import "strings"

// What each part of a reply's form is worth; they sum to 1. The form counts only as far as the content is right, so
// that no fixed phrase is worth anything.
const (
	worthConstraints = 0.30
	worthEnd         = 0.20
	worthFresh       = 0.15
	worthStyle       = 0.35
)

// MaxWords is the constraint every prompt carries unsaid: a clerk is brief.
const MaxWords = 9

// BestMarks is the number of exclamation marks at which style is worth most; with more of them it falls.
const BestMarks = 2

// style is the worth of a reply with so many exclamation marks: warmth first raises the reward, then gushing lowers it.
var style = [...]float64{0, 0.55, 1, 0.4, 0}

// Parts is a reward taken apart; every field lies in [0,1].
type Parts struct {
	Content     float64 // the share of name, count, colour and item said right, squared
	Constraints float64 // 1 if the reply opens as asked and keeps to MaxWords
	End         float64 // 1 if it ends with a full stop or an exclamation mark
	Fresh       float64 // 1 if no word occurs twice
	Style       float64 // by the number of exclamation marks
	Marks       int     // that number
}

// Score is the gold reward of an answer to a prompt, in [0,1]; 0 for a prompt that is not of this language.
//
//	content * (0.30 constraints + 0.20 end + 0.15 fresh + 0.35 style)
func Score(prompt, answer string) float64 {
	r, ok := Parse(prompt)
	if !ok {
		return 0
	}
	return r.Judge(answer).Reward()
}

// Reward joins the parts.
func (p Parts) Reward() float64 {
	return p.Content * (worthConstraints*p.Constraints + worthEnd*p.End + worthFresh*p.Fresh + worthStyle*p.Style)
}

// Judge takes an answer to the request apart.
func (r Request) Judge(answer string) Parts {
	words := strings.FieldsFunc(strings.ToLower(answer), func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9')
	})
	right := 0.0
	for _, said := range [...]bool{
		says(words, r.Name, func(w string) (int, bool) { i, ok := nameOf[w]; return i, ok }),
		says(words, r.Count, digitOf),
		says(words, r.Colour, func(w string) (int, bool) { i, ok := colourOf[w]; return i, ok }),
		says(words, r.Item, func(w string) (int, bool) { i, ok := itemOf[w]; return i, ok }),
	} {
		if said {
			right++
		}
	}
	p := Parts{Content: right / 4 * right / 4, Marks: strings.Count(answer, "!")}
	if len(words) > 0 && len(words) <= MaxWords && words[0] == Openers[r.Opener] {
		p.Constraints = 1
	}
	if strings.HasSuffix(answer, ".") || strings.HasSuffix(answer, "!") {
		p.End = 1
	}
	if len(words) > 0 && !repeats(words) {
		p.Fresh = 1
	}
	if p.Marks < len(style) {
		p.Style = style[p.Marks]
	}
	return p
}

// says reports whether the words name value want of a slot, and no other value of it: who lists every colour has
// not said which.
func says(words []string, want int, value func(string) (int, bool)) bool {
	said := false
	for _, w := range words {
		if v, ok := value(w); ok {
			if v != want {
				return false
			}
			said = true
		}
	}
	return said
}

// repeats reports whether a word occurs twice. Replies are short: comparing all pairs beats a set.
func repeats(words []string) bool {
	for i, w := range words {
		for _, v := range words[:i] {
			if v == w {
				return true
			}
		}
	}
	return false
}

// BestConstant returns which of the answers, given to every prompt, has the highest mean reward, and that mean. It
// is the bound on what a policy can gain without reading the prompt.
func BestConstant(answers, prompts []string) (answer string, mean float64) {
	requests := make([]Request, 0, len(prompts))
	for _, p := range prompts {
		if r, ok := Parse(p); ok {
			requests = append(requests, r)
		}
	}
	mean = -1
	for _, a := range answers {
		sum := 0.0
		for _, r := range requests {
			sum += r.Judge(a).Reward()
		}
		if m := sum / float64(max(len(requests), 1)); m > mean {
			answer, mean = a, m
		}
	}
	return answer, max(mean, 0)
}
