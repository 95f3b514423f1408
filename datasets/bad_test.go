package datasets

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"unicode/utf16"
)

const good = `{"prompt":"p","chosen":"a","rejected":"b"}`

// Each bad row is rejected with its number and a reason; the good rows around it are read.
func TestBadRows(t *testing.T) {
	cases := []struct{ name, bad, reason string }{
		{"broken JSON", `{"prompt":"p","chosen":`, "not JSON: unexpected end"},
		{"not an object", `[1,2]`, "a JSON object was expected"},
		{"two values", good + good, "not JSON"},
		{"invalid UTF-8", "{\"prompt\":\"\xff\",\"chosen\":\"a\",\"rejected\":\"b\"}", "invalid UTF-8 at byte 12"},
		{"half a surrogate", `{"prompt":"\ud83d","chosen":"a","rejected":"b"}`, "half of a surrogate pair at byte 12"},
		{"missing field", `{"prompt":"p","chosen":"a"}`, `field "rejected" is missing`},
		{"wrong type", `{"prompt":"p","chosen":1,"rejected":"b"}`, "chosen: a string was expected, got 1"},
		{"null", `{"prompt":"p","chosen":null,"rejected":"b"}`, `field "chosen" is missing`},
		{"empty", `{"prompt":"p","chosen":"","rejected":"b"}`, "must not be empty"},
		{"text and messages", `{"prompt":"p","chosen":"a","rejected":[{"role":"user","content":"x"}]}`, "must both be text or both be messages"},
		{"no role", `{"prompt":[{"content":"x"}],"chosen":"a","rejected":"b"}`, `prompt[0]: field "role" is missing`},
		{"image", `{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, "only text can be read"},
		{"bad number", `{"prompt":"p","chosen":"a","rejected":"b","margin":"much"}`, "margin: a finite number was expected"},
		{"mixed formats", `{"instruction":"i","output":"o"}`, "read as trl; this row looks like alpaca"},
		{"nothing known", `{"foo":1}`, "was expected, got the fields [foo]"},
		{"huge line", `{"prompt":"` + strings.Repeat("x", 5000) + `","chosen":"a","rejected":"b"}`, "longer than 4000 bytes"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, "x.jsonl", good+"\n\n"+c.bad+"\n"+good)
			recs, rejects := read(t, path, ReadOptions{MaxRow: 4000})
			if len(recs) != 2 || len(rejects) != 1 {
				t.Fatalf("%d records and rejects %+v", len(recs), rejects)
			}
			r := rejects[0]
			if r.Row != 3 || r.File != "x.jsonl" || !strings.Contains(r.Reason, c.reason) {
				t.Errorf("row %d of %s: %q, %q was expected", r.Row, r.File, r.Reason, c.reason)
			}
			if len(c.bad) < 4000 && c.name != "invalid UTF-8" && r.Text != c.bad {
				t.Errorf("text %q", r.Text)
			}
			if c.name == "invalid UTF-8" && !strings.Contains(r.Text, `\xff`) {
				t.Errorf("text %q", r.Text)
			}
			// Without a taker the same row is an error that names file, row and reason.
			_, err := ReadAll([]string{path}, ReadOptions{MaxRow: 4000})
			var e *RejectError
			if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), "x.jsonl:3: ") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestDuplicateIDs(t *testing.T) {
	row := func(id, text string) string { return fmt.Sprintf(`{"id":%q,"prompt":%q}`, id, text) }
	path := write(t, "x.jsonl", row("a", "1")+"\n"+row("b", "2")+"\n"+row("a", "3")+"\n"+`{"prompt":"no id"}`+"\n")
	recs, rejects := read(t, path, ReadOptions{})
	if len(recs) != 3 || len(rejects) != 1 || rejects[0].Row != 3 || rejects[0].Reason != `duplicate id "a", first seen in x.jsonl:1` {
		t.Errorf("%d records, rejects %+v", len(recs), rejects)
	}
	recs, rejects = read(t, path, ReadOptions{DuplicateIDs: "rename"})
	if len(recs) != 4 || len(rejects) != 0 || recs[2].ID != "a~2" || recs[3].ID != "x.jsonl:4" {
		t.Errorf("%+v %+v", recs, rejects)
	}
	if _, err := ReadAll([]string{path, path}, ReadOptions{DuplicateIDs: "reject"}); err == nil {
		t.Error("ids must be unique over files")
	}
}

// Renaming costs no more for the thousandth row of an id than for the second, and leaves names alone that rows give themselves.
func TestManyDuplicateIDs(t *testing.T) {
	const n = 3000
	var b strings.Builder
	b.WriteString(`{"id":"a~7","prompt":"first"}` + "\n")
	for i := range n {
		fmt.Fprintf(&b, `{"id":"%c","prompt":"%d"}`+"\n", 'a'+i%2, i)
	}
	recs, rejects := read(t, write(t, "x.jsonl", b.String()), ReadOptions{DuplicateIDs: "rename"})
	if len(recs) != n+1 || len(rejects) != 0 {
		t.Fatalf("%d records, %d rejects", len(recs), len(rejects))
	}
	for row, want := range map[int]string{1: "a", 2: "b", 3: "a~2", 11: "a~6", 13: "a~8", 14: "b~7", n - 1: fmt.Sprint("a~", n/2+1), n: fmt.Sprint("b~", n/2)} {
		if recs[row].ID != want {
			t.Errorf("row %d is %q, want %q", row, recs[row].ID, want)
		}
	}
	// A name that was tried is not tried again: each row costs the same.
	ids := newIDSet()
	ids.take("a", "x", 1, true)
	for row := int64(2); row < 10; row++ {
		if name := ids.rename("a", "x", row); name != fmt.Sprint("a~", row) || ids.next[idKey("a")] != int(row)+1 {
			t.Errorf("row %d is %q, the next tried is %d", row, name, ids.next[idKey("a")])
		}
	}
}

func TestEncodings(t *testing.T) {
	recs, _ := read(t, write(t, "x.jsonl", "\ufeff"+good+"\r\n"), ReadOptions{})
	if len(recs) != 1 || recs[0].Prompt[0].Content != "p" {
		t.Errorf("with a byte order mark: %+v", recs)
	}
	wide := func(order binary.ByteOrder, bom bool) string {
		var b bytes.Buffer
		text := utf16.Encode([]rune(good))
		if bom {
			text = append([]uint16{0xfeff}, text...)
		}
		binary.Write(&b, order, text)
		return b.String()
	}
	for name, text := range map[string]string{"le": wide(binary.LittleEndian, true), "be": wide(binary.BigEndian, true), "no mark": wide(binary.LittleEndian, false)} {
		_, err := Open(write(t, "x.jsonl", text), ReadOptions{})
		if err == nil || !strings.Contains(err.Error(), "UTF-16") || !strings.Contains(err.Error(), "x.jsonl") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEmptyFiles(t *testing.T) {
	for _, name := range []string{"x.jsonl", "x.json", "x.csv"} {
		for _, text := range []string{"", "\n \n"} {
			if strings.TrimSpace(text) != text && name == "x.csv" {
				continue // a blank header line is a header
			}
			if recs, rejects := read(t, write(t, name, text), ReadOptions{}); len(recs)+len(rejects) != 0 {
				t.Errorf("%s: %v %v", name, recs, rejects)
			}
		}
	}
	for _, name := range []string{"x.arrow", "x.parquet", "x.feather"} {
		if _, err := Open(write(t, name, ""), ReadOptions{}); err == nil || !strings.Contains(err.Error(), "empty") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"x.arrow", "x.feather", "x.json", "x.jsonl", "x.csv", "x.jsonl.gz", "x.jsonl.zst"} {
		if recs, rejects := read(t, save(t, name, WriteOptions{}, nil), ReadOptions{}); len(recs)+len(rejects) != 0 {
			t.Errorf("%s without records: %v %v", name, recs, rejects)
		}
	}
}

func TestBadFiles(t *testing.T) {
	if _, err := Open("nowhere.jsonl", ReadOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if _, err := Open(t.TempDir(), ReadOptions{}); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("folder: %v", err)
	}
	if _, err := Open(write(t, "x.docx", "PK"), ReadOptions{}); err == nil || !strings.Contains(err.Error(), "unknown extension") {
		t.Errorf("docx: %v", err)
	}
	if _, err := Open(write(t, "x.jsonl", good), ReadOptions{Format: "tlr"}); err == nil || !strings.Contains(err.Error(), `unknown format "tlr"`) {
		t.Errorf("format: %v", err)
	}
	if _, err := Open(write(t, "x.parquet", "PAR1"), ReadOptions{}); err == nil || !strings.Contains(err.Error(), "without Parquet") {
		t.Errorf("parquet: %v", err)
	}
	for name, text := range map[string]string{
		"cut.json":   `[` + good + `,` + good,
		"inner.json": `[` + good + `,{"prompt":"p`,
		"tail.json":  `[` + good + `] x`,
		"cut.gz":     readFile(t, save(t, "x.jsonl.gz", WriteOptions{}, samples()))[:200],
		"cut.zst":    readFile(t, save(t, "x.jsonl.zst", WriteOptions{}, samples()))[:200],
	} {
		path := write(t, name, text)
		_, err := ReadAll([]string{path}, ReadOptions{})
		var reject *RejectError
		if err == nil || errors.As(err, &reject) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A broken element of a JSON array does not take its neighbours with it.
func TestJSONArrays(t *testing.T) {
	recs, rejects := read(t, write(t, "x.json", "[\n "+good+",\n {\"prompt\": p, \"x\": \"a,]}\\\"\"} , "+good+"]\n"), ReadOptions{})
	if len(recs) != 2 || len(rejects) != 1 || rejects[0].Row != 2 || recs[1].Source.Row != 3 {
		t.Errorf("%+v %+v", recs, rejects)
	}
	for name, text := range map[string]string{
		"wrapped":        `{"version": 1, "data": [` + good + "," + good + `]}`,
		"one after one":  "{\n \"prompt\": \"a\"\n}\n{\"prompt\":\n\"b\"}",
		"lines in .json": good + "\n" + good + "\n",
		"array in jsonl": "[" + good + "," + good + "]",
	} {
		file := "x.json"
		if name == "array in jsonl" {
			file = "x.jsonl"
		}
		recs, rejects := read(t, write(t, file, text), ReadOptions{})
		if len(recs) != 2 || len(rejects) != 0 {
			t.Errorf("%s: %+v %+v", name, recs, rejects)
		}
	}
}

func TestCSV(t *testing.T) {
	text := "id,prompt,chosen,rejected,label\n1,\"a, \"\"q\"\"\nline\",x,y,\n2,p\n3,b\"d,x,y,\n4,\"p\",\"[{\"\"role\"\":\"\"assistant\"\",\"\"content\"\":\"\"m\"\"}]\",\"[{\"\"role\"\":\"\"assistant\"\",\"\"content\"\":\"\"n\"\"}]\",\n"
	recs, rejects := read(t, write(t, "x.csv", text), ReadOptions{})
	if len(recs) != 2 || len(rejects) != 2 {
		t.Fatalf("%+v %+v", recs, rejects)
	}
	if recs[0].Prompt[0].Content != "a, \"q\"\nline" || recs[0].ID != "1" || recs[1].Chosen[0] != assistant("m") || recs[1].Prompt[0].Role != "user" {
		t.Errorf("%+v", recs)
	}
	if rejects[0].Row != 2 || rejects[0].Reason != "2 cells, the header has 5" || rejects[0].Text != "2,p" || rejects[1].Row != 3 || !strings.Contains(rejects[1].Reason, "quote") {
		t.Errorf("%+v", rejects)
	}
	if _, err := Open(write(t, "x.csv", "a,a\n1,2\n"), ReadOptions{}); err == nil || !strings.Contains(err.Error(), "occurs twice") {
		t.Errorf("header: %v", err)
	}
}

// Messages as Python and numpy print them are no text in a cell; in JSON they are.
func TestPythonInCells(t *testing.T) {
	for _, list := range []string{"[{'content': 'hi', 'role': 'user'}]", " [ {'content': 'it is', 'role': 'user'}\n {'content': 'x', 'role': 'assistant'}]",
		"[{'from': 'human', 'value': None}]", "[{ 'value': 'hi', 'from': 'human'}]"} {
		for _, header := range []string{"chosen,rejected", "prompt,completion", "conversations,x"} {
			recs, rejects := read(t, write(t, "x.csv", fmt.Sprintf("%s\n\"%s\",\"%s\"\n", header, list, list)), ReadOptions{})
			if len(recs) != 0 || len(rejects) != 1 || !strings.Contains(rejects[0].Reason, "a list in a cell must be JSON") {
				t.Errorf("%s: %+v %+v", header, recs, rejects)
			}
		}
		text, err := json.Marshal(map[string]string{"prompt": "p", "completion": list})
		if err != nil {
			t.Fatal(err)
		}
		if recs, rejects := read(t, write(t, "x.jsonl", string(text)), ReadOptions{}); len(recs) != 1 || recs[0].Chosen[0].Content != list {
			t.Errorf("%+v %+v", recs, rejects)
		}
	}
	for _, text := range []string{`[{"id": 1}] Convert this to YAML`, `[{x}]`, "[{'a': 1}]", `[{"role`, `[{'value'} is what?`} {
		in := save(t, "x.csv", WriteOptions{}, []Record{{ID: "1", Prompt: Text(text), Chosen: Text("a"), Rejected: Text("b")}})
		if recs, rejects := read(t, in, ReadOptions{}); len(recs) != 1 || recs[0].Prompt[0].Content != text {
			t.Errorf("%s: %+v %+v", text, recs, rejects)
		}
	}
	recs, rejects := read(t, write(t, "x.csv", "prompt,chosen,rejected\n[x],\"[{\"\"a\"\": 1}]\",[y\n"), ReadOptions{})
	if len(recs) != 1 || recs[0].Prompt[0].Content != "[x]" || recs[0].Chosen[0].Content != `[{"a": 1}]` {
		t.Errorf("texts with brackets: %+v %+v", recs, rejects)
	}
}

// Any cut or flipped byte of an Arrow file gives records and an error, or rejects, never a panic and never an endless file.
func TestBrokenArrow(t *testing.T) {
	for _, ext := range []string{".arrow", ".feather"} {
		whole := readFile(t, save(t, "x"+ext, WriteOptions{}, samples()))
		path := write(t, "y"+ext, "")
		for at := 0; at < len(whole); at += 13 {
			for _, text := range []string{whole[:at], whole[:at] + string(whole[at]^0xa5) + whole[at+1:]} {
				if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
					t.Fatal(err)
				}
				r, err := Open(path, ReadOptions{OnReject: func(Reject) {}})
				if err != nil {
					continue
				}
				n := 0
				for ; err == nil; n++ {
					if _, err = r.Next(); n > 1000 {
						t.Fatalf("%s: byte %d: no end", ext, at)
					}
				}
				if !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "y"+ext) {
					t.Errorf("%s: byte %d: the error does not name the file: %v", ext, at, err)
				}
				r.Close()
			}
		}
	}
}

func TestOASSTStrays(t *testing.T) {
	text := `{"message_id":"t","message_tree_id":"t","text":"q","role":"prompter"}
{"message_id":"a","parent_id":"t","message_tree_id":"t","text":"yes","role":"assistant"}
{"message_id":"x","parent_id":"gone","message_tree_id":"t","text":"lost","role":"assistant"}
{"message_id":"a","parent_id":"t","message_tree_id":"t","text":"again","role":"assistant"}
{"message_id":"d","parent_id":"t","message_tree_id":"t","text":"no","role":"assistant","deleted":true}
{"message_id":"c1","parent_id":"c2","message_tree_id":"t","text":"loop","role":"assistant"}
{"message_id":"c2","parent_id":"c1","message_tree_id":"t","text":"loop","role":"prompter"}
{"message_id":"u","message_tree_id":"u","text":"nobody answers","role":"prompter"}
`
	recs, rejects := read(t, write(t, "x.jsonl", text), ReadOptions{})
	rows := ""
	for _, r := range rejects {
		rows += fmt.Sprint(r.Row, " ")
	}
	if len(recs) != 1 || rows != "5 3 4 6 7 8 " {
		t.Errorf("%+v; rejected rows %s: %+v", recs, rows, rejects)
	}
}
