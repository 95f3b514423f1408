package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"plumb/datasets"
)

const goodRow = `{"prompt":"p","chosen":"a","rejected":"b"}`

// Bad rows go to a file beside the output, with row, reason and text; the exit code says so, and no row is lost.
func TestRejectedRowsAreKept(t *testing.T) {
	huge := `{"prompt":"` + strings.Repeat("x", datasets.DefaultMaxRow) + `","chosen":"a","rejected":"b"}`
	rows := []struct{ row, reason string }{
		{goodRow, ""},
		{`{"prompt":"p","chosen":`, "not JSON"},
		{"{\"prompt\":\"caf\xe9\",\"chosen\":\"a\",\"rejected\":\"b\"}", "invalid UTF-8 at byte 15"},
		{goodRow + "\x00", "not JSON"},
		{`{"prompt":"p","chosen":"a"}`, `field "rejected" is missing`},
		{`{"instruction":"i","output":"o"}`, "this row looks like alpaca"},
		{`{"chosen":"\n\nHuman: q\n\nAssistant: a","rejected":"\n\nHuman: q\n\nAssistant: b"}`, "this row looks like hh"},
		{`{"id":"one","prompt":"p","chosen":"a","rejected":"c"}`, ""},
		{`{"id":"one","prompt":"p","chosen":"a","rejected":"d"}`, `duplicate id "one", first seen in x.jsonl:8`},
		{huge, "line longer than 67108864 bytes"},
		{goodRow, ""},
	}
	var text bytes.Buffer
	text.WriteString("\ufeff")
	want := 0
	for _, r := range rows {
		text.WriteString(r.row + "\n")
		if r.reason == "" {
			want++
		}
	}
	dir := t.TempDir()
	in := put(t, filepath.Join(dir, "x.jsonl"), text.String())
	for _, out := range []string{"out.arrow", "out.parquet", "out.jsonl.gz"} {
		path := filepath.Join(dir, out)
		_, errs, code := plumb(t, "data", "convert", in, "--out", path)
		if code != exitFindings || !strings.Contains(errs, datasets.RejectPath(path)) {
			t.Fatalf("%s: exit code %d\n%s", out, code, errs)
		}
		recs, err := datasets.ReadAll([]string{path}, datasets.ReadOptions{})
		if err != nil || len(recs) != want {
			t.Fatalf("%s: %d records, %v", out, len(recs), err)
		}
		b, err := os.ReadFile(datasets.RejectPath(path))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		if len(lines) != len(rows)-want {
			t.Fatalf("%s: %d rejects and %d records of %d rows", out, len(lines), want, len(rows))
		}
		at := 0
		for i, r := range rows {
			if r.reason == "" {
				continue
			}
			var got datasets.Reject
			if err := json.Unmarshal([]byte(lines[at]), &got); err != nil {
				t.Fatal(err)
			}
			at++
			if got.File != "x.jsonl" || got.Row != int64(i+1) || !strings.Contains(got.Reason, r.reason) || got.Text == "" {
				t.Errorf("%s: row %d is rejected as %+v, want %q", out, i+1, got, r.reason)
			}
			if len(r.row) < 1000 && !strings.Contains(r.row, "\xe9") && strings.TrimSpace(got.Text) != r.row {
				t.Errorf("%s: row %d: text %q", out, i+1, got.Text)
			}
		}
	}
}

