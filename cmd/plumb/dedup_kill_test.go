//go:build unix

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"plumb/dedup/qdranttest"
)

// TestKilledDedupGoesOn kills plumb dedup with SIGKILL behind each of its stages and starts it again. A stage whose result was there is
// not repeated, and the output, ledger, page and rejects are those of a run that was left alone.
func TestKilledDedupGoesOn(t *testing.T) {
	if testing.Short() {
		t.Skip("runs dedup several times")
	}
	t.Setenv("QDRANT_API_KEY", "")
	dir := t.TempDir()
	in := put(t, filepath.Join(dir, "in.jsonl"), someCopies(1, 2000)+"{broken\n")
	names := []string{"out.arrow", "out.arrow.rejected.jsonl", "ledger.jsonl", "page.html"}
	args := func(to, store string) []string {
		if err := os.MkdirAll(to, 0o777); err != nil {
			t.Fatal(err)
		}
		return []string{"dedup", in, "--out", filepath.Join(to, names[0]), "--ledger", filepath.Join(to, names[2]), "--page", filepath.Join(to, names[3]),
			"--store", store, "--set", "vectors.batch=16", "--set", "vectors.threshold=0.7", "--set", "minhash.threshold=0.97"}
	}
	files := func(to string) (out [][]byte) {
		for _, name := range names {
			b, err := os.ReadFile(filepath.Join(to, name))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, b)
		}
		return out
	}
	server := qdranttest.Start(t, qdranttest.Options{})
	for _, store := range []string{"embedded", "qdrant://" + server.Addr + "/killed"} {
		whole := filepath.Join(dir, "whole")
		if _, errs, code := plumb(t, args(whole, strings.Replace(store, "killed", "whole", 1))...); code != exitFindings {
			t.Fatalf("exit code %d\n%s", code, errs)
		}
		to := filepath.Join(dir, "killed")
		kept := filepath.Join(to, names[0]+".checkpoint")
		there := func(name string) bool { _, err := os.Stat(filepath.Join(kept, name)); return err == nil }
		upserts := server.Calls("Upsert")
		size := func() int64 {
			if store != "embedded" {
				return int64(server.Calls("Upsert")-upserts) * 16 * 1024
			}
			info, err := os.Stat(filepath.Join(kept, "store"))
			if err != nil {
				return 0
			}
			return info.Size()
		}
		stored := int64(0)
		for _, p := range []struct {
			name string
			at   func() bool
		}{
			{"reading", func() bool { return there("texts") }},
			{"behind the reading", func() bool { return there("read") }},
			{"behind MinHash", func() bool { return there("minhash") }},
			{"among the vectors", func() bool { stored = size(); return stored > 300_000 }},
			{"behind the vectors", func() bool { return there("vectors") }},
			{"in the writing", func() bool { return there("decisions") }},
		} {
			if store != "embedded" && p.name != "among the vectors" {
				continue
			}
			if cut, _ := cutWhen(t, args(to, store), p.at, 0, syscall.SIGKILL); !cut {
				t.Logf("%s, %s: it was over before it could be killed", store, p.name)
			}
			if p.name == "among the vectors" && !there("vectors") {
				if err := os.Chtimes(filepath.Join(kept, "read"), time.Time{}, time.Unix(1, 0)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if info, err := os.Stat(filepath.Join(kept, "read")); err == nil && !info.ModTime().Equal(time.Unix(1, 0)) {
			t.Error("the reading was repeated")
		}
		cmd, errs := process(t, args(to, store)...)
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitFindings {
			t.Fatalf("%v\n%s", err, errs)
		}
		want, got := files(whole), files(to)
		for i, name := range names {
			a := bytes.ReplaceAll(want[i], []byte("/whole"), []byte("/killed")) // the collection's name
			if !bytes.Equal(got[i], a) {
				t.Errorf("%s: %s differs after kills", store, name)
			}
		}
		if there("run.json") {
			t.Error("checkpoints are left behind")
		}
		if left, _ := filepath.Glob(filepath.Join(to, ".*")); len(left) > 0 {
			t.Errorf("killed runs leave %v", left)
		}
		os.RemoveAll(whole)
		os.RemoveAll(to)
	}
}

// TestKilledSplitGoesOn kills plumb data split once it knows which prompts are nearly equal, and starts it again.
func TestKilledSplitGoesOn(t *testing.T) {
	if testing.Short() {
		t.Skip("runs split several times")
	}
	dir := t.TempDir()
	in := put(t, filepath.Join(dir, "in.jsonl"), someCopies(1, 6000))
	args := func(to string) []string {
		return []string{"data", "split", in, "--out", filepath.Join(dir, to), "--near-by", "minhash"}
	}
	mustPlumb(t, args("whole")...)
	near := filepath.Join(dir, "killed", "split.checkpoint.near")
	cut, _ := cutWhen(t, args("killed"), func() bool { _, err := os.Stat(near); return err == nil }, 0, syscall.SIGKILL)
	if _, err := os.Stat(near); !cut || err != nil {
		t.Skip("the split ended before it could be killed")
	}
	_, errs, code := plumb(t, args("killed")...)
	if code != exitDone || !strings.Contains(errs, "as an earlier run found them") || strings.Contains(errs, "read ") {
		t.Errorf("exit code %d\n%s", code, errs)
	}
	for _, name := range []string{"train.arrow", "test.arrow"} {
		a, err := os.ReadFile(filepath.Join(dir, "whole", name))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, "killed", name)); err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs after a kill, %v", name, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "killed", "split.*")); len(left) > 0 {
		t.Errorf("checkpoints are left behind: %v", left)
	}
}
