package datasets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plumb/internal/testpaths"
)

func TestHarmlessRoundTrip(t *testing.T) {
	path := testpaths.Shared(t, "hh-rlhf", "harmless-base-1700.jsonl.gz")
	recs, rejects := read(t, path, ReadOptions{})
	if len(recs)+len(rejects) != 1700 || len(rejects) > 5 {
		t.Fatalf("%d records, %d rejects %+v", len(recs), len(rejects), rejects)
	}
	for _, r := range recs {
		if r.Kind() != Preference || len(r.Prompt) == 0 || r.Prompt[0].Role != "user" || r.Chosen[0].Role == "" {
			t.Fatalf("%+v", r)
		}
	}
	// Back to transcripts: each is the original but for the space after a mark.
	in := newTestReader(t, path)
	defer in.Close()
	different := 0
	for i := 0; ; i++ {
		row, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		f, err := parseFields(row)
		if err != nil {
			t.Fatal(err)
		}
		v, err := encodeHH(&recs[i])
		if err != nil {
			t.Fatal(err)
		}
		tight := strings.NewReplacer("Human: ", "Human:", "Assistant: ", "Assistant:")
		for side, got := range map[string]string{"chosen": v.(hhRow).Chosen, "rejected": v.(hhRow).Rejected} {
			want := f.whole(side)
			if tight.Replace(got) != tight.Replace(want) {
				t.Fatalf("row %d, %s:\n got %q\nwant %q", i+1, side, got, want)
			}
			if got != want {
				different++
			}
		}
	}
	t.Logf("%d of 3,400 transcripts get a space after a speaker mark that had none", different)
	arrow := save(t, "x.arrow", WriteOptions{Kind: Preference}, recs)
	again, rejects := read(t, arrow, ReadOptions{})
	if len(rejects) > 0 || len(again) != len(recs) {
		t.Fatalf("%d of %d, %+v", len(again), len(recs), rejects)
	}
	for i := range again {
		if again[i].ContentHash() != again[i].Source.Hash || again[i].ID != recs[i].ID {
			t.Fatalf("record %d changed", i)
		}
	}
}

func newTestReader(t *testing.T, path string) *jsonlSource {
	t.Helper()
	in, err := openInput(path)
	if err != nil {
		t.Fatal(err)
	}
	return &jsonlSource{in: in, limit: DefaultMaxRow}
}

func TestNotInject(t *testing.T) {
	recs, rejects := read(t, testpaths.Shared(t, "notinject", "NotInject_one.json"), ReadOptions{})
	if len(recs) != 113 || len(rejects) != 0 || recs[0].Kind() != PromptOnly || recs[0].Meta["category"] != "Technique Queries" || recs[0].Meta["word_list"] == "" {
		t.Errorf("%d records, rejects %+v, first %+v", len(recs), rejects, recs[:1])
	}
}

// many writes n pairs, with a broken line every 97 and one that hh cannot hold every 89.
func many(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "many.jsonl")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := 0; i < n; i++ {
		switch {
		case i%97 == 5:
			fmt.Fprintf(f, "{\"prompt\": broken %d\n", i)
		case i%89 == 5:
			fmt.Fprintf(f, `{"id":"i%d","prompt":[{"role":"user","content":"only %d"}]}`+"\n", i, i)
		default:
			fmt.Fprintf(f, `{"id":"i%d","prompt":[{"role":"user","content":"q %d"}],"chosen":[{"role":"assistant","content":"yes %d"}],"rejected":[{"role":"assistant","content":"no"}]}`+"\n", i, i%1000, i)
		}
	}
	return path
}