// Files that cannot be read to their end are an error that names the file, and leave nothing behind.
func TestBrokenFilesAreNamed(t *testing.T) {
	dir := t.TempDir()
	var rows strings.Builder
	for i := 0; i < 4000; i++ {
		fmt.Fprintf(&rows, `{"prompt":"question %d","chosen":"answer %d","rejected":"no"}`+"\n", i, i*i)
	}
	source := put(t, filepath.Join(dir, "source.jsonl"), rows.String())
	cut := func(name string) string {
		whole := filepath.Join(dir, "whole-"+name)
		mustPlumb(t, "data", "convert", source, "--out", whole)
		b, err := os.ReadFile(whole)
		if err != nil {
			t.Fatal(err)
		}
		return put(t, filepath.Join(dir, "cut-"+name), string(b[:len(b)*2/3]))
	}
	wide := func(order binary.ByteOrder, mark bool) string {
		var b bytes.Buffer
		text := utf16.Encode([]rune(rows.String()))
		if mark {
			text = append([]uint16{0xfeff}, text...)
		}
		if err := binary.Write(&b, order, text); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if err := os.Mkdir(filepath.Join(dir, "folder.jsonl"), 0o755); err != nil {
		t.Fatal(err)
	}
	closed := put(t, filepath.Join(dir, "closed.jsonl"), goodRow)
	if err := os.Chmod(closed, 0); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		cut("x.jsonl.gz"):                  "row ",
		cut("x.jsonl.zst"):                 "row ",
		cut("x.json"):                      "the file ends inside element",
		cut("x.arrow"):                     "cut off",
		cut("x.feather"):                   "not a whole Arrow IPC file",
		cut("x.parquet"):                   "not a whole Parquet file",
		filepath.Join(dir, "absent.jsonl"): "no such file",
		filepath.Join(dir, "folder.jsonl"): "is a folder",
		put(t, dir+"/le.jsonl", wide(binary.LittleEndian, true)): "UTF-16",
		put(t, dir+"/be.jsonl", wide(binary.BigEndian, true)):    "UTF-16",
		put(t, dir+"/bare.jsonl", wide(binary.BigEndian, false)): "UTF-16 without a byte order mark",
		put(t, dir+"/empty.parquet", ""):                         "is empty",
		put(t, dir+"/empty.arrow", ""):                           "is empty",
		put(t, dir+"/x.docx", "PK\x03\x04"):                      "unknown extension",
		put(t, dir+"/zero.jsonl.gz", "\x1f\x8b\x00\x00\x00\x00"): "gzip",
		put(t, dir+"/newer.arrow", newer(t, dir)):                "schema version 9 is newer than this program's 1: update plumb",
	}
	if _, err := os.ReadFile(closed); err != nil { // root may read everything
		files[closed] = "permission denied"
	}
	for path, want := range files {
		for _, command := range [][]string{{"convert", "--out", dir + "/out/o.arrow"}, {"split", "--out", dir + "/out"}, {"inspect"}, {"dedup", "--out", dir + "/out/o.arrow"}} {
			line := append([]string{"data", command[0], path}, command[1:]...)
			if command[0] == "dedup" {
				line = line[1:]
			}
			_, errs, code := plumb(t, line...)
			if code != exitFailed || !strings.Contains(errs, filepath.Base(path)) || !strings.Contains(errs, want) {
				t.Errorf("data %s %s: exit code %d, want %q in\n%s", command[0], filepath.Base(path), code, want, errs)
			}
			if left, _ := filepath.Glob(dir + "/out/*"); len(left) > 0 {
				t.Errorf("data %s %s leaves %v", command[0], filepath.Base(path), left)
				os.RemoveAll(dir + "/out")
			}
		}
	}
	// An empty file of text has no rows: nothing is wrong with it.
	out := mustPlumb(t, "data", "convert", put(t, dir+"/empty.jsonl", ""), "--out", dir+"/none.arrow")
	if !strings.HasPrefix(out, "0 records") {
		t.Errorf("an empty file: %s", out)
	}
}

// newer is a stream whose schema claims a later version.
func newer(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "now.arrow")
	mustPlumb(t, "data", "convert", put(t, filepath.Join(dir, "now.jsonl"), goodRow), "--out", path)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key := []byte(datasets.SchemaKey)
	at := bytes.Index(b, key)
	if at < 0 {
		t.Fatal("the schema has no version")
	}
	// The value stands near its key: a length of 1 and the digit.
	for _, i := range []int{-1, 1} {
		for d := 0; d < 64; d++ {
			p := at + i*d
			if p > 4 && p < len(b) && b[p] == '1' && bytes.Equal(b[p-4:p], []byte{1, 0, 0, 0}) {
				b[p] = '9'
				return string(b)
			}
		}
	}
	t.Fatal("no version was found")
	return ""
}

// Synth writes the same world for the same seed, as large as it was asked to be; inspect says what is in it, and draws it.
func TestSynthAndInspect(t *testing.T) {
	dir := t.TempDir()
	synth := func(to, seed string) map[string][]byte {
		mustPlumb(t, "data", "synth", "--out", filepath.Join(dir, to), "--seed", seed, "--pairs", "60", "--held-out", "20", "--demonstrations", "15",
			"--exact-copies", "4", "--near-copies", "3")
		files := map[string][]byte{}
		for _, name := range []string{"pairs.arrow", "held_out.arrow", "demonstrations.arrow", "stats.json"} {
			b, err := os.ReadFile(filepath.Join(dir, to, name))
			if err != nil {
				t.Fatal(err)
			}
			files[name] = b
		}
		return files
	}
	a, b, c := synth("a", "1"), synth("b", "1"), synth("c", "2")
	for name := range a {
		if !bytes.Equal(a[name], b[name]) {
			t.Errorf("%s differs from one time to the next", name)
		}
		if bytes.Equal(a[name], c[name]) {
			t.Errorf("%s does not depend on the seed", name)
		}
	}
	page := filepath.Join(dir, "page.html")
	var got datasets.Inspection
	if err := json.Unmarshal([]byte(mustPlumb(t, "data", "inspect", filepath.Join(dir, "a", "pairs.arrow"), "--page", page, "--json")), &got); err != nil {
		t.Fatal(err)
	}
	if got.Records != 67 || got.Kinds["preference"] != 67 || got.Duplicates.Exact != 4 || len(got.Schemas) != 1 || len(got.Schemas[0].Columns) != 13 {
		t.Errorf("inspect: %+v", got)
	}
	html, err := os.ReadFile(page)
	if err != nil || bytes.Count(html, []byte("<svg")) < 5 {
		t.Errorf("a page of %d bytes with %d plots, %v", len(html), bytes.Count(html, []byte("<svg")), err)
	}
	if text := mustPlumb(t, "data", "inspect", filepath.Join(dir, "a", "pairs.arrow")); !strings.Contains(text, "67 records from 67 rows (plumb), 0 rows rejected") {
		t.Errorf("inspect: %s", text)
	}
}
