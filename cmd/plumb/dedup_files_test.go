package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// numbered gives the rows of a file the ids 1, 2, 3, ...
func numbered(rows string) string {
	var b strings.Builder
	for i, row := range strings.SplitAfter(strings.TrimSpace(rows), "\n") {
		fmt.Fprintf(&b, `{"id":"%d",%s`, i+1, strings.TrimPrefix(row, "{"))
	}
	return b.String() + "\n"
}

// TestDedupRenamesIDsOverAllFiles: files that number their rows alike give an output whose ids are unique, from which undo restores what
// data convert makes of them.
func TestDedupRenamesIDsOverAllFiles(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	a, b := put(t, at("a.jsonl"), numbered(someCopies(1, 120))), put(t, at("b.jsonl"), numbered(someCopies(100, 90)))
	mustPlumb(t, "data", "convert", a, b, "--out", at("want.arrow"), "--duplicate-ids", "rename")
	mustPlumb(t, "dedup", a, b, "--out", at("clean.arrow"), "--ledger", at("ledger.jsonl"))
	mustPlumb(t, "data", "convert", at("clean.arrow"), "--out", at("again.jsonl")) // a duplicate id would be refused
	mustPlumb(t, "dedup", "undo", at("clean.arrow"), "--ledger", at("ledger.jsonl"), "--out", at("back.arrow"))
	want, back := contents(t, at("want.arrow")), contents(t, at("back.arrow"))
	if !bytes.Equal(want, back) {
		t.Errorf("%d bytes come back, want %d", len(back), len(want))
	}
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDedupPutsItsOutputLast keeps each file of a dedup over its own input from its place, a folder being there. Whichever it is, no
// record is lost and no finished stage; started again, the run ends with the bytes of one that nothing stood in the way of.
func TestDedupPutsItsOutputLast(t *testing.T) {
	rows := someCopies(1, 200) + "{broken\n"
	names := []string{"in.jsonl", "ledger.jsonl", "page.html", "in.jsonl.rejected.jsonl", "certificate.json"}
	do := func(dir string, out string) (errs string, code int) {
		at := func(name string) string { return filepath.Join(dir, name) }
		_, errs, code = plumb(t, "dedup", at("in.jsonl"), "--out", at(out), "--ledger", at("ledger.jsonl"), "--page", at("page.html"),
			"--against", at("test.jsonl"), "--certificate", at("certificate.json"))
		return errs, code
	}
	fill := func() string {
		dir := t.TempDir()
		put(t, filepath.Join(dir, "in.jsonl"), rows)
		put(t, filepath.Join(dir, "test.jsonl"), `{"prompt":"How do I move lamp number 44, please?","chosen":"x","rejected":"y"}`+"\n")
		return dir
	}
	whole := fill()
	if errs, code := do(whole, "in.jsonl"); code != exitFindings {
		t.Fatalf("exit code %d\n%s", code, errs)
	}
	if bytes.Equal(contents(t, filepath.Join(whole, "in.jsonl")), []byte(rows)) {
		t.Fatal("nothing was removed")
	}
	for _, blocked := range append(names[1:], "out.jsonl") {
		dir := fill()
		at := func(name string) string { return filepath.Join(dir, name) }
		out := "in.jsonl"
		if blocked == "out.jsonl" {
			out = blocked
		}
		if err := os.MkdirAll(at(blocked+"/there"), 0o777); err != nil {
			t.Fatal(err)
		}
		errs, code := do(dir, out)
		if code != exitFailed || !strings.Contains(errs, "goes on from there") {
			t.Errorf("%s: exit code %d\n%s", blocked, code, errs)
		}
		if got := contents(t, at("in.jsonl")); !bytes.Equal(got, []byte(rows)) {
			t.Errorf("%s: the input is gone: %d bytes, were %d", blocked, len(got), len(rows))
		}
		if _, err := os.Stat(at(out + ".checkpoint/decisions")); err != nil {
			t.Errorf("%s: the stages that were finished are gone: %v", blocked, err)
		}
		if blocked == out && !bytes.Equal(contents(t, at("ledger.jsonl")), contents(t, filepath.Join(whole, "ledger.jsonl"))) {
			t.Error("the ledger is not there before the output")
		}
		if err := os.RemoveAll(at(blocked)); err != nil {
			t.Fatal(err)
		}
		if errs, code := do(dir, out); code != exitFindings {
			t.Fatalf("%s: exit code %d\n%s", blocked, code, errs)
		}
		for _, name := range names {
			if !bytes.Equal(contents(t, at(strings.Replace(name, "in.jsonl", out, 1))), contents(t, filepath.Join(whole, name))) {
				t.Errorf("%s stood in the way: %s differs", blocked, name)
			}
		}
		for _, pattern := range []string{".*", "*.partial", "*.checkpoint"} {
			if left, _ := filepath.Glob(at(pattern)); len(left) > 0 {
				t.Errorf("%s: %v are left behind", blocked, left)
			}
		}
	}
}
