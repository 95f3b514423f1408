package encode

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"plumb/datasets"
	"plumb/internal/batch"
	"plumb/internal/tokenizer"
)

func record(prompt, chosen, rejected string) *datasets.Record {
	return &datasets.Record{Prompt: datasets.Text(prompt), Chosen: datasets.Text(chosen), Rejected: datasets.Text(rejected)}
}

func turns(pairs ...string) []datasets.Message {
	var out []datasets.Message
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, datasets.Message{Role: pairs[i], Content: pairs[i+1]})
	}
	return out
}

func encoder(maxLength int) *Encoder {
	return &Encoder{Tok: tokenizer.NewByteLevel(""), MaxLength: maxLength}
}

func (e *Encoder) show(ids []int32) string { return e.Tok.Decode(ids, false) }

func wantDropped(t *testing.T, err error, part string) {
	t.Helper()
	var d *Dropped
	if !errors.As(err, &d) || !strings.Contains(d.Reason, part) {
		t.Errorf("error %v, want a record dropped for %q", err, part)
	}
}

func TestSplit(t *testing.T) {
	for _, c := range []struct{ chosen, rejected, prompt, restC, restR string }{
		{"Q: why? A: because", "Q: why? A: no", "Q: why? A:", " because", " no"}, // the space goes with the completions
		{"the sky", "the sea", "the s", "ky", "ea"},
		{"größe", "größte", "größ", "e", "te"},
		{"ä", "ö", "", "ä", "ö"},                            // equal first byte, unequal character
		{"same", "same and more", "sam", "e", "e and more"}, // neither side may be empty
		{" x", " y", "", " x", " y"},
	} {
		p, ch, re := Split(record("", c.chosen, c.rejected))
		if text(p) != c.prompt || text(ch) != c.restC || text(re) != c.restR {
			t.Errorf("%q, %q: %q + %q, %q", c.chosen, c.rejected, text(p), text(ch), text(re))
		}
	}
	rec := &datasets.Record{
		Chosen:   turns("user", "a", "assistant", "b", "user", "c", "assistant", "d"),
		Rejected: turns("user", "a", "assistant", "b", "user", "c", "assistant", "e"),
	}
	p, ch, re := Split(rec)
	if len(p) != 3 || len(ch) != 1 || len(re) != 1 || ch[0].Content != "d" {
		t.Errorf("turns: %v | %v | %v", p, ch, re)
	}
	rec.Rejected = rec.Chosen[:2]
	if p, _, re = Split(rec); len(p) != 1 || len(re) != 1 {
		t.Errorf("one side begins with the other: %v | %v", p, re)
	}
}

func TestPairText(t *testing.T) {
	e := encoder(0)
	pair, err := e.Pair(record("2+2=", "4", "5<|endoftext|>"))
	if err != nil {
		t.Fatal(err)
	}
	if p, c, r := e.show(pair.Prompt), e.show(pair.Chosen), e.show(pair.Rejected); p != "2+2=" || c != "4<|endoftext|>" || r != "5<|endoftext|>" {
		t.Errorf("%q | %q | %q", p, c, r)
	}
	m := 1.5
	rec := record("p", "a", "b")
	rec.Margin = &m
	if pair, _ = e.Pair(rec); !pair.HasMargin || pair.Margin != 1.5 {
		t.Errorf("margin %v %v", pair.HasMargin, pair.Margin)
	}
}

func TestPairChat(t *testing.T) {
	e := encoder(0)
	pair, err := e.Pair(&datasets.Record{Prompt: turns("user", "hi"), Chosen: turns("assistant", "yo"), Rejected: turns("assistant", "no")})
	if err != nil {
		t.Fatal(err)
	}
	if p, c := e.show(pair.Prompt), e.show(pair.Chosen); p != "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n" || c != "yo<|im_end|>\n" {
		t.Errorf("%q | %q", p, c)
	}
}

func TestPairTruncation(t *testing.T) {
	pair, err := encoder(6).Pair(record("abcd", "efgh", "xy"))
	if err != nil {
		t.Fatal(err)
	}
	if len(pair.Prompt) != 4 || len(pair.Chosen) != 2 || len(pair.Rejected) != 2 {
		t.Errorf("%v", pair)
	}
	_, err = encoder(4).Pair(record("abcd", "efgh", "xy"))
	wantDropped(t, err, "prompt alone fills max_length 4")
	if _, err = encoder(5).Pair(record("abcd", "efgh", "xy")); err != nil {
		t.Error(err)
	}
}

