package datasets

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// fill makes writes to files fail from now on, as a full disk does; free ends it.
func fill(t *testing.T) (free func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 0, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
			t.Fatal(err)
		}
		signal.Reset(syscall.SIGXFSZ)
	}
}

// someFiles is a conversion into the files of a folder, or a split.
type someFiles struct {
	name string
	outs []string
	run  func(outs []string, opt ConvertOptions) (ConvertReport, error)
}

func intoFiles(in string) []someFiles {
	ctx, list := context.Background(), []someFiles{}
	for _, name := range []string{"x.arrow", "x.jsonl", "x.csv", "x.json"} {
		list = append(list, someFiles{name, []string{name}, func(outs []string, opt ConvertOptions) (ConvertReport, error) {
			return Convert(ctx, []string{in}, outs[0], opt)
		}})
	}
	return append(list, someFiles{"split", []string{"train.arrow", "test.jsonl"}, func(outs []string, opt ConvertOptions) (ConvertReport, error) {
		rep, err := SplitFiles(ctx, []string{in}, outs, opt, SplitOptions{Parts: []Part{{Name: "train", Fraction: 0.7}, {Name: "test"}}})
		return rep.ConvertReport, err
	}})
}

// filesOf reads what a folder holds.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range list {
		all[e.Name()] = readFile(t, filepath.Join(dir, e.Name()))
	}
	return all
}

// A disk that is full behind a checkpoint, on the way or at the very end, costs no more than a kill: started again, the conversion gives
// the same bytes. So does a file that cannot be put in its place. Before a checkpoint, and without them, nothing is left.
func TestFullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("25 conversions of 9,000 records, most of them twice")
	}
	// In a process of its own: what go test itself writes meanwhile (-test.testlogfile) would find the disk full, too.
	if own := "PLUMB_TEST_FULL_DISK"; os.Getenv(own) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFullDisk$", "-test.v")
		cmd.Env = append(os.Environ(), own+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestFullDisk/split") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	in := write(t, "in.jsonl", strings.ReplaceAll(readFile(t, many(t, 9000)), `"id":"i1`, `"id":"i`)) // ids twice
	const never = math.MaxInt64
	for _, f := range intoFiles(in) {
		for _, c := range []struct {
			at     int64 // records at which the disk is full
			resume bool
			keeps  bool
		}{{500, true, false}, {5000, true, true}, {8907, true, true}, {never, true, true}, {5000, false, false}} {
			t.Run(fmt.Sprint(f.name, c.at, c.resume), func(t *testing.T) {
				dir := t.TempDir()
				at := func(folder string) (outs []string) {
					for _, name := range f.outs {
						outs = append(outs, filepath.Join(dir, folder, name))
					}
					return outs
				}
				opt := ConvertOptions{Read: ReadOptions{DuplicateIDs: "rename"}, Resume: c.resume, Checkpoint: 1500}
				if _, err := f.run(at("whole"), opt); err != nil {
					t.Fatal(err)
				}
				outs, o, free := at("stopped"), opt, func() {}
				last := outs[len(outs)-1]
				if c.at == never {
					if err := os.MkdirAll(filepath.Join(last, "in the way"), 0o777); err != nil {
						t.Fatal(err)
					}
				}
				o.OnProgress = func(p Progress) {
					if p.Records >= c.at {
						free()
						free = fill(t)
					}
				}
				_, err := f.run(outs, o)
				free()
				var disk syscall.Errno
				if !errors.As(err, &disk) || strings.Contains(err.Error(), "started again") != c.keeps {
					t.Fatalf("%v", err)
				}
				if c.at == never {
					if err := os.RemoveAll(last); err != nil {
						t.Fatal(err)
					}
				}
				left := filesOf(t, filepath.Join(dir, "stopped"))
				for name := range left {
					if !c.keeps || !strings.HasSuffix(name, partialSuffix) && !strings.Contains(name, ".checkpoint.") {
						t.Errorf("left behind: %s", name)
					}
				}
				rep, err := f.run(outs, opt)
				if err != nil {
					t.Fatal(err)
				}
				if c.keeps != (rep.Resumed > 0) {
					t.Errorf("%d records were resumed", rep.Resumed)
				}
				want, got := filesOf(t, filepath.Join(dir, "whole")), filesOf(t, filepath.Join(dir, "stopped"))
				for name := range want {
					if want[name] != got[name] {
						t.Errorf("%s: other bytes after a resume at %d", name, rep.Resumed)
					}
				}
				if len(got) != len(want) {
					t.Errorf("left behind: %d files, %d wanted", len(got), len(want))
				}
			})
		}
	}
}
