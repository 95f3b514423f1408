package plant

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var orders = []string{
	"Mia wants 3 pink mugs. Say sure.", "Mia wants 4 pink mugs. Say fine.", "Ben takes 3 teal pens. Say sure.", "Ola needs 7 gold hats. Say well.",
	"Leo seeks 8 lime nets. Say done.", "Ben takes 5 rust lids. Say okay.", "It is ready. Take the box now.", "sure. Mia wants 3 pink mugs. Say",
}

// bag is the words of a text in alphabetical order, without case and marks.
func bag(text string) []string {
	var out []string
	for _, w := range strings.Fields(text) {
		out = append(out, bare(w))
	}
	slices.Sort(out)
	return out
}

func TestOwnPairs(t *testing.T) {
	p := Planter{Rand: rand.New(rand.NewPCG(1, 2)), Half: -1}
	pairs := p.OwnPairs(3000, orders)
	if len(pairs) != 3000 {
		t.Fatalf("%d pairs", len(pairs))
	}
	count := map[Kind]int{}
	copies := 0
	for _, x := range pairs {
		count[x.Kind]++
		if x.Same {
			copies++
		}
		if x.A == x.B || !slices.Contains(orders, x.A) {
			t.Fatalf("%+v", x)
		}
		switch x.Kind {
		case "": // two of the texts: never one another's words in another order
			if x.Same || slices.Equal(bag(x.A), bag(x.B)) {
				t.Errorf("neighbours: %+v", x)
			}
		case Words:
			if x.Same {
				t.Errorf("other words: %+v", x)
			}
		}
	}
	for _, k := range []Kind{Case, Markup, Slips, Reordering, Turned, Words, Number, ""} {
		if count[k] < 20 {
			t.Errorf("%d pairs of kind %q: %v", count[k], k, count)
		}
	}
	if share := float64(copies) / 3000; share < 0.4 || share > 0.6 {
		t.Errorf("%.2f of the pairs are copies", share)
	}
	again := Planter{Rand: rand.New(rand.NewPCG(1, 2)), Half: -1}
	if !reflect.DeepEqual(again.OwnPairs(3000, orders), pairs) {
		t.Error("the same stream plants other pairs")
	}
	if got := p.OwnPairs(10, nil); got != nil {
		t.Errorf("from no texts: %v", got)
	}
	if got := p.OwnPairs(10, []string{"x", "x"}); len(got) > 10 {
		t.Errorf("from nearly nothing: %v", got)
	}
}

// The edits by themselves: halves exchanged keep their words, slips bring no other letter in, other words come from the texts.
func TestOwnEdits(t *testing.T) {
	p := Planter{Rand: rand.New(rand.NewPCG(3, 4)), Half: -1}
	if got := turn("a b c d e"); got != "d e a b c" {
		t.Errorf("turned: %q", got)
	}
	by := wordsByShape(orders)
	for range 500 {
		text := pick(p.Rand, orders)
		if got, ok := p.slips(text); ok {
			for _, r := range got {
				if !strings.ContainsRune(text, r) {
					t.Fatalf("%q became %q: %q came in", text, got, r)
				}
			}
			if n := len(got) - len(text); n < -2 || n > 2 || got == text {
				t.Fatalf("%q became %q", text, got)
			}
		}
		got, ok := p.otherWords(text, by)
		if !ok {
			continue
		}
		a, b := strings.Fields(text), strings.Fields(got)
		changed := 0
		for i := range a {
			if a[i] != b[i] {
				changed++
				if shape(a[i]) != shape(b[i]) || !slices.Contains(by[shape(b[i])], strings.TrimRight(b[i], ".,;:!?")) {
					t.Fatalf("%q became %q", text, got)
				}
			}
		}
		if len(a) != len(b) || changed < 1 || changed > 2 {
			t.Fatalf("%q became %q", text, got)
		}
	}
}