func TestDropping(t *testing.T) {
	e := encoder(4)
	_, err := e.Pair(record("p", "same", "same"))
	wantDropped(t, err, "chosen equals rejected")
	_, err = e.RewardPair(record("p", "same", "same"))
	wantDropped(t, err, "chosen equals rejected")
	_, err = e.Pair(record("p", "only", ""))
	wantDropped(t, err, "not a preference")
	_, err = e.RewardPair(record("ab", "cd", "e")) // chosen: 4 bytes and EOS
	wantDropped(t, err, "over max_length 4")
	if _, err = e.RewardPair(record("ab", "c", "d")); err != nil {
		t.Error(err)
	}
	_, err = e.Prompt(record("too long", "", ""))
	wantDropped(t, err, "over max_length")
	_, err = e.Example(&datasets.Record{Prompt: datasets.Text("abcd"), Chosen: datasets.Text("e")}, true)
	wantDropped(t, err, "no token of the answer")
	_, err = e.Example(&datasets.Record{Prompt: datasets.Text("abcd")}, true)
	wantDropped(t, err, "no answer")
}

func TestRewardPair(t *testing.T) {
	e := encoder(0)
	pair, err := e.RewardPair(record("", "Q A1", "Q A22"))
	if err != nil {
		t.Fatal(err)
	}
	if p, c, r := e.show(pair.Prompt), e.show(pair.Chosen), e.show(pair.Rejected); p != "Q A" || c != "1<|endoftext|>" || r != "22<|endoftext|>" {
		t.Errorf("%q | %q | %q", p, c, r)
	}
}

func TestExample(t *testing.T) {
	e := encoder(0)
	rec := &datasets.Record{Prompt: datasets.Text("ab"), Chosen: datasets.Text("cd")}
	for _, c := range []struct {
		completion bool
		from       int
	}{{true, 2}, {false, 0}} {
		x, err := e.Example(rec, c.completion)
		if err != nil {
			t.Fatal(err)
		}
		if e.show(x.Tokens) != "abcd<|endoftext|>" || x.From != c.from {
			t.Errorf("%q from %d, want from %d", e.show(x.Tokens), x.From, c.from)
		}
	}
	if x, _ := e.Example(&datasets.Record{Chosen: datasets.Text("cd")}, true); x.From != 0 || len(x.Tokens) != 3 {
		t.Errorf("a text alone: %v", x)
	}
}

func TestPromptAndText(t *testing.T) {
	e := encoder(0)
	ids, err := e.Prompt(&datasets.Record{Chosen: turns("user", "q", "assistant", "a"), Rejected: turns("user", "q", "assistant", "b")})
	if err != nil || e.show(ids) != "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n" {
		t.Errorf("%q, %v", e.show(ids), err)
	}
	ids, err = e.Text(turns("user", "q"), "", "a")
	if err != nil || e.show(ids) != "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n" {
		t.Errorf("%q, %v", e.show(ids), err)
	}
	e.MaxLength = 3
	if ids, err = e.Text(datasets.Text("abc"), "", "de"); err != nil || e.show(ids) != "de<|endoftext|>" {
		t.Errorf("%q, %v", e.show(ids), err)
	}
}

// The path of every target's row, continued by its token, is a prefix of its sequence.
func TestAddPair(t *testing.T) {
	for _, c := range []struct{ prompt, chosen, rejected []int32 }{
		{[]int32{1, 2, 3}, []int32{4, 5, 6}, []int32{4, 7}}, // a common start of the completions is shared
		{[]int32{1, 2}, []int32{3}, []int32{4}},             // both children empty
		{[]int32{1}, []int32{2, 3}, []int32{2, 3, 4}},       // one completion begins with the other
		{nil, []int32{1, 2}, []int32{3, 4, 5}},              // no prompt
	} {
		var tree batch.Tree
		tree.Add(-1, []int32{99, 98}, 0) // something before
		pair := Pair{Prompt: c.prompt, Chosen: c.chosen, Rejected: c.rejected}
		before := tree.Rows()
		tc, tr := AddPair(&tree, pair, 7)
		if tree.Rows()-before > pair.Rows() {
			t.Errorf("%v: %d rows, Rows says at most %d", c, tree.Rows()-before, pair.Rows())
		}
		for side, got := range map[string][]batch.Target{"chosen": tc, "rejected": tr} {
			want := c.chosen
			if side == "rejected" {
				want = c.rejected
			}
			if len(c.prompt) == 0 {
				want = want[1:]
			}
			if len(got) != len(want) {
				t.Fatalf("%v %s: %d targets, want %d", c, side, len(got), len(want))
			}
			full := whole(c.prompt, c.chosen)
			if side == "rejected" {
				full = whole(c.prompt, c.rejected)
			}
			for i, target := range got {
				n := len(full) - len(got) + i
				if target.Token != full[n] || !slices.Equal(pathTo(&tree, target.Row), full[:n]) {
					t.Errorf("%v %s target %d: %d after %v, want %d after %v", c, side, i, target.Token, pathTo(&tree, target.Row), full[n], full[:n])
				}
			}
		}
	}
}

