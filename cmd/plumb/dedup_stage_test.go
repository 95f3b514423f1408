package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plumb/datasets/synth"
	"plumb/dedup/qdranttest"
	"plumb/internal/run"
)

// tinyDedup runs the tiny experiment's synth and dedup stages and returns what the latter decided: the ledger with the store's
// name as that of the embedded one, and the pairs kept.
func tinyDedup(t *testing.T, store string, more ...string) (ledger string, kept []byte) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	more = append(more, "--set", "dedup.vectors.store="+store)
	for _, stage := range []string{"synth", "verifier", "dedup"} {
		mustPlumb(t, tiny(dir, append(more, "--only", stage)...)...)
	}
	return decided(t, dir, store)
}

// decided reads what the dedup stage of a run decided.
func decided(t *testing.T, dir, store string) (ledger string, kept []byte) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "dedup", "ledger.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if kept, err = os.ReadFile(filepath.Join(dir, "dedup", "pairs.arrow")); err != nil {
		t.Fatal(err)
	}
	return strings.Replace(string(b), fmt.Sprintf("%q", store), `"embedded"`, 1), kept
}

// finishedQuickstart is the folder of a finished run of configs/quickstart.yaml.
func finishedQuickstart(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("PLUMB_RUN")
	if dir == "" {
		t.Skip("PLUMB_RUN is not set: it names the folder of a finished run of configs/quickstart.yaml")
	}
	return dir
}

// TestQuickstartRemovesThePlantedCopies: of every planted copy and its original one stays, with a row in the ledger for the other, and
// nothing else goes. Of what the vectors proposed the cross-encoder has confirmed the copies and refused other pairs.
func TestQuickstartRemovesThePlantedCopies(t *testing.T) {
	dir := finishedQuickstart(t)
	records, err := readRecords(filepath.Join(dir, "synth", "pairs.arrow"), 0)
	if err != nil {
		t.Fatal(err)
	}
	left, err := readRecords(filepath.Join(dir, "dedup", "pairs.arrow"), 0)
	if err != nil {
		t.Fatal(err)
	}
	stays := map[string]bool{}
	for _, r := range left {
		stays[r.ID] = true
	}
	copyOf, kinds := map[string]string{}, map[string]int{}
	for _, r := range records {
		if of := r.Meta[synth.MetaCopyOf]; of != "" {
			copyOf[r.ID] = of
			kinds[r.Meta[synth.MetaKind]]++
			if stays[r.ID] == stays[of] {
				t.Errorf("%s (%s) and its original: one should stay, stay %v and %v", r.ID, r.Meta[synth.MetaKind], stays[r.ID], stays[of])
			}
		}
	}
	if len(copyOf) < 300 || len(kinds) < 5 {
		t.Errorf("copies planted: %v", kinds)
	}
	if gone := len(records) - len(left); gone != len(copyOf) {
		t.Errorf("%d records removed, %d copies planted", gone, len(copyOf))
	}
	f, err := os.Open(filepath.Join(dir, "dedup", "ledger.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	confirmed, stages := 0, map[string]int{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	lines.Scan() // the header
	for lines.Scan() {
		var row struct {
			Action, Stage string
			Verifier      float64
			Record        struct{ ID string }
			Kept          struct{ ID string }
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		if row.Action != "remove" {
			continue
		}
		stages[row.Stage]++
		if copyOf[row.Record.ID] != row.Kept.ID && copyOf[row.Kept.ID] != row.Record.ID {
			t.Errorf("%s was removed for %s", row.Record.ID, row.Kept.ID)
		}
		if row.Verifier > 0 && row.Verifier < 1 {
			confirmed++
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	for _, stage := range []string{"exact", "normalised", "minhash", "vectors"} {
		if stages[stage] == 0 {
			t.Errorf("no copy was found by %s: %v", stage, stages)
		}
	}
	if confirmed < 20 {
		t.Errorf("the cross-encoder confirmed %d pairs", confirmed)
	}
	m, err := run.ReadManifest(filepath.Join(dir, "dedup"))
	if err != nil {
		t.Fatal(err)
	}
	v, _ := m.Results["vectors"].(map[string]any)
	alike, _ := v["alike"].(float64)
	agreed, _ := v["confirmed"].(float64)
	if agreed < float64(confirmed) || alike < agreed+5 {
		t.Errorf("of %v pairs with like vectors the cross-encoder confirmed %v: it decides too little", alike, agreed)
	}
	t.Logf("%d copies removed: %v; of %v pairs with like vectors the cross-encoder confirmed %v, removing %d", len(copyOf), stages, alike, agreed, confirmed)
}

// TestQuickstartDedupThroughQdrant repeats the quickstart's dedup stage with the vectors in Qdrant, as its double serves them.
func TestQuickstartDedupThroughQdrant(t *testing.T) {
	from := finishedQuickstart(t)
	t.Setenv("QDRANT_API_KEY", "")
	s := qdranttest.Start(t, qdranttest.Options{})
	dir := filepath.Join(t.TempDir(), "run")
	for _, stage := range []string{"synth", "verifier"} {
		if err := os.CopyFS(filepath.Join(dir, stage), os.DirFS(filepath.Join(from, stage))); err != nil {
			t.Fatal(err)
		}
	}
	store := "qdrant://" + s.Addr + "/quickstart"
	out := mustPlumb(t, "run", "quickstart", "--out", dir, "--set", "dedup.vectors.store="+store, "--only", "dedup")
	if s.Calls("Upsert") == 0 || s.Calls("Query")+s.Calls("QueryBatch") == 0 {
		t.Fatalf("the double saw %d upserts and %d queries\n%s", s.Calls("Upsert"), s.Calls("Query")+s.Calls("QueryBatch"), out)
	}
	want, wantKept := decided(t, from, "embedded")
	got, kept := decided(t, dir, store)
	if got != want {
		t.Error("the ledgers differ")
	}
	if !bytes.Equal(kept, wantKept) {
		t.Error("the pairs kept differ")
	}
}

// TestTinyDedupThroughQdrant holds the dedup stage with the vectors in Qdrant, as its double serves them, to the bytes of the
// stage with the embedded store: as the file has it, and with the work of MinHash left to the vectors.
func TestTinyDedupThroughQdrant(t *testing.T) {
	t.Setenv("QDRANT_API_KEY", "")
	for name, more := range map[string][]string{
		"all stages": nil, "vectors alone": {"--set", "dedup.minhash.enabled=false", "--set", "dedup.vectors.threshold=0.6"},
	} {
		t.Run(name, func(t *testing.T) {
			s := qdranttest.Start(t, qdranttest.Options{})
			want, wantKept := tinyDedup(t, "embedded", more...)
			got, kept := tinyDedup(t, "qdrant://"+s.Addr+"/tiny", more...)
			if s.Calls("Upsert") == 0 || s.Calls("Query")+s.Calls("QueryBatch") == 0 {
				t.Fatalf("the double saw %d upserts and %d queries", s.Calls("Upsert"), s.Calls("Query")+s.Calls("QueryBatch"))
			}
			if more != nil && !strings.Contains(want, `"stage":"vectors"`) {
				t.Error("the vectors removed nothing: the test compares little")
			}
			if strings.Count(want, "\n") < 5 {
				t.Errorf("a ledger of %d lines", strings.Count(want, "\n"))
			}
			if got != want {
				t.Errorf("the ledgers differ\nQdrant:\n%s\nembedded:\n%s", got, want)
			}
			if !bytes.Equal(kept, wantKept) {
				t.Error("the pairs kept differ")
			}
		})
	}
}
