package dedup

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"testing"

	"plumb/datasets"
	"plumb/dedup/plant"
	"plumb/internal/run"
)

// sink collects what a run keeps.
type sink struct{ records []datasets.Record }

func (s *sink) Write(r datasets.Record) error {
	s.records = append(s.records, r)
	return nil
}

// plantedSet is a set of pairs, some of them copies of an earlier one (Meta["of"], Meta["kind"]).
func plantedSet(seed uint64, n int) []datasets.Record {
	p := plant.Planter{Rand: run.Rand(seed, "dedup test records"), Half: 1}
	var out []datasets.Record
	var originals []int
	kinds := append(append([]plant.Kind{}, plant.Copies...), plant.LookAlikes...)
	for i := range n {
		r := datasets.Record{ID: fmt.Sprintf("r%05d", i), Source: datasets.Provenance{File: "a.jsonl", Row: int64(i + 1)}, Meta: map[string]string{}}
		if i > 20 && i%3 == 0 {
			of := originals[p.Rand.IntN(len(originals))]
			kind := kinds[i/3%len(kinds)]
			r.Prompt, r.Chosen, r.Rejected = out[of].Prompt, out[of].Chosen, out[of].Rejected
			if text, ok := p.Edit(r.Chosen[0].Content, kind); ok {
				r.Chosen = []datasets.Message{{Role: "assistant", Content: text}}
				r.Meta["of"], r.Meta["kind"] = out[of].ID, string(kind)
				out = append(out, r)
				continue
			}
		}
		r.Prompt = []datasets.Message{{Role: "user", Content: p.Text(1 + p.Rand.IntN(2))}}
		r.Chosen = []datasets.Message{{Role: "assistant", Content: p.Text(3 + p.Rand.IntN(6))}}
		r.Rejected = []datasets.Message{{Role: "assistant", Content: p.Text(2 + p.Rand.IntN(4))}}
		originals = append(originals, i)
		out = append(out, r)
	}
	return out
}

func runAll(t *testing.T, cfg Config, in []datasets.Record, tools Tools) ([]datasets.Record, []byte, Report) {
	t.Helper()
	var out sink
	var ledger bytes.Buffer
	tools.Ledger = &ledger
	rep, err := Run(context.Background(), cfg, Records(in), &out, tools)
	if err != nil {
		t.Fatal(err)
	}
	return out.records, ledger.Bytes(), rep
}

func TestRunFindsPlantedCopies(t *testing.T) {
	in := plantedSet(3, 3000)
	out, _, rep := runAll(t, Defaults(), in, Tools{})
	kept := map[string]bool{}
	for _, r := range out {
		kept[r.ID] = true
	}
	removed, total := map[string]int{}, map[string]int{}
	for _, r := range in {
		k := r.Meta["kind"]
		total[k]++
		if !kept[r.ID] {
			removed[k]++
		}
	}
	for _, k := range plant.Copies {
		share := float64(removed[string(k)]) / float64(total[string(k)])
		t.Logf("%-10s %d of %d removed", k, removed[string(k)], total[string(k)])
		want := map[plant.Kind]float64{plant.Exact: 1, plant.Case: 1, plant.Markup: 0.97, plant.Typos: 0.95, plant.Truncation: 0.9, plant.Reordering: 0.9,
			plant.Paraphrase: 0.05}[k] // a cross-encoder's work
		if share < want {
			t.Errorf("%s: %.3f removed, want at least %.2f", k, share, want)
		}
	}
	for _, k := range plant.LookAlikes {
		t.Logf("%-10s %d of %d removed", k, removed[string(k)], total[string(k)])
		if share := float64(removed[string(k)]) / float64(total[string(k)]); share > map[plant.Kind]float64{plant.Opposite: 0.15}[k]+0.03 {
			t.Errorf("look-alike %s: %.3f removed, too many", k, share)
		}
	}
	if removed[""] > 0 {
		t.Errorf("%d of %d originals removed", removed[""], total[""])
	}
	if rep.Kept+rep.Removed != int64(len(in)) || rep.Kept != int64(len(out)) {
		t.Errorf("report %+v does not add up: %d in, %d out", rep, len(in), len(out))
	}
}

func TestSameBytesAtAnyThreadCount(t *testing.T) {
	in := plantedSet(4, 800)
	run := func() []byte {
		out, ledger, rep := runAll(t, Defaults(), in, Tools{})
		rep.Vectors.Store = "" // a temporary file's name
		all, err := json.Marshal([]any{out, string(ledger), rep})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	want := run()
	for _, n := range []int{1, 2, 5} {
		old := runtime.GOMAXPROCS(n)
		got := run()
		runtime.GOMAXPROCS(old)
		if !bytes.Equal(got, want) {
			t.Errorf("with %d threads the output differs", n)
		}
	}
}

func TestUndoRestoresTheInput(t *testing.T) {
	in := plantedSet(5, 600)
	in[7].Copies = 3
	in = append(in, in[7], in[8])
	in[len(in)-2].ID, in[len(in)-1].ID = "again", "and again"
	cfg := Defaults()
	cfg.Preference.MergePrompts = true
	out, ledger, rep := runAll(t, cfg, in, Tools{})
	if rep.Removed == 0 {
		t.Fatal("nothing was removed")
	}
	var back sink
	if err := Undo(context.Background(), &recordReader{recs: out}, bytes.NewReader(ledger), &back); err != nil {
		t.Fatal(err)
	}
	if len(back.records) != len(in) {
		t.Fatalf("%d records restored, want %d", len(back.records), len(in))
	}
	for i := range in {
		if !reflect.DeepEqual(back.records[i], in[i]) {
			t.Fatalf("record %d: got %+v\nwant %+v", i, back.records[i], in[i])
		}
	}
	if err := Undo(context.Background(), &recordReader{recs: out[1:]}, bytes.NewReader(ledger), &sink{}); err == nil {
		t.Error("an output with a record missing was accepted")
	}
	if err := Undo(context.Background(), &recordReader{recs: append(out, out[0])}, bytes.NewReader(ledger), &sink{}); err == nil {
		t.Error("an output with a record too many was accepted")
	}
}