func TestConvertAccounts(t *testing.T) {
	in := many(t, 2000)
	out := filepath.Join(t.TempDir(), "x.arrow")
	rep, err := Convert(context.Background(), []string{in}, out, ConvertOptions{Write: WriteOptions{Kind: Preference}})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Rows != 2000 || rep.Rejected != 21 || rep.Unfit != 22 || rep.Written != 2000-21-22 || rep.Rejects != RejectPath(out) {
		t.Errorf("%+v", rep)
	}
	if n := strings.Count(readFile(t, rep.Rejects), "\n"); n != 43 {
		t.Errorf("%d rows in the reject file", n)
	}
	recs, _ := read(t, out, ReadOptions{})
	if int64(len(recs)) != rep.Written {
		t.Errorf("%d records in the file", len(recs))
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(out), "*.partial")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A conversion that is stopped anywhere and started again gives the same bytes, rejects included.
func TestConvertResumes(t *testing.T) {
	in := many(t, 9000)
	for _, ext := range []string{".arrow", ".jsonl", ".csv", ".json", ".jsonl.gz", ".feather"} {
		stops := []int64{5000}
		if ext == ".arrow" || ext == ".jsonl" {
			stops = []int64{2500, 8990}
		}
		for _, stop := range stops {
			t.Run(fmt.Sprint(ext, stop), func(t *testing.T) {
				dir := t.TempDir()
				opt := ConvertOptions{Write: WriteOptions{Kind: Preference}, Resume: true, Checkpoint: 2000}
				whole, stopped := filepath.Join(dir, "whole", "x"+ext), filepath.Join(dir, "stopped", "x"+ext)
				want, err := Convert(context.Background(), []string{in}, whole, opt)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				o := opt
				o.OnProgress = func(p Progress) {
					if p.Records >= stop {
						cancel()
					}
				}
				if _, err := Convert(ctx, []string{in}, stopped, o); !errors.Is(err, context.Canceled) {
					if stop < 8192 {
						t.Fatalf("not stopped: %v", err)
					}
				}
				if _, err := os.Stat(stopped); err == nil && stop < 8192 {
					t.Fatal("half an output is there")
				}
				got, err := Convert(context.Background(), []string{in}, stopped, opt)
				if err != nil {
					t.Fatal(err)
				}
				if ext != ".feather" && ext != ".jsonl.gz" && stop < 8192 && got.Resumed == 0 {
					t.Error("nothing was resumed")
				}
				if readFile(t, whole) != readFile(t, stopped) || readFile(t, RejectPath(whole)) != readFile(t, RejectPath(stopped)) {
					t.Errorf("other bytes after a resume at %d", got.Resumed)
				}
				if got.Written != want.Written || got.Unfit != want.Unfit || got.Rejected != want.Rejected || got.Records != want.Records {
					t.Errorf("got %+v, want %+v", got, want)
				}
				left, _ := filepath.Glob(filepath.Join(dir, "stopped", "*"))
				if len(left) != 2 {
					t.Errorf("left behind: %v", left)
				}
			})
		}
	}
}

// A checkpoint of other inputs or options is not used.
func TestConvertForgetsOtherCheckpoints(t *testing.T) {
	a, b := many(t, 3000), many(t, 3100)
	out := filepath.Join(t.TempDir(), "x.jsonl")
	ctx, cancel := context.WithCancel(context.Background())
	opt := ConvertOptions{Resume: true, Checkpoint: 500, OnProgress: func(p Progress) {
		if p.Records > 2000 {
			cancel()
		}
	}}
	if _, err := Convert(ctx, []string{a}, out, opt); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := os.Stat(CheckpointPath(out)); err != nil {
		t.Fatal(err)
	}
	opt.OnProgress = nil
	rep, err := Convert(context.Background(), []string{b}, out, opt)
	if err != nil || rep.Resumed != 0 || rep.Rows != 3100 {
		t.Errorf("%+v %v", rep, err)
	}
}

func TestManyMembers(t *testing.T) {
	for _, ext := range []string{".jsonl.gz", ".jsonl.zst"} {
		path := filepath.Join(t.TempDir(), "x"+ext)
		w, err := Create(path, WriteOptions{Format: "trl"})
		if err != nil {
			t.Fatal(err)
		}
		const n = 2*memberRows + 3
		for i := 0; i < n; i++ {
			if err := w.Write(Record{Prompt: Text(fmt.Sprint(i))}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		recs, _ := read(t, path, ReadOptions{})
		if len(recs) != n || recs[n-1].Prompt[0].Content != fmt.Sprint(n-1) {
			t.Errorf("%s: %d records of %d", ext, len(recs), n)
		}
	}
}

func TestSourceNames(t *testing.T) {
	got := SourceNames([]string{"/a/helpful/train.jsonl.gz", "/a/harmless/train.jsonl.gz", "b/test.csv"})
	if fmt.Sprint(got) != "[helpful/train.jsonl.gz harmless/train.jsonl.gz test.csv]" {
		t.Error(got)
	}
}

func TestDiscardLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.arrow")
	w, err := Create(path, WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(samples()[0]); err != nil {
		t.Fatal(err)
	}
	if err := w.Discard(); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(samples()[0]); err == nil {
		t.Error("a closed writer takes records")
	}
	if files, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(files) > 0 {
		t.Error(files)
	}
}
