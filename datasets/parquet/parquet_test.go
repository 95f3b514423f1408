package parquet

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"plumb/datasets"
)

func ptr[T any](v T) *T { return &v }

// records are of every kind, enough of them for more than one row group.
func records(n int) []datasets.Record {
	msg := func(role, s string) []datasets.Message { return []datasets.Message{{Role: role, Content: s}} }
	list := make([]datasets.Record, n)
	for i := range list {
		r := datasets.Record{ID: fmt.Sprint("r", i), Prompt: msg("user", fmt.Sprintf("é question %d", i)), Chosen: msg("assistant", strings.Repeat("a", i%50)), Copies: 1 + i%2}
		switch i % 4 {
		case 0:
			r.Rejected, r.Margin, r.ChosenScore, r.RejectedScore = msg("assistant", "no"), ptr(float64(i)), ptr(1.5), ptr(-1.5)
		case 1:
			r.Label = ptr(i%8 == 1)
		case 2:
			r.Chosen, r.Split = nil, "test"
		default:
			r.Tools, r.Meta = `[{"name":"f"}]`, map[string]string{"k": "v", "a": ""}
			r.Prompt = append(r.Prompt, datasets.Message{Role: "tool", Content: "3", Name: "f", ToolCallID: "c", ToolCalls: "[1]"})
		}
		r.Source = datasets.Provenance{File: "x", Row: int64(i), Hash: r.ContentHash()}
		list[i] = r
	}
	return list
}

func save(t testing.TB, path string, recs []datasets.Record) {
	t.Helper()
	w, err := datasets.Create(path, datasets.WriteOptions{})
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
}

func TestRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 40_000} {
		path := filepath.Join(t.TempDir(), "x.parquet")
		want := records(n)
		save(t, path, want)
		got, err := datasets.ReadAll([]string{path}, datasets.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != n {
			t.Fatalf("%d records of %d", len(got), n)
		}
		for i := range got {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Fatalf("record %d:\n got %+v\nwant %+v", i, got[i], want[i])
			}
		}
	}
}

func TestSameBytes(t *testing.T) {
	var files [2][]byte
	for i := range files {
		path := filepath.Join(t.TempDir(), "x.parquet")
		save(t, path, records(3000))
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[i] = b
	}
	if string(files[0]) != string(files[1]) {
		t.Error("equal records gave different bytes")
	}
}

func TestBrokenFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.parquet")
	save(t, path, records(120))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int{4, 5, 12, 100, len(whole) / 2, len(whole) - 1} {
		name := filepath.Join(t.TempDir(), "cut.parquet")
		if err := os.WriteFile(name, whole[:cut], 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := datasets.ReadAll([]string{name}, datasets.ReadOptions{}); err == nil || !strings.Contains(err.Error(), "cut.parquet") {
			t.Errorf("cut at %d: expected an error that names the file, got %v", cut, err)
		}
	}
	// Any flipped byte gives records or an error, never a panic.
	for at := 4; at < len(whole); at += 61 {
		broken := append([]byte(nil), whole...)
		broken[at] ^= 0x5a
		name := filepath.Join(t.TempDir(), "flip.parquet")
		if err := os.WriteFile(name, broken, 0o666); err != nil {
			t.Fatal(err)
		}
		r, err := datasets.Open(name, datasets.ReadOptions{OnReject: func(datasets.Reject) {}})
		if err != nil {
			continue
		}
		for n := 0; ; n++ {
			if _, err = r.Next(); err != nil {
				break
			}
			if n > 1<<20 {
				t.Fatalf("byte %d flipped: the file does not end", at)
			}
		}
		if !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "flip.parquet") {
			t.Errorf("byte %d flipped: error does not name the file: %v", at, err)
		}
		r.Close()
	}
}
