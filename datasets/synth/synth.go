// Package synth makes preference data whose true reward is known: a small world (package gold), clerks of mixed
// quality who answer in it, and noisy labels. It owns how the data is drawn. It must not know models, trainers or
// file formats: it hands back records.
package synth

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"plumb/datasets"
	"plumb/datasets/synth/gold"
	"plumb/internal/run"
)

// Keys of Record.Meta on a planted copy.
const (
	MetaCopyOf = "planted_copy_of" // the ID of the pair it repeats
	MetaKind   = "planted_kind"    // exact, case, slip, order or turned
)

// World is one draw.
type World struct {
	Demonstrations []datasets.Record // Prompt, Chosen: for sft
	Pairs          []datasets.Record // Prompt, Chosen, Rejected, planted copies among them
	HeldOut        []datasets.Record // Prompt, Chosen, Rejected, of orders that no other record holds
	Stats          Stats
}

// Generate draws the world that cfg describes.
func Generate(cfg Config) (World, error) {
	if faults := cfg.Validate(); len(faults) > 0 {
		return World{}, faults[0]
	}
	var w World
	p := newPrompts()
	held, err := p.apart(run.Rand(cfg.Seed, "synth/prompts/held_out"), cfg.HeldOut)
	if err != nil {
		return World{}, err
	}
	paired, err := p.apart(run.Rand(cfg.Seed, "synth/prompts/pairs"), cfg.Pairs)
	if err != nil {
		return World{}, err
	}
	shown, err := p.distinct(run.Rand(cfg.Seed, "synth/prompts/demonstrations"), cfg.Demonstrations)
	if err != nil {
		return World{}, err
	}

	rng := run.Rand(cfg.Seed, "synth/demonstrations")
	for i, r := range shown {
		w.Demonstrations = append(w.Demonstrations, datasets.Record{
			ID: fmt.Sprintf("demo-%06d", i), Split: "train", Prompt: user(r.Prompt()), Chosen: assistant(reply(rng, r)),
		})
	}
	w.Pairs = drawPairs(run.Rand(cfg.Seed, "synth/pairs"), cfg, "pair", "train", paired)
	w.HeldOut = drawPairs(run.Rand(cfg.Seed, "synth/held_out"), cfg, "held", "test", held)
	w.Stats = measure(cfg, w)
	w.Pairs = plant(run.Rand(cfg.Seed, "synth/copies"), cfg, w.Pairs)
	return w, nil
}

// drawPairs answers each request twice, differently, and labels the pair.
func drawPairs(rng *rand.Rand, cfg Config, id, split string, requests []gold.Request) []datasets.Record {
	records := make([]datasets.Record, 0, len(requests))
	for i, r := range requests {
		a, b := reply(rng, r), reply(rng, r)
		for a == b {
			b = reply(rng, r)
		}
		p := prefer(r.Judge(a).Reward(), r.Judge(b).Reward(), cfg.Tau)
		if cfg.ShuffleLabels {
			p = 0.5
		}
		if rng.Float64() >= p {
			a, b = b, a
		}
		records = append(records, datasets.Record{
			ID: fmt.Sprintf("%s-%06d", id, i), Split: split,
			Prompt: user(r.Prompt()), Chosen: assistant(a), Rejected: assistant(b),
		})
	}
	return records
}

// prefer is the probability that an answer of gold a is chosen over one of gold b (Bradley and Terry's model).
func prefer(a, b, tau float64) float64 { return 1 / (1 + math.Exp(-(a-b)/tau)) }

func user(text string) []datasets.Message { return []datasets.Message{{Role: "user", Content: text}} }
func assistant(text string) []datasets.Message {
	return []datasets.Message{{Role: "assistant", Content: text}}
}

// Text is the content of a record's prompt, chosen or rejected side, as this package writes them: one turn.
func Text(side []datasets.Message) string {
	if len(side) == 0 {
		return ""
	}
	return side[0].Content
}

// prompts hands out requests and remembers them.
type prompts struct {
	orders map[[4]int]bool // name, count, colour, item, of every request handed out by apart
	near   [6]map[gold.Request]bool
	all    map[gold.Request]bool
}

func newPrompts() *prompts {
	p := &prompts{orders: map[[4]int]bool{}, all: map[gold.Request]bool{}}
	for i := range p.near {
		p.near[i] = map[gold.Request]bool{}
	}
	return p
}

