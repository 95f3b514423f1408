package datasets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
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

// A checkpoint of other inputs or options is not used; one whose input is away stays.
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
	if err := os.Rename(a, a+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := Convert(context.Background(), []string{a}, out, opt); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if _, err := os.Stat(CheckpointPath(out)); err != nil {
		t.Errorf("an input that was away cost the checkpoint: %v", err)
	}
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

// A split that is stopped and started again gives the same bytes, whatever its outputs can go on from: an Arrow stream between two
// batches, gzip between two members, Parquet never.
func TestSplitResumes(t *testing.T) {
	in := []string{many(t, 9000), grow(t, 5000)}
	for _, exts := range [][2]string{{".arrow", ".arrow"}, {".jsonl", ".arrow"}, {".arrow", ".jsonl.gz"}, {".feather", ".jsonl"}} {
		for _, stop := range []int64{4000, 16000} {
			t.Run(fmt.Sprint(exts, stop), func(t *testing.T) {
				split := SplitOptions{Parts: []Part{{Name: "train", Fraction: 0.7}, {Name: "test"}}, Seed: 5}
				opt := ConvertOptions{Resume: true, Checkpoint: 1500}
				run := func(dir string, ctx context.Context, opt ConvertOptions) ([]string, SplitReport, error) {
					outs := []string{filepath.Join(dir, "train"+exts[0]), filepath.Join(dir, "test"+exts[1])}
					rep, err := SplitFiles(ctx, in, outs, opt, split)
					return append(outs, RejectPath(SplitBase(outs))), rep, err
				}
				dir := t.TempDir()
				want, wrep, err := run(filepath.Join(dir, "whole"), context.Background(), opt)
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
				if _, _, err := run(filepath.Join(dir, "stopped"), ctx, o); !errors.Is(err, context.Canceled) {
					t.Fatalf("not stopped: %v", err)
				}
				got, rep, err := run(filepath.Join(dir, "stopped"), context.Background(), opt)
				if err != nil {
					t.Fatal(err)
				}
				for i := range want {
					if readFile(t, want[i]) != readFile(t, got[i]) {
						t.Errorf("%s: other bytes after a resume at %d", filepath.Base(got[i]), rep.Resumed)
					}
				}
				if exts[1] != ".jsonl.gz" && exts[0] != ".feather" && stop > 10_000 && rep.Resumed == 0 {
					t.Error("nothing was resumed")
				}
				rep.Resumed, wrep.Resumed, rep.Rejects, wrep.Rejects = 0, 0, "", ""
				if !reflect.DeepEqual(rep, wrep) {
					t.Errorf("got %+v, want %+v", rep, wrep)
				}
				if left, _ := filepath.Glob(filepath.Join(dir, "stopped", "*")); len(left) != 3 {
					t.Errorf("left behind: %v", left)
				}
			})
		}
	}
}

// grow writes rankings of three, whose rows become three records, with ids.
func grow(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	for i := 0; i < n; i++ {
		fmt.Fprintf(&b, `{"id":"g%d","context":"c %d","responses":[{"text":"a","rank":1},{"text":"b","rank":2},{"text":"c","rank":3}]}`+"\n\n", i, i)
		if i%500 == 3 {
			fmt.Fprintf(&b, `{"id":"g%d","context":"again","responses":[{"text":"a","rank":1},{"text":"b","rank":2}]}`+"\n", i/2)
		}
	}
	return write(t, "grown.jsonl", b.String())
}

// A resumed conversion passes the rows that are done without reading them: their text may have changed, the ids seen there are known.
func TestResumePassesDoneRows(t *testing.T) {
	const n = 6000
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf(`{"id":"i%d","prompt":"p%04d","chosen":"a","rejected":"b"}`, i, i)
	}
	lines[n-1] = strings.Replace(lines[7], "p0007", "again", 1)
	text := strings.Join(lines, "\n") + "\n"
	for _, name := range []string{"x.jsonl", "x.csv", "x.json", "x.jsonl.gz", "x.arrow"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			in, out := filepath.Join(dir, "in", name), filepath.Join(dir, "out.jsonl")
			source := write(t, "x.jsonl", text)
			if _, err := Convert(context.Background(), []string{source}, in, ConvertOptions{Write: WriteOptions{Format: map[bool]string{true: "plumb", false: "trl"}[name == "x.arrow"]}, Read: ReadOptions{DuplicateIDs: "rename"}}); err != nil {
				t.Fatal(err)
			}
			if name == "x.jsonl" { // the renamed id back to what it was
				if err := os.WriteFile(in, []byte(strings.Replace(readFile(t, in), "i7~2", "i7", 1)), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			opt := ConvertOptions{Resume: true, Checkpoint: 1000}
			want, err := Convert(context.Background(), []string{in}, filepath.Join(dir, "whole.jsonl"), opt)
			if err != nil {
				t.Fatal(err)
			}
			if name == "x.jsonl" && want.Rejected != 1 {
				t.Fatalf("%+v", want)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			o := opt
			o.OnProgress = func(p Progress) {
				if p.Records >= 4000 {
					cancel()
				}
			}
			if _, err := Convert(ctx, []string{in}, out, o); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if name == "x.jsonl" {
				info, err := os.Stat(in)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(in, []byte(strings.Replace(readFile(t, in), `"p0100"`, `"p9999"`, 1)), 0o666); err != nil {
					t.Fatal(err)
				}
				if err := os.Chtimes(in, info.ModTime(), info.ModTime()); err != nil {
					t.Fatal(err)
				}
			}
			got, err := Convert(context.Background(), []string{in}, out, opt)
			if err != nil {
				t.Fatal(err)
			}
			if got.Resumed < 3000 || got.Records != n-want.Rejected || got.Rejected != want.Rejected {
				t.Errorf("%+v", got)
			}
			if readFile(t, out) != readFile(t, filepath.Join(dir, "whole.jsonl")) {
				t.Error("other bytes after a resume")
			}
		})
	}
}

func TestLostIsCounted(t *testing.T) {
	in := save(t, "x.arrow", WriteOptions{}, samples())
	rep, err := Convert(context.Background(), []string{in}, filepath.Join(t.TempDir(), "x.jsonl"), ConvertOptions{Write: WriteOptions{Format: "openai"}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{lostMargin: 2, lostScores: 1, lostLabel: 0, lostSplit: 1, lostCopies: 1, lostMeta: 1}
	delete(want, lostLabel)
	if !reflect.DeepEqual(rep.Lost, want) || rep.Unfit != 4 {
		t.Errorf("%+v", rep)
	}
}

// An id that we made of file and row may be one that another file gives.
func TestMadeIDsMeetGivenOnes(t *testing.T) {
	plain := write(t, "a.jsonl", good+"\n"+good+"\n")
	dir := t.TempDir()
	arrow := filepath.Join(dir, "x.arrow")
	if _, err := Convert(context.Background(), []string{plain}, arrow, ConvertOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, ins := range [][]string{{plain, arrow}, {arrow, plain}} {
		recs, err := ReadAll(ins, ReadOptions{DuplicateIDs: "rename"})
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]bool{}
		for _, r := range recs {
			ids[r.ID] = true
		}
		if len(ids) != 4 {
			t.Errorf("ids %v", ids)
		}
	}
	if _, err := ReadAll([]string{plain, arrow}, ReadOptions{}); err == nil || !strings.Contains(err.Error(), `duplicate id "a.jsonl:1", first seen in a.jsonl:1`) {
		t.Errorf("%v", err)
	}
}
