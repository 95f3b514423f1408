package datasets

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// write makes a file in a temporary folder.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// read gives all records and rejects of a file and holds read = used + rejected.
func read(t *testing.T, path string, opt ReadOptions) ([]Record, []Reject) {
	t.Helper()
	var rejects []Reject
	opt.OnReject = func(r Reject) { rejects = append(rejects, r) }
	r, err := Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var recs []Record
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		recs = append(recs, rec)
	}
	c := CountsOf(r)
	if c.Rows != c.Used+c.Rejected+c.Unused || c.Rejected != int64(len(rejects)) || c.Records != int64(len(recs)) {
		t.Fatalf("rows are lost: %+v with %d rejects and %d records", c, len(rejects), len(recs))
	}
	return recs, rejects
}

// save writes records and gives the path.
func save(t testing.TB, name string, opt WriteOptions, recs []Record) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	w, err := Create(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recs {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func ptr[T any](v T) *T { return &v }

func user(s string) Message      { return Message{Role: "user", Content: s} }
func assistant(s string) Message { return Message{Role: "assistant", Content: s} }

// samples has one record of every kind, with every field used somewhere.
func samples() []Record {
	list := []Record{
		{ID: "pair", Prompt: []Message{{Role: "system", Content: "be kind"}, user("héllo \"x\"\n\ttwo")}, Chosen: []Message{assistant("good")},
			Rejected: []Message{assistant("bad <b>&amp;</b> \u2028")}, Margin: ptr(0.5), ChosenScore: ptr(8.25), RejectedScore: ptr(-1.0), Split: "train",
			Copies: 3, Meta: map[string]string{"lang": "fr", "a": ""}},
		{ID: "raw", Prompt: Text("Once upon "), Chosen: Text("a time"), Rejected: Text("the end"), Copies: 1},
		{ID: "demo", Prompt: []Message{user("2+2?")}, Chosen: []Message{assistant("4")}, Copies: 1},
		{ID: "text", Chosen: Text("just text\n"), Copies: 1},
		{ID: "up", Prompt: []Message{user("q")}, Chosen: []Message{assistant("a")}, Label: ptr(true), Copies: 1},
		{ID: "down", Prompt: []Message{user("q")}, Chosen: []Message{assistant("b")}, Label: ptr(false), Copies: 1},
		{ID: "plain", Prompt: []Message{user("hi")}, Chosen: []Message{assistant(" well, hello ")}, Rejected: []Message{assistant("")}, Margin: ptr(2.0), Copies: 1},
		{ID: "only", Prompt: []Message{user("why?")}, Copies: 1},
		{ID: "tool", Tools: `[{"type":"function","function":{"name":"add"}}]`, Prompt: []Message{user("add 1 2"),
			{Role: "assistant", ToolCalls: `[{"id":"c1","type":"function","function":{"name":"add","arguments":"{\"a\":1}"}}]`},
			{Role: "tool", Content: "3", Name: "add", ToolCallID: "c1"}}, Chosen: []Message{assistant("It is 3.")}, Copies: 1},
	}
	for i := range list {
		list[i].Source = Provenance{File: "orig.jsonl", Row: int64(i + 7), Hash: list[i].ContentHash()}
	}
	return list
}

func TestLosslessRoundTrip(t *testing.T) {
	for _, name := range []string{"x.arrow", "x.feather", "x.jsonl", "x.json", "x.jsonl.gz", "x.jsonl.zst"} {
		t.Run(name, func(t *testing.T) {
			want := samples()
			got, rejects := read(t, save(t, name, WriteOptions{}, want), ReadOptions{})
			if len(rejects) > 0 {
				t.Fatalf("rejected: %+v", rejects)
			}
			for i := range want {
				if !reflect.DeepEqual(got[i], want[i]) {
					t.Errorf("record %d:\n got %+v\nwant %+v", i, got[i], want[i])
				}
			}
		})
	}
}

func TestImplicitPrompt(t *testing.T) {
	lines := `{"chosen": "The sky is blue.", "rejected": "The sky is green."}
{"chosen": [{"role":"user","content":"q"},{"role":"assistant","content":"a"}], "rejected": [{"role":"user","content":"q"},{"role":"assistant","content":"b"}]}
{"chosen": "abc", "rejected": "abcdef"}
`
	recs, rejects := read(t, write(t, "x.jsonl", lines), ReadOptions{})
	if len(rejects) > 0 {
		t.Fatal(rejects)
	}
	want := [][3][]Message{
		{Text("The sky is"), Text(" blue."), Text(" green.")},
		{{user("q")}, {assistant("a")}, {assistant("b")}},
		{Text("ab"), Text("c"), Text("cdef")},
	}
	for i, w := range want {
		if got := [3][]Message{recs[i].Prompt, recs[i].Chosen, recs[i].Rejected}; !reflect.DeepEqual(got, w) {
			t.Errorf("row %d: got %+v, want %+v", i+1, got, w)
		}
	}
	if recs[0].ID != "x.jsonl:1" || recs[0].Source.Row != 1 || recs[0].Source.File != "x.jsonl" || recs[0].Source.Hash != recs[0].ContentHash() {
		t.Errorf("provenance: %+v", recs[0])
	}
}

func TestHH(t *testing.T) {
	text := `{"chosen": "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: joke\n\nAssistant: ok ", "rejected": "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: joke\n\nAssistant: no"}` + "\n"
	recs, _ := read(t, write(t, "x.jsonl", text), ReadOptions{})
	want := Record{Prompt: []Message{user("hi"), assistant("hello"), user("joke")}, Chosen: []Message{assistant("ok ")}, Rejected: []Message{assistant("no")}}
	if len(recs) != 1 || recs[0].ContentHash() != want.ContentHash() {
		t.Fatalf("got %+v", recs)
	}
	back, err := os.ReadFile(save(t, "y.jsonl", WriteOptions{Format: "hh"}, recs))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(back), `"chosen":"\n\nHuman: hi\n\nAssistant: hello\n\nHuman: joke\n\nAssistant: ok "`) {
		t.Errorf("written as %s", back)
	}
}
