package datasets

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// told lists rejects as row and the head of the reason, with a mark on unused rows.
func told(rejects []Reject) string {
	s := ""
	for _, r := range rejects {
		mark := ""
		if r.Unused {
			mark = "!"
		}
		s += fmt.Sprintf("%d %s%s; ", r.Row, strings.Join(strings.Fields(r.Reason)[:3], " "), mark)
	}
	return s
}

// takeUnused gathers the unused rows of a reading.
func takeUnused(opt *ReadOptions) *[]Reject {
	var list []Reject
	opt.OnUnused = func(r Reject) { list = append(list, r) }
	return &list
}

// Every message is used, in a record that stands, or rejected, or in no record, once.
func TestOASSTCounts(t *testing.T) {
	tree := `{"message_id":"q","message_tree_id":"q","text":"q","role":"prompter"}
{"message_id":"a","parent_id":"q","message_tree_id":"q","text":"first","role":"assistant","rank":0}
{"message_id":"b","parent_id":"q","message_tree_id":"q","text":"second","role":"assistant","rank":1}
{"message_id":"c","parent_id":"q","message_tree_id":"q","text":"third","role":"assistant","rank":2}
{"message_id":"leaf","parent_id":"b","message_tree_id":"q","text":"thanks","role":"prompter"}
{"message_id":"more","parent_id":"a","message_tree_id":"q","text":"and?","role":"prompter"}
{"message_id":"end","parent_id":"more","message_tree_id":"q","text":"no","role":"assistant"}
`
	one := write(t, "x.jsonl", tree)
	for _, c := range []struct {
		opt     ReadOptions
		records int
		rejects string
	}{
		{ReadOptions{}, 4, "5 no answer follows!; "},
		{ReadOptions{Pairs: "best"}, 3, "5 no answer follows!; "},
		{ReadOptions{Pairs: "ends"}, 2, "3 this answer is!; 5 no answer follows!; "},
		{ReadOptions{Kind: Preference}, 3, "6 expected a record; 7 expected a record; 5 no answer follows!; "},
		{ReadOptions{Kind: Instruction}, 1, "3 expected a record; 4 expected a record; 5 no answer follows!; "},
		{ReadOptions{Kind: Unpaired}, 0, "1 expected a record; 2 expected a record; 3 expected a record; 4 expected a record; 6 expected a record; 7 expected a record; 5 no answer follows!; "},
	} {
		unused := takeUnused(&c.opt)
		recs, rejects := read(t, one, c.opt)
		rejects = append(rejects, *unused...)
		if len(recs) != c.records || told(rejects) != c.rejects {
			t.Errorf("%+v: %d records, rejects %s", c.opt, len(recs), told(rejects))
		}
	}
	// The same tree again, grown by an answer: what it had is there already.
	two := write(t, "y.jsonl", tree+`{"message_id":"new","parent_id":"leaf","message_tree_id":"q","text":"welcome","role":"assistant"}`+"\n")
	for ids, want := range map[string]string{
		"reject": `[{7 6 0 1 4} {8 4 4 0 1}] 5 no answer follows!; 2 duplicate id "q/1",; 4 duplicate id "q/2",; 6 duplicate id "end",; 7 duplicate id "end",; `,
		"rename": `[{7 6 0 1 4} {8 8 0 0 5}] 5 no answer follows!; `,
	} {
		var counts []Counts
		var rejects []Reject
		take := func(r Reject) { rejects = append(rejects, r) }
		opt := ReadOptions{DuplicateIDs: ids, OnReject: take, OnUnused: take}
		err := each(context.Background(), []string{one, two}, opt, func(*Record) error { return nil }, func(r Reader) { counts = append(counts, CountsOf(r)) })
		if got := fmt.Sprint(counts, " ", told(rejects)); err != nil || got != want {
			t.Errorf("%s: %s, want %s (%v)", ids, got, want, err)
		}
	}
	rep, err := Convert(context.Background(), []string{one, one}, filepath.Join(t.TempDir(), "z.jsonl"), ConvertOptions{})
	if err != nil || rep.Rows != 14 || rep.Used != 6 || rep.Rejected != 6 || rep.Unused != 2 || rep.Records != 4 {
		t.Errorf("%+v %v", rep, err)
	}
}

// A last question that nobody answers and the middle of a ranking read by ends are in no record, and that is no error: the rows are
// counted and told once.
func TestOASSTUnused(t *testing.T) {
	text := `{"message_id":"q","message_tree_id":"q","text":"q","role":"prompter"}
{"message_id":"a","parent_id":"q","message_tree_id":"q","text":"first","role":"assistant","rank":0}
{"message_id":"b","parent_id":"q","message_tree_id":"q","text":"second","role":"assistant","rank":1}
{"message_id":"c","parent_id":"q","message_tree_id":"q","text":"third","role":"assistant","rank":2}
{"message_id":"leaf","parent_id":"b","message_tree_id":"q","text":"thanks","role":"prompter"}
`
	in, ctx := write(t, "x.jsonl", text), context.Background()
	recs, err := ReadAll([]string{in}, ReadOptions{Pairs: "ends"})
	if err != nil || len(recs) != 1 {
		t.Fatalf("%d records, %v", len(recs), err)
	}
	out := filepath.Join(t.TempDir(), "y.jsonl")
	rep, err := Convert(ctx, []string{in}, out, ConvertOptions{Read: ReadOptions{Pairs: "ends"}, Resume: true})
	if want := (Counts{Rows: 5, Used: 3, Unused: 2, Records: 1}); err != nil || rep.Counts != want || rep.Rejects != RejectPath(out) {
		t.Fatalf("%+v %v", rep, err)
	}
	if list := readFile(t, rep.Rejects); strings.Count(list, `"unused":true}`) != 2 || strings.Count(list, "\n") != 2 {
		t.Error(list)
	}
	found, err := Inspect(ctx, []string{in}, ReadOptions{Pairs: "ends"}, InspectOptions{})
	if err != nil || found.Rows != 5 || found.Rejected != 0 || found.Unused != 2 || found.WhyUnused["no answer follows this message"] != 1 {
		t.Errorf("%+v %v", found, err)
	}
	var page strings.Builder
	if err := found.WriteHTML(&page, "x"); err != nil || !strings.Contains(page.String(), "2 in no record") {
		t.Errorf("%v %s", err, page.String())
	}
}
