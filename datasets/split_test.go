package datasets

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// grouped makes n pairs over n/3 prompts.
func grouped(n int) []Record {
	recs := make([]Record, n)
	for i := range recs {
		recs[i] = Record{ID: fmt.Sprint(i), Prompt: []Message{user(fmt.Sprint("prompt ", i%(n/3)))}, Chosen: []Message{assistant(fmt.Sprint("a", i))},
			Rejected: []Message{assistant("b")}, Copies: 1}
		recs[i].Source = Provenance{"x", int64(i), recs[i].ContentHash()}
	}
	return recs
}

// sides maps ids to parts and holds that no prompt is on two sides.
func sides(t *testing.T, parts [][]Record) map[string]int {
	t.Helper()
	of, prompt := map[string]int{}, map[string]int{}
	for p, recs := range parts {
		for _, r := range recs {
			of[r.ID] = p
			key := r.Prompt[0].Content
			if q, seen := prompt[key]; seen && q != p {
				t.Fatalf("prompt %q is on both sides", key)
			}
			prompt[key] = p
		}
	}
	return of
}

func TestSplitIgnoresOrder(t *testing.T) {
	recs := grouped(3000)
	for name, parts := range map[string][]Part{
		"fractions": {{Name: "train", Fraction: 0.9}, {Name: "test", Fraction: 0.1}},
		"counts":    {{Name: "train"}, {Name: "test", Count: 300}},
	} {
		opt := SplitOptions{Parts: parts, Seed: 7}
		a, err := Split(recs, opt)
		if err != nil {
			t.Fatal(err)
		}
		mixed := append([]Record(nil), recs...)
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		b, err := Split(mixed, opt)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(sides(t, a), sides(t, b)) {
			t.Errorf("%s: the order changed the split", name)
		}
		if len(a[0])+len(a[1]) != 3000 || len(a[1]) < 220 || len(a[1]) > 380 || name == "counts" && len(a[1]) != 300 {
			t.Errorf("%s: %d and %d records", name, len(a[0]), len(a[1]))
		}
		if a[1][0].Split != "test" {
			t.Errorf("split is %q", a[1][0].Split)
		}
		opt.Seed = 8
		c, err := Split(recs, opt)
		if err != nil {
			t.Fatal(err)
		}
		if reflect.DeepEqual(sides(t, a), sides(t, c)) {
			t.Errorf("%s: another seed gave the same split", name)
		}
	}
}

func TestSplitByGroup(t *testing.T) {
	recs := grouped(900)
	group := func(r *Record) string { // prompts 0..9 are one group
		if len(r.Prompt[0].Content) == len("prompt 0") {
			return "small"
		}
		return PromptKey(r)
	}
	parts, err := Split(recs, SplitOptions{Parts: []Part{{Name: "a", Fraction: 0.5}, {Name: "b"}}, Group: group})
	if err != nil {
		t.Fatal(err)
	}
	of := sides(t, parts)
	for i := 0; i < 10; i++ {
		if of[fmt.Sprint(i)] != of["0"] {
			t.Errorf("near-duplicate %d is on the other side", i)
		}
	}
}

func TestSplitFiles(t *testing.T) {
	recs := grouped(1500)
	in := save(t, "x.arrow", WriteOptions{}, recs)
	for _, parts := range [][]Part{{{Name: "train", Fraction: 0.8}, {Name: "test", Fraction: 0.2}}, {{Name: "train"}, {Name: "test", Count: 99}}} {
		dir := t.TempDir()
		outs := []string{filepath.Join(dir, "train.arrow"), filepath.Join(dir, "test.jsonl")}
		opt := SplitOptions{Parts: parts, Seed: 3}
		rep, err := SplitFiles(context.Background(), []string{in}, outs, ConvertOptions{}, opt)
		if err != nil {
			t.Fatal(err)
		}
		want, err := Split(recs, opt)
		if err != nil {
			t.Fatal(err)
		}
		for i, path := range outs {
			got, _ := read(t, path, ReadOptions{})
			if !reflect.DeepEqual(got, want[i]) || rep.Parts[i] != int64(len(got)) {
				t.Errorf("%s: %d records, %d wanted", path, len(got), len(want[i]))
			}
		}
	}
}

