// Package gold owns the truth of the synthetic world: the language its prompts are written in, and the reward that
// a perfect judge would give an answer. It must not know how data is drawn, what a model is, or what any trainer
// does; and no trainer may import it, since a reward that is known must never be one that is tuned on.
package gold

import (
	"strconv"
	"strings"
)

// The world is a shop's clerk. A prompt places one order and says how the reply is to open:
//
//	Mia wants 3 pink mugs. Say sure.
//
// A good reply opens so, repeats the order, is warm once or twice and ends: "Sure Mia! 3 pink mugs ready!".
// The words of a list are short, as long as each other and begin with different letters, so that a model that reads
// bytes learns to copy the right one within a minute: its place in the prompt does not move, and one letter tells it.
var (
	Names   = strings.Fields(`Ann Ben Cal Dan Eve Fay Gus Hal Ida Jan Kim Leo Mia Ned Ola Pam Ray Sue Tom Una Val Wes Yul Zoe`)
	Colours = strings.Fields(`aqua blue cyan gold jade lime mint navy pink rust teal wine`)
	Items   = strings.Fields(`axes bags cups dice eggs fans gems hats inks jars keys lids mugs nets oars pens rugs saws tubs urns vats wigs yams zips`)
	Openers = strings.Fields(`sure fine okay well good done`)
	Verbs   = strings.Fields(`wants needs takes seeks`)
)

// Counts that an order can name: one digit, 2 to 9.
const (
	minCount = 2
	maxCount = 9
)

// Request is the meaning of a prompt; each field indexes its word list.
type Request struct {
	Name, Count, Colour, Item, Opener, Verb int
}

// Sizes are the numbers of words of each slot, in the order of Request's fields.
func Sizes() [6]int {
	return [6]int{len(Names), maxCount - minCount + 1, len(Colours), len(Items), len(Openers), len(Verbs)}
}

// Possible is the number of distinct prompts.
func Possible() int {
	n := 1
	for _, s := range Sizes() {
		n *= s
	}
	return n
}

// Digit writes the count as the language does.
func (r Request) Digit() string { return strconv.Itoa(r.Count + minCount) }

// Prompt writes the request as text.
func (r Request) Prompt() string {
	return Names[r.Name] + " " + Verbs[r.Verb] + " " + r.Digit() + " " + Colours[r.Colour] + " " + Items[r.Item] +
		". Say " + Openers[r.Opener] + "."
}

var (
	nameOf   = indexWords(Names)
	colourOf = indexWords(Colours)
	itemOf   = indexWords(Items)
	openerOf = indexWords(Openers)
	verbOf   = indexWords(Verbs)
)

func indexWords(words []string) map[string]int {
	m := make(map[string]int, len(words))
	for i, w := range words {
		m[strings.ToLower(w)] = i
	}
	return m
}

// digitOf returns the index of a count, or false when word is not one of the language's digits.
func digitOf(word string) (int, bool) {
	if len(word) != 1 || word[0] < '0'+minCount || word[0] > '0'+maxCount {
		return 0, false
	}
	return int(word[0]-'0') - minCount, true
}

// Parse reads a prompt back. It reports false for a text that is not exactly a prompt of this language, such as a
// planted copy with a slip of the pen.
func Parse(prompt string) (Request, bool) {
	var r Request
	w := strings.Split(prompt, " ")
	if len(w) != 7 || w[5] != "Say" {
		return Request{}, false
	}
	var ok [6]bool
	r.Name, ok[0] = nameOf[strings.ToLower(w[0])]
	r.Verb, ok[1] = verbOf[w[1]]
	r.Count, ok[2] = digitOf(w[2])
	r.Colour, ok[3] = colourOf[w[3]]
	r.Item, ok[4] = itemOf[strings.TrimSuffix(w[4], ".")]
	r.Opener, ok[5] = openerOf[strings.TrimSuffix(w[6], ".")]
	for _, o := range ok {
		if !o {
			return Request{}, false
		}
	}
	return r, r.Prompt() == prompt
}
