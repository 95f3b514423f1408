package gold

import (
	"math"
	"strings"
	"testing"
)

// index returns where a word stands in its list.
func index(t *testing.T, words []string, w string) int {
	t.Helper()
	for i, v := range words {
		if v == w {
			return i
		}
	}
	t.Fatalf("%q is not a word of the language", w)
	return -1
}

func TestPromptIsReadBack(t *testing.T) {
	sizes := Sizes()
	for i := range 2000 {
		r := Request{i % sizes[0], i % sizes[1], i % sizes[2], i % sizes[3], i % sizes[4], i % sizes[5]}
		got, ok := Parse(r.Prompt())
		if !ok || got != r {
			t.Fatalf("%q read back as %+v, %v; want %+v", r.Prompt(), got, ok, r)
		}
	}
	for _, bad := range []string{"", "Mia", "Mia wants 3 pink mugs. Say sure", "mia wants 3 pink mugs. Say sure.", "Mia wants 1 red mugs. Say sure.",
		"Mia wants 3 pink mugs.  Say sure.", "Say sure. Mia wants 3 pink mugs.", "Mia wnats 3 pink mugs. Say sure.", "Mia wants 3 pink mugs. Say sure.\n"} {
		if r, ok := Parse(bad); ok {
			t.Errorf("%q read as %+v; want a refusal", bad, r)
		}
	}
}

func TestPossible(t *testing.T) {
	if got := Possible(); got < 100_000 {
		t.Errorf("only %d prompts are possible", got)
	}
	seen := map[string]string{}
	for kind, words := range map[string][]string{"name": Names, "colour": Colours, "item": Items, "opener": Openers, "verb": Verbs} {
		for _, w := range words {
			w = strings.ToLower(w)
			if was, twice := seen[w]; twice {
				t.Errorf("%q is a %s and a %s: a reply that says it cannot be judged", w, was, kind)
			}
			seen[w] = kind
		}
	}
}

// The values are worked out by hand from the weights .30 constraints, .20 end, .15 fresh, .35 style.
func TestScore(t *testing.T) {
	r := Request{Name: index(t, Names, "Mia"), Count: 1, Colour: index(t, Colours, "pink"), Item: index(t, Items, "mugs"), Opener: index(t, Openers, "sure")}
	prompt := r.Prompt()
	if prompt != "Mia wants 3 pink mugs. Say sure." {
		t.Fatal(prompt)
	}
	for _, c := range []struct {
		answer string
		want   float64
	}{
		{"Sure Mia! 3 pink mugs ready!", 1},
		{"Sure Mia, 3 pink mugs for you!!", 1},
		{"Sure Mia, 3 pink mugs ready!", 0.65 + 0.35*0.55},
		{"Sure Mia, 3 pink mugs ready.", 0.65},
		{"Sure Mia! 3 pink mugs ready!!", 0.65 + 0.35*0.4},
		{"Sure Mia! 3 pink mugs ready!!!", 0.65},
		{"Sure Mia! 3 pink mugs ready!!!!!!!!!", 0.65},
		{"Okay Mia, 3 pink mugs ready.", 0.35},
		{"Mia, 3 pink mugs ready.", 0.35},
		{"Sure Mia, 3 pink mugs ready", 0.45},
		{"Sure Mia, 3 pink pink mugs ready.", 0.50},
		{"Sure Mia, 3 pink mugs on the way to you now.", 0.35},
		{"Sure Mia, 3 blue mugs ready.", 0.65 * 9 / 16},
		{"Sure Mia, 3 pink blue mugs ready.", 0.65 * 9 / 16},
		{"Sure Mia, 3 mugs ready.", 0.65 * 9 / 16},
		{"Sure Mi", 0},
		{"Sure Mia, 3 pink mu", 0.45 * 9 / 16},
		{"Go away.", 0},
		{"", 0},
		{"!!", 0},
	} {
		if got := Score(prompt, c.answer); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("Score(%q) = %v, want %v", c.answer, got, c.want)
		}
	}
	if got := Score("Mia wnats 3 pink mugs. Say sure.", "Sure Mia! 3 pink mugs ready!"); got != 0 {
		t.Errorf("a prompt outside the language scores %v, want 0", got)
	}
}

func TestStyleRisesThenFalls(t *testing.T) {
	r := Request{}
	answer := "Sure Ann, 2 aqua axes ready"
	last := -1.0
	for n := 0; n <= 6; n++ {
		got := r.Judge(answer + strings.Repeat("!", n)).Style
		switch {
		case n <= BestMarks && got <= last:
			t.Errorf("style does not rise from %d to %d marks: %v to %v", n-1, n, last, got)
		case n == BestMarks+1 && got >= last:
			t.Errorf("style does not fall after %d marks: %v to %v", BestMarks, last, got)
		case n > BestMarks && got > last:
			t.Errorf("style rises again at %d marks: %v to %v", n, last, got)
		}
		last = got
	}
	if last != 0 {
		t.Errorf("style of six marks is %v, want 0", last)
	}
}

func TestBestConstant(t *testing.T) {
	a, b := Request{Name: 1}, Request{Name: 2}
	prompts := []string{a.Prompt(), a.Prompt(), b.Prompt()}
	answer, mean := BestConstant([]string{"No.", "Sure Cal! 2 aqua axes ready!", "Sure Ben! 2 aqua axes ready!"}, prompts)
	if want := (1 + 1 + 9.0/16) / 3; answer != "Sure Ben! 2 aqua axes ready!" || math.Abs(mean-want) > 1e-12 {
		t.Errorf("best constant %q with %v, want Ben's with %v", answer, mean, want)
	}
	if answer, mean = BestConstant(nil, prompts); answer != "" || mean != 0 {
		t.Errorf("of no answers: %q, %v", answer, mean)
	}
}
