package synth

import (
	"math/rand/v2"
	"strings"

	"plumb/datasets/synth/gold"
)

// The clerks who wrote the demonstrations are of mixed quality, each failing in a way of his own and independently
// of the rest: what they get right together is what preference training can find. Probabilities are of one reply.
const (
	rudeShare    = 0.06 // says nothing of the order
	slipShare    = 0.20 // one of the four words of the order wrong or missing
	obeyShare    = 0.60 // opens as asked; the rest open otherwise, or not at all
	stutterShare = 0.10 // says a word twice
	wordyShare   = 0.06 // breaks the limit on words
	bareShare    = 0.10 // ends without a mark
	cutShare     = 0.10 // breaks off in the middle
)

// markShares is how often a reply that has a proper end carries 0, 1, 2, ... exclamation marks. The last two, where
// more marks make the reply worse, are too rare for a learner of preferences to notice.
var markShares = [...]float64{0.46, 0.34, 0.197, 0.002, 0.001}

var (
	rudeReplies = []string{"No.", "Not now.", "Go away.", "We are closed.", "Ask him."}
	closings    = []string{"ready", "packed", "on the way", "for you"}
)

const wordyClosing = "on the way to you now"

// reply draws one clerk's answer to the request.
func reply(rng *rand.Rand, r gold.Request) string {
	if rng.Float64() < rudeShare {
		return pick(rng, rudeReplies)
	}
	said := [4]string{gold.Names[r.Name], r.Digit(), gold.Colours[r.Colour], gold.Items[r.Item]}
	if rng.Float64() < slipShare {
		slip(rng, r, &said)
	}
	opener := ""
	switch u := rng.Float64(); {
	case u < obeyShare:
		opener = gold.Openers[r.Opener]
	case u < obeyShare+(1-obeyShare)/2:
		opener = gold.Openers[other(rng, r.Opener, len(gold.Openers))]
	}
	closing := pick(rng, closings)
	if rng.Float64() < wordyShare {
		closing = wordyClosing
	}
	order := join(said[1], said[2], said[3])
	if rng.Float64() < stutterShare {
		order = join(said[1], said[2], said[2], said[3])
		if rng.Float64() < 0.5 {
			order = join(said[1], said[2], said[3], said[3])
		}
	}

	end, marks := rng.Float64(), drawMarks(rng)
	comma, tail := ",", "."
	switch {
	case end < bareShare+cutShare:
		tail = ""
		if marks > 0 {
			comma = "!"
		}
	case marks > 0:
		// The marks stand after the greeting or at the end: two ways to the same number.
		if rng.Float64() < 0.5 {
			comma = "!"
			marks--
		}
		if marks > 0 {
			tail = strings.Repeat("!", marks)
		}
	}
	text := join(join(opener, said[0])+comma, order, closing) + tail
	if opener == "" && said[0] == "" {
		text = join(order, closing) + tail
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if end < cutShare {
		text = strings.TrimRight(text[:len(text)/3+rng.IntN(len(text)/2)], " ")
	}
	return text
}

// slip spoils one word of the order: another of its kind, or none.
func slip(rng *rand.Rand, r gold.Request, said *[4]string) {
	slot := rng.IntN(4)
	if rng.Float64() < 0.3 {
		said[slot] = ""
		return
	}
	sizes := gold.Sizes()
	switch slot {
	case 0:
		said[0] = gold.Names[other(rng, r.Name, sizes[0])]
	case 1:
		r.Count = other(rng, r.Count, sizes[1])
		said[1] = r.Digit()
	case 2:
		said[2] = gold.Colours[other(rng, r.Colour, sizes[2])]
	case 3:
		said[3] = gold.Items[other(rng, r.Item, sizes[3])]
	}
}

func drawMarks(rng *rand.Rand) int {
	u := rng.Float64()
	for n, share := range markShares {
		if u -= share; u < 0 {
			return n
		}
	}
	return 0
}

// join puts single spaces between the words that are not empty.
func join(words ...string) string {
	kept := make([]string, 0, len(words))
	for _, w := range words {
		if w != "" {
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, " ")
}

func pick(rng *rand.Rand, words []string) string { return words[rng.IntN(len(words))] }

// other draws an index below n that is not i.
func other(rng *rand.Rand, i, n int) int { return (i + 1 + rng.IntN(n-1)) % n }
