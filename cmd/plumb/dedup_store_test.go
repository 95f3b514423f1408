package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plumb/dedup/qdranttest"
)

// A store that belongs to something else, or that nobody serves, is an error that says what to do; nothing is written, and what was done
// before is not lost.
func TestStoresThatDoNotFit(t *testing.T) {
	t.Setenv("QDRANT_API_KEY", "")
	dir := t.TempDir()
	in := put(t, filepath.Join(dir, "in.jsonl"), someCopies(1, 60))
	other := put(t, filepath.Join(dir, "notes.txt"), "my notes\n")
	store := filepath.Join(dir, "vectors")
	server := qdranttest.Start(t, qdranttest.Options{})
	gone := qdranttest.Start(t, qdranttest.Options{})
	gone.Stop()
	run := func(more ...string) (errs string, code int) {
		_, errs, code = plumb(t, append([]string{"dedup", in, "--out", filepath.Join(dir, "out", "o.arrow"), "--set", "minhash.enabled=false"}, more...)...)
		return errs, code
	}
	for _, at := range [][]string{{"--set", "vectors.path=" + store}, {"--store", "qdrant://" + server.Addr + "/c"}} {
		if errs, code := run(at...); code != exitDone {
			t.Fatalf("%v: exit code %d\n%s", at, code, errs)
		}
		if err := os.RemoveAll(filepath.Join(dir, "out")); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		more []string
		want []string
	}{
		"another dimension":   {[]string{"--set", "vectors.path=" + store, "--set", "vectors.dim=128"}, []string{store, "its dimension is 256, but this run's is 128"}},
		"no store":            {[]string{"--set", "vectors.path=" + other}, []string{other, "not a vector store"}},
		"dimension in Qdrant": {[]string{"--store", "qdrant://" + server.Addr + "/c", "--set", "vectors.dim=128"}, []string{server.Addr + "/c", "its dimension is 256"}},
		"nobody there":        {[]string{"--store", "qdrant://" + gone.Addr + "/c"}, []string{gone.Addr, "no Qdrant answers there", "docs/dedup.md"}},
		"another model": {[]string{"--set", "vectors.path=" + filepath.Join(dir, "of-another")},
			[]string{"its model is all-MiniLM-L6-v2", "this run's is plumb-hash-2/256", "use another store"}},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "nobody there" && testing.Short() {
				t.Skip("tries for half a minute")
			}
			if name == "another model" {
				b, err := os.ReadFile(store)
				if err != nil {
					t.Fatal(err)
				}
				head := strings.Replace(string(b[:512]), "plumb-hash-2/256", "all-MiniLM-L6-v2", 1)
				put(t, filepath.Join(dir, "of-another"), head+string(b[512:]))
			}
			errs, code := run(c.more...)
			if code != exitFailed {
				t.Errorf("exit code %d", code)
			}
			for _, w := range append(c.want, "the same command goes on from there") {
				if !strings.Contains(errs, w) {
					t.Errorf("want %q in\n%s", w, errs)
				}
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "out", "*.arrow*")); len(left) != 1 || !strings.HasSuffix(left[0], ".checkpoint") {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	if b, err := os.ReadFile(other); err != nil || string(b) != "my notes\n" {
		t.Errorf("a file that is no store was written to: %q, %v", b, err)
	}
}