func TestBadSplits(t *testing.T) {
	for want, parts := range map[string][]Part{
		"at least two":       {{Name: "a", Fraction: 1}},
		"add up to 1.2":      {{Name: "a", Fraction: 0.6}, {Name: "b", Fraction: 0.6}},
		"add up to 0.5":      {{Name: "a", Fraction: 0.25}, {Name: "b", Fraction: 0.25}},
		"not both":           {{Name: "a", Fraction: 0.5}, {Name: "b", Count: 5}},
		"a name of its own":  {{Name: "a", Fraction: 0.5}, {Name: "a"}},
		"only one part":      {{Name: "a"}, {Name: "b"}},
		"takes the rest, or": {{Name: "a", Count: 1}, {Name: "b", Count: 2}},
		"above 0":            {{Name: "a", Fraction: -0.5}, {Name: "b"}},
	} {
		if _, err := NewSplitter(SplitOptions{Parts: parts}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, %q was expected", parts, err, want)
		}
	}
}

func TestInspect(t *testing.T) {
	lines := []string{
		`{"prompt":[{"role":"user","content":"What is the capital of France, please?"}],"chosen":[{"role":"assistant","content":"The capital of France is the city of Paris."}],"rejected":[{"role":"assistant","content":"no"}]}`,
		`{"prompt":[{"role":"user","content":"What is the capital of France, please?"}],"chosen":[{"role":"assistant","content":"The capital of France is the city of Paris."}],"rejected":[{"role":"assistant","content":"no"}]}`,
		`{"prompt":[{"role":"user","content":"what is  the capital of France, please?"}],"chosen":[{"role":"assistant","content":"no"}],"rejected":[{"role":"assistant","content":"The capital of France is the city of Paris."}]}`,
		`{"prompt":[{"role":"user","content":"Wie heißt die Hauptstadt von Frankreich, bitte schön?"}],"chosen":[{"role":"assistant","content":"Die Hauptstadt von Frankreich heißt Paris."}],"rejected":[{"role":"assistant","content":"Die Hauptstadt von Frankreich heißt Paris."}]}`,
		`broken`,
		`{"prompt":[{"role":"user","content":"x"}],"chosen":[{"role":"assistant","content":"A b"}],"rejected":[{"role":"assistant","content":"a  B"}]}`,
	}
	path := write(t, "x.jsonl", strings.Join(lines, "\n"))
	got, err := Inspect(context.Background(), []string{path}, ReadOptions{}, InspectOptions{Tokens: func(s string) int { return len(strings.Fields(s)) }, Examples: 2})
	if err != nil {
		t.Fatal(err)
	}
	if got.Records != 5 || got.Rows != 6 || got.Rejected != 1 || got.Reasons["not JSON"] != 1 || got.Kinds["preference"] != 5 || got.Chat != 5 {
		t.Errorf("counts: %+v", got)
	}
	if d := got.Duplicates; d != (Duplicates{Exact: 1, Folded: 1, Prompts: 4, SharedPrompts: 1, OnShared: 2, Flipped: 1}) {
		t.Errorf("duplicates: %+v", d)
	}
	if p := got.Pairs; p != (PairFacts{Pairs: 5, Equal: 1, EqualFolded: 2, ChosenLonger: 0.4}) {
		t.Errorf("pairs: %+v", p)
	}
	if c := got.Characters["rejected"]; c.Count != 5 || c.Min != 2 || c.Max != 44 && c.Max != 43 || c.Median != 4 {
		t.Errorf("characters: %+v", c)
	}
	if c := got.Tokens["prompt"]; c.Total != 7+7+7+8+1 || c.Max != 8 {
		t.Errorf("tokens: %+v", c)
	}
	if got.Turns.Max != 2 || len(got.Examples) != 2 || got.Roles["user"] != 5 || got.Roles["assistant"] != 10 {
		t.Errorf("turns %+v, %d examples, roles %v", got.Turns, len(got.Examples), got.Roles)
	}
	langs := map[string]int64{}
	for _, l := range got.Languages {
		langs[l.Code] = l.Records
	}
	if langs["de"] != 1 || langs["en"] < 3 {
		t.Errorf("languages %+v", got.Languages)
	}
	if _, err := json.Marshal(got); err != nil {
		t.Error(err)
	}
	if len(got.Schemas) != 1 || got.Schemas[0].Container != "jsonl" || got.Schemas[0].Format != "trl" ||
		!reflect.DeepEqual(got.Schemas[0].Columns[0], Column{"chosen", "list of {content, role}", 5}) {
		t.Errorf("schema: %+v", got.Schemas)
	}
	own, err := Inspect(context.Background(), []string{save(t, "y.arrow", WriteOptions{}, samples())}, ReadOptions{}, InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if c := own.Schemas[0].Columns; len(c) != 13 || c[0] != (Column{"id", "utf8", 9}) || c[5] != (Column{"margin", "float64", 2}) {
		t.Errorf("schema of a table: %+v", own.Schemas)
	}
	var page, again bytes.Buffer
	if err := got.WriteHTML(&page, "a <title>"); err != nil {
		t.Fatal(err)
	}
	if err := got.WriteHTML(&again, "a <title>"); err != nil || !bytes.Equal(page.Bytes(), again.Bytes()) {
		t.Errorf("the page differs from one time to the next (%v)", err)
	}
	html := page.String()
	for _, want := range []string{"a &lt;title&gt;", "<svg", "chosen equals rejected"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Count(html, "<svg") != 9 {
		t.Errorf("%d plots", strings.Count(html, "<svg"))
	}
	for _, bad := range []string{"src=", "<script", "<link", "@import", "url("} {
		if strings.Contains(html, bad) {
			t.Errorf("the page is not self-contained: %q", bad)
		}
	}
}

func TestNormalise(t *testing.T) {
	if got := NFC("e\u0301"); got != "é" {
		t.Errorf("NFC: %q", got)
	}
	if got := Tidy("\ufeffa \u00ad\t\r\n\r\n\r\n\r\n  code\u200b  x\r\n\n"); got != "a\n\n  code  x" {
		t.Errorf("Tidy: %q", got)
	}
	if got := Fold(" \uff28ello\u00a0\n WORLD\ufb01 "); got != "hello worldfi" {
		t.Errorf("Fold: %q", got)
	}
	if got := Tidy(Tidy("a\n\n\n\nb ")); got != "a\n\nb" {
		t.Errorf("Tidy twice: %q", got)
	}
	r := samples()[0]
	before := r.Prompt[0].Content
	c := r
	c.MapText(strings.ToUpper)
	if r.Prompt[0].Content != before || c.Prompt[0].Content != strings.ToUpper(before) {
		t.Error("MapText must not change the record it was copied from")
	}
}

func TestContentHash(t *testing.T) {
	base := samples()[0]
	same := base
	same.ID, same.Source, same.Margin, same.Meta, same.Copies = "other", Provenance{}, nil, nil, 9
	if base.ContentHash() != same.ContentHash() {
		t.Error("the hash depends on what is not content")
	}
	seen := map[string]bool{}
	for _, r := range []Record{
		{Prompt: Text("ab"), Chosen: Text("c")}, {Prompt: Text("a"), Chosen: Text("bc")}, {Prompt: Text("abc")}, {Chosen: Text("abc")},
		{Prompt: []Message{user("ab")}, Chosen: Text("c")}, {Prompt: Text("ab"), Rejected: Text("c")},
		{Prompt: Text("ab"), Chosen: Text("c"), Label: ptr(true)}, {Prompt: Text("ab"), Chosen: Text("c"), Label: ptr(false)},
		{Prompt: Text("ab"), Chosen: Text("c"), Tools: "[1]"},
	} {
		h := r.ContentHash()
		if seen[h] || len(h) != 64 {
			t.Errorf("hash %s of %+v occurs twice", h, r)
		}
		seen[h] = true
	}
}

func TestReadAllKeepsOrder(t *testing.T) {
	recs := grouped(300)
	a, b := save(t, "a.jsonl", WriteOptions{}, recs[:100]), save(t, "b.arrow", WriteOptions{}, recs[100:])
	got, err := ReadAll([]string{a, b}, ReadOptions{})
	if err != nil || !reflect.DeepEqual(got, recs) {
		t.Errorf("%d records, %v", len(got), err)
	}
	r, err := Open(b, ReadOptions{Kind: Instruction})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var reject *RejectError
	if _, err := r.Next(); !errors.As(err, &reject) || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "expected a record of kind instruction, this is preference") {
		t.Errorf("%v", err)
	}
}
