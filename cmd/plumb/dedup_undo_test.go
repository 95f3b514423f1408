package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// someCopies are rows of TRL's format, with copies of all kinds among them.
func someCopies(from, n int) string {
	var b strings.Builder
	for i := from; i < from+n; i++ {
		answer := fmt.Sprintf("Lift lamp %d by the left handle, turn it twice and carry it slowly to room %d.", i, i*i)
		switch {
		case i%7 == 3: // equal to the one before after normalisation
			answer = strings.ToUpper(fmt.Sprintf("Lift lamp %d by the left handle, turn it twice and carry it slowly to room %d.", i-1, (i-1)*(i-1)))
		case i%7 == 5: // nearly so
			answer = fmt.Sprintf("Lift lamp %d by the left handle, turn it twiice and carry it slowly to room %d.", i-1, (i-1)*(i-1))
		}
		q := i
		if i%7 == 3 || i%7 == 5 {
			q = i - 1
		}
		fmt.Fprintf(&b, `{"prompt":"How do I move lamp number %d, please?","chosen":%q,"rejected":"No idea about %d.","note":%d}`+"\n", q, answer, q, i)
		if i%10 == 0 {
			fmt.Fprintf(&b, `{"prompt":"How do I move lamp number %d, please?","chosen":%q,"rejected":"No idea about %d.","note":"again"}`+"\n", q, answer, q)
		}
	}
	return b.String()
}

// Undo gives back, byte for byte, what data convert makes of the same files: whatever they were, and whatever dedup took from them.
func TestUndoRestoresEveryByte(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	first := put(t, at("a.jsonl"), someCopies(1, 200))
	second := put(t, at("b.jsonl"), someCopies(150, 120))
	test := put(t, at("test.jsonl"), `{"prompt":"How do I move lamp number 44, please?","chosen":"x","rejected":"y"}`+"\n")
	mustPlumb(t, "data", "convert", first, "--out", at("a.arrow"))
	for name, c := range map[string]struct {
		files []string
		ext   string
		more  []string
	}{
		"a table":           {[]string{at("a.arrow")}, ".arrow", nil},
		"rows of TRL":       {[]string{first}, ".jsonl", nil},
		"two files":         {[]string{first, second}, ".parquet", []string{"--set", "preference.merge_prompts=true"}},
		"with a test set":   {[]string{second, at("a.arrow")}, ".jsonl.gz", []string{"--against", test}},
		"nothing is kept":   {[]string{first}, ".arrow", []string{"--set", "keep.policy=none", "--set", "vectors.enabled=false"}},
		"nothing goes":      {[]string{first}, ".arrow", []string{"--set", "keep.protect=[\"a.jsonl\"]"}},
		"exact copies only": {[]string{first}, ".feather", []string{"--set", "minhash.enabled=false", "--set", "vectors.enabled=false"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, ledger, back := at("clean"+c.ext), at("ledger.jsonl"), at("back"+c.ext)
			want := at("want" + c.ext)
			mustPlumb(t, append(append([]string{"data", "convert", "--duplicate-ids", "rename", "--out", want}, c.files...), "--resume=false")...)
			if _, errs, code := plumb(t, append(append([]string{"dedup", "--out", out, "--ledger", ledger}, c.more...), c.files...)...); code != exitDone && code != exitFindings {
				t.Fatalf("dedup: exit code %d\n%s", code, errs)
			}
			a, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(out); err != nil || bytes.Equal(a, b) != (name == "nothing goes") {
				t.Fatalf("what dedup wrote equals its input: %v, %v", bytes.Equal(a, b), err)
			}
			for _, undo := range [][]string{{"dedup", "undo", out, "--ledger", ledger, "--out", back}, {"dedup", "--undo", ledger, "--out", back, out}} {
				os.Remove(back)
				mustPlumb(t, undo...)
				if b, err := os.ReadFile(back); err != nil || !bytes.Equal(a, b) {
					t.Errorf("%v: %d bytes come back, want %d, equal %v, %v", undo, len(b), len(a), bytes.Equal(a, b), err)
				}
			}
			if left, _ := filepath.Glob(at("*.checkpoint*")); len(left) > 0 {
				t.Errorf("checkpoints are left behind: %v", left)
			}
		})
	}
}