// pathTo returns the tokens on the path from the root to a row.
func pathTo(t *batch.Tree, row int) []int32 {
	for i, s := range t.Segs {
		if row >= s.Start && row < s.Start+s.Len {
			path := slices.Clone(t.Tokens[s.Start : row+1])
			for p := t.Segs[i].Parent; p >= 0; p = t.Segs[p].Parent {
				q := t.Segs[p]
				path = append(slices.Clone(t.Tokens[q.Start:q.Start+q.Len]), path...)
			}
			return path
		}
	}
	return nil
}

func TestAddRewardPair(t *testing.T) {
	var tree batch.Tree
	c, r := AddRewardPair(&tree, Pair{Prompt: []int32{1, 2}, Rejected: []int32{3}}, 0)
	if !slices.Equal(pathTo(&tree, c), []int32{1, 2}) || !slices.Equal(pathTo(&tree, r), []int32{1, 2, 3}) {
		t.Errorf("last rows %d %d of %v", c, r, tree.Tokens)
	}
}

func TestAddExample(t *testing.T) {
	var tree batch.Tree
	got := AddExample(&tree, Example{Tokens: []int32{5, 6, 7, 8}, From: 2}, 0)
	if want := []batch.Target{{Row: 1, Token: 7}, {Row: 2, Token: 8}}; !slices.Equal(got, want) {
		t.Errorf("targets %v, want %v", got, want)
	}
}

func TestParts(t *testing.T) {
	for _, c := range []struct {
		rows  []int
		limit int
		want  [][]int
	}{
		{nil, 6, nil},
		{[]int{3, 3, 9, 1, 1}, 6, [][]int{{0, 1}, {2}, {3, 4}}},            // one pass at a time
		{[]int{300, 100, 120, 90}, 768, [][]int{{0}, {1, 2, 3}}},           // two
		{[]int{100, 90, 300, 120, 400}, 768, [][]int{{2}, {0, 1, 3}, {4}}}, // the last has no room beside the others
		{[]int{900, 200, 200}, 512, [][]int{{0}, {1}, {2}}},                // the first has none at all
		{[]int{200, 200, 200, 200, 200}, 1024, [][]int{{0, 2, 4}, {1, 3}}},
	} {
		if got := Parts(c.rows, c.limit); !slices.EqualFunc(got, c.want, slices.Equal) {
			t.Errorf("%v rows, %d at once: %v, want %v", c.rows, c.limit, got, c.want)
		}
	}
}

func TestBeside(t *testing.T) {
	for _, c := range []struct {
		rows, busy []int
		limit      int
		want       [][]int
	}{
		{nil, []int{5, 0}, 9, nil},
		{[]int{2, 4, 3}, []int{5, 0}, 9, [][]int{{1, 2}, {0}}},           // 5+2 and 0+4+3
		{[]int{2, 4, 3}, []int{50, 0}, 9, [][]int{{0, 1, 2}}},            // all by one
		{[]int{2, 4, 3, 2}, []int{50, 0}, 7, [][]int{{0, 1}, {2, 3}}},    // in two passes
		{[]int{9, 1, 9, 1}, []int{0, 0}, 5, [][]int{{0}, {2}, {1}, {3}}}, // the long ones alone, and first
	} {
		if got := Beside(c.rows, c.busy, c.limit); !slices.EqualFunc(got, c.want, slices.Equal) {
			t.Errorf("%v rows beside %v, %d at once: %v, want %v", c.rows, c.busy, c.limit, got, c.want)
		}
	}
}

func TestAll(t *testing.T) {
	var recs []datasets.Record
	for i := range 100 {
		chosen := "b"
		if i%10 == 0 {
			chosen = "a" // dropped: equal
		}
		recs = append(recs, *record(fmt.Sprint(i), "a", chosen))
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(3))
	set, err := All(recs, encoder(0).Pair)
	if err != nil || len(set.Items) != 90 || set.Records[0] != 1 || set.Report() != "10 dropped: chosen equals rejected" {
		t.Errorf("%d items, %v, %q", len(set.Items), err, set.Report())
	}
	if _, err = All(recs[:1], encoder(0).Pair); err == nil || !strings.Contains(err.Error(), "none of the 1 records") {
		t.Errorf("nothing left: %v", err)
	}
	if _, err = All(nil, encoder(0).Pair); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("empty: %v", err)
	}
	bad := tokenizer.NewByteLevel("{{ raise_exception('no') }}")
	rec := datasets.Record{Chosen: turns("user", "a"), Rejected: turns("user", "b"), Source: datasets.Provenance{File: "x.jsonl", Row: 7}}
	_, err = All([]datasets.Record{rec}, (&Encoder{Tok: bad}).Pair)
	if err == nil || !strings.Contains(err.Error(), "x.jsonl: row 7") {
		t.Errorf("template: %v", err)
	}
}
