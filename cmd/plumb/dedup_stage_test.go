package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plumb/dedup/qdranttest"
)

// tinyDedup runs the tiny experiment's synth and dedup stages and returns what the latter decided: the ledger with the store's
// name as that of the embedded one, and the pairs kept.
func tinyDedup(t *testing.T, store string, more ...string) (ledger string, kept []byte) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	more = append(more, "--set", "dedup.vectors.store="+store)
	mustPlumb(t, tiny(dir, append(more, "--only", "synth")...)...)
	mustPlumb(t, tiny(dir, append(more, "--only", "dedup")...)...)
	b, err := os.ReadFile(filepath.Join(dir, "dedup", "ledger.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if kept, err = os.ReadFile(filepath.Join(dir, "dedup", "pairs.arrow")); err != nil {
		t.Fatal(err)
	}
	return strings.Replace(string(b), fmt.Sprintf("%q", store), `"embedded"`, 1), kept
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