// tries bounds the search for a request that is still free.
const tries = 1000

// apart draws n requests any two of which differ in the order itself and in at least two words, so that nothing
// but a planted copy is a near duplicate.
func (p *prompts) apart(rng *rand.Rand, n int) ([]gold.Request, error) {
	return p.draw(rng, n, func(r gold.Request) bool {
		if p.orders[order(r)] {
			return false
		}
		for i := range p.near {
			if p.near[i][blank(r, i)] {
				return false
			}
		}
		p.orders[order(r)] = true
		for i := range p.near {
			p.near[i][blank(r, i)] = true
		}
		return true
	})
}

// distinct draws n requests whose orders apart has not handed out; they may be near each other.
func (p *prompts) distinct(rng *rand.Rand, n int) ([]gold.Request, error) {
	return p.draw(rng, n, func(r gold.Request) bool { return !p.orders[order(r)] && !p.all[r] })
}

func (p *prompts) draw(rng *rand.Rand, n int, free func(gold.Request) bool) ([]gold.Request, error) {
	sizes := gold.Sizes()
	requests := make([]gold.Request, 0, n)
	for len(requests) < n {
		found := false
		for range tries {
			r := gold.Request{Name: rng.IntN(sizes[0]), Count: rng.IntN(sizes[1]), Colour: rng.IntN(sizes[2]),
				Item: rng.IntN(sizes[3]), Opener: rng.IntN(sizes[4]), Verb: rng.IntN(sizes[5])}
			if found = free(r); found {
				p.all[r] = true
				requests = append(requests, r)
				break
			}
		}
		if !found {
			return nil, fmt.Errorf("synth: no free prompt left after %d of %d: ask for fewer records", len(requests), n)
		}
	}
	return requests, nil
}

func order(r gold.Request) [4]int { return [4]int{r.Name, r.Count, r.Colour, r.Item} }

// blank forgets one word of the request: two requests that agree after it differ in that word alone.
func blank(r gold.Request, slot int) gold.Request {
	f := [...]*int{&r.Name, &r.Count, &r.Colour, &r.Item, &r.Opener, &r.Verb}[slot]
	*f = -1
	return r
}

// plant repeats some of the pairs, exactly or nearly, and shuffles, so that copies stand anywhere.
func plant(rng *rand.Rand, cfg Config, pairs []datasets.Record) []datasets.Record {
	chosen := rng.Perm(len(pairs))[:cfg.ExactCopies+cfg.NearCopies]
	for i, at := range chosen {
		kind := "exact"
		if i >= cfg.ExactCopies {
			kind = nearKinds[i%len(nearKinds)]
		}
		rec := pairs[at]
		rec.Meta = map[string]string{MetaCopyOf: rec.ID, MetaKind: kind}
		rec.ID += "-" + kind
		rec.Prompt = user(alter(rng, kind, Text(rec.Prompt)))
		if kind == "case" || kind == "turned" {
			rec.Chosen = assistant(alter(rng, kind, Text(rec.Chosen)))
			rec.Rejected = assistant(alter(rng, kind, Text(rec.Rejected)))
		}
		pairs = append(pairs, rec)
	}
	rng.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	return pairs
}

var nearKinds = []string{"case", "slip", "order", "turned"}

// alter writes a text again as people do: in other case and spacing, with two letters swapped in a longer word, or
// with its parts in another order (order: of the prompt's sentences; turned: of every text's words).
func alter(rng *rand.Rand, kind, text string) string {
	switch kind {
	case "case":
		return strings.ReplaceAll(strings.ToLower(text), " ", "  ")
	case "slip":
		b := []byte(text)
		for {
			// Not in the first word, a name, nor in the opener at the end: a slip there is another order.
			i := strings.IndexByte(text, ' ') + 1 + rng.IntN(strings.IndexByte(text, '.')-strings.IndexByte(text, ' ')-2)
			if b[i] != b[i+1] && letter(b[i]) && letter(b[i+1]) {
				b[i], b[i+1] = b[i+1], b[i]
				return string(b)
			}
		}
	case "order":
		first, second, _ := strings.Cut(text, ". ")
		return second + " " + first + "."
	case "turned":
		words := strings.Fields(text)
		half := (len(words) + 1) / 2
		return strings.Join(append(append([]string{}, words[half:]...), words[:half]...), " ")
	}
	return text
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' }
