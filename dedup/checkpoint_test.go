package dedup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plumb/datasets"
	"plumb/dedup/qdranttest"
)

// counted is an encoder that counts what it is given, and stops the run after some texts.
type counted struct {
	Embedder
	texts map[string]int
	n     int
	stop  int // 0: never
	err   error
}

func newCounted(stop int) *counted {
	return &counted{Embedder: NewHashEncoder(256), texts: map[string]int{}, stop: stop, err: errStopped}
}

var errStopped = errors.New("stopped by the test")

func (c *counted) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	if c.stop > 0 && c.n+len(texts) > c.stop {
		return nil, c.err
	}
	for _, s := range texts {
		c.texts[s]++
	}
	c.n += len(texts)
	return c.Embedder.Embed(ctx, texts)
}

// countedSource counts how often the input is read.
type countedSource struct {
	recs   []datasets.Record
	opened int
}

func (s *countedSource) Open() (Reader, error) {
	s.opened++
	return Records(s.recs).Open()
}

// countedVerifier counts pairs and stops the run after some.
type countedVerifier struct {
	Verifier
	n, stop int
}

func (v *countedVerifier) Score(ctx context.Context, pairs [][2]string) ([]float64, error) {
	if v.stop > 0 && v.n+len(pairs) > v.stop {
		return nil, errStopped
	}
	v.n += len(pairs)
	return v.Verifier.Score(ctx, pairs)
}

// stopAt fails the write of record n.
type stopAt struct {
	sink
	n int
}

func (s *stopAt) Write(r datasets.Record) error {
	if s.n--; s.n == 0 {
		return errStopped
	}
	return s.sink.Write(r)
}

func TestVectorsOfAStoreAreNotEmbeddedAgain(t *testing.T) {
	in := plantedSet(11, 600)
	in = append(in, plantedSet(12, 3)...)
	in[len(in)-1].Prompt, in[len(in)-1].Chosen, in[len(in)-1].Rejected = datasets.Text("?"), datasets.Text("!"), datasets.Text("...") // a vector of zeros
	cfg := Defaults()
	cfg.Vectors.Batch, cfg.Verifier.Kind, cfg.MinHash.Enabled = 32, "none", false
	want, wantLedger, whole := runAll(t, cfg, in, Tools{Embedder: newCounted(0)})
	if whole.Vectors.Alike == 0 {
		t.Fatal("the vectors find nothing: the test compares little")
	}
	fieldTexts := newCounted(0) // what a run embeds besides nodes: the fields of pairs that are alike
	runAll(t, cfg, in, Tools{Embedder: fieldTexts})
	fields := fieldTexts.n - whole.Distinct

	server := qdranttest.Start(t, qdranttest.Options{})
	stores := map[string]func(t *testing.T) Store{
		"embedded": func(t *testing.T) Store {
			s, err := OpenEmbedded(filepath.Join(t.TempDir(), "v"), newCounted(0).Name(), 256)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s
		},
		"qdrant": func(t *testing.T) Store { return openDouble(t, server, "again", 256, quick) },
	}
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			store := open(t)
			cut := newCounted(300)
			if _, err := Run(context.Background(), cfg, Records(in), &sink{}, Tools{Embedder: cut, Store: store}); !errors.Is(err, errStopped) {
				t.Fatalf("the run was not stopped: %v", err)
			}
			rest := newCounted(0)
			got, ledger, rep := runAll(t, cfg, in, Tools{Embedder: rest, Store: store})
			if nodes := rest.n - fields; nodes != whole.Distinct-cut.n || rep.Vectors.Reused != cut.n || cut.n < 200 {
				t.Errorf("%d texts were embedded after %d of %d had been, %d reused", nodes, cut.n, whole.Distinct, rep.Vectors.Reused)
			}
			if rep.Vectors.Added != rep.Vectors.Stored-cut.n {
				t.Errorf("%d added to %d, %d stored", rep.Vectors.Added, cut.n, rep.Vectors.Stored)
			}
			if !bytes.Equal(ledger, wantLedger) || len(got) != len(want) {
				t.Errorf("%d records stay, want %d, or the ledgers differ", len(got), len(want))
			}
			none := newCounted(0)
			_, ledger, rep = runAll(t, cfg, in, Tools{Embedder: none, Store: store})
			if zeros := 1; none.n-fields != zeros || rep.Vectors.Added != 0 || !bytes.Equal(ledger, wantLedger) {
				t.Errorf("a third run embeds %d texts, want %d, and adds %d", none.n-fields, zeros, rep.Vectors.Added)
			}
		})
	}
}

// TestStoppedRunsGoOn stops a run in each of its stages, starts it again, and holds what it gives to a run that was left alone. Finished
// stages are not repeated.
func TestStoppedRunsGoOn(t *testing.T) {
	in := plantedSet(13, 900)
	tests := append(plantedSet(14, 40), in[5], in[300])
	cfg := Defaults()
	cfg.Vectors.Batch, cfg.Verifier.Batch = 32, 8
	cfg.MinHash.Threshold, cfg.Vectors.Threshold = 0.9, 0.7 // something is left to the vectors
	type result struct {
		kept   []datasets.Record
		ledger string
		cert   string
		page   string
	}
	opened, verified := 0, 0
	embedded := map[string]int{}
	do := func(dir string, embedStop, verifyStop, writeStop int) (result, Report, error) {
		e, v := newCounted(embedStop), &countedVerifier{Verifier: Aligned(), stop: verifyStop}
		src := &countedSource{recs: in}
		out := stopAt{n: writeStop}
		var ledger, cert, page bytes.Buffer
		rep, err := Run(context.Background(), cfg, src, &out, Tools{Embedder: e, Verifier: v, Against: Records(tests), Checkpoint: dir, Inputs: "these",
			Ledger: &ledger, Certificate: &cert, Page: &page, TempDir: t.TempDir()})
		if tools := (Tools{Checkpoint: dir}); err == nil {
			if dir != "" && !exists(filepath.Join(dir, "decisions")) {
				t.Error("the checkpoints went before the output was in its place")
			}
			if err := tools.Done(); err != nil {
				t.Fatal(err)
			}
		}
		opened, verified, embedded = src.opened, v.n, e.texts
		return result{out.records, ledger.String(), cert.String(), page.String()}, rep, err
	}
	same := func(what string, got, want result) {
		t.Helper()
		a, _ := json.Marshal(got.kept)
		b, _ := json.Marshal(want.kept)
		if !bytes.Equal(a, b) || got.ledger != want.ledger || got.cert != want.cert || got.page != want.page {
			t.Errorf("%s: what is written differs", what)
		}
	}
	want, whole, err := do("", 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if whole.MinHash.Confirmed == 0 || whole.Vectors.Confirmed == 0 || whole.Certificate.TrainLeaked < 2 {
		t.Fatalf("a stage finds nothing: %+v %+v", whole.MinHash, whole.Vectors)
	}
	allVerified := verified

	dir := filepath.Join(t.TempDir(), "checkpoint")
	has := func(names ...string) {
		t.Helper()
		for _, name := range []string{"leaks", "read", "minhash", "vectors", "decisions"} {
			_, err := os.Stat(filepath.Join(dir, name))
			if wanted := strings.Contains(strings.Join(names, " "), name); wanted != (err == nil) {
				t.Fatalf("checkpoint %s: there %v, want %v", name, err == nil, wanted)
			}
		}
	}
	stop := func(e, v, w int) {
		t.Helper()
		if _, _, err := do(dir, e, v, w); !errors.Is(err, errStopped) {
			t.Fatalf("the run was not stopped: %v", err)
		}
	}
	stop(200, 0, 0) // the vectors of the leaks: nothing is done yet
	has()
	leakVerified := 0
	for n := 8; ; n += 8 { // the verifier of MinHash: the leaks and the reading are done
		if stop(0, n, 0); exists(filepath.Join(dir, "read")) {
			leakVerified = n
			break
		}
	}
	has("leaks", "read")
	stop(200, 0, 0) // the vectors, some stored
	has("leaks", "read", "minhash")
	if opened != 0 {
		t.Errorf("the input was read %d times in a run whose reading was done", opened)
	}
	first := embedded
	stop(0, 1<<30, 7) // the writing
	has("leaks", "read", "minhash", "vectors", "decisions")
	nodes := 0
	for text := range first {
		if strings.Count(text, "\n") >= 2 && embedded[text] > 0 { // prompt, chosen and rejected: a node, not a field
			nodes++
		}
	}
	if nodes > 0 || len(first) < 150 {
		t.Errorf("%d of %d texts were embedded again", nodes, len(first))
	}
	got, rep, err := do(dir, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	same("stopped in every stage", got, want)
	if opened != 1 || verified > 0 || len(embedded) > 0 {
		t.Errorf("the last run read the input %d times, verified %d of %d pairs and embedded %d texts", opened, verified, allVerified, len(embedded))
	}
	if rep.MinHash.Candidates != whole.MinHash.Candidates || rep.Vectors.Stored != whole.Vectors.Stored || rep.Kept != whole.Kept {
		t.Errorf("the report %+v, want %+v", rep, whole)
	}
	if exists(dir) {
		t.Error("checkpoints are left behind")
	}

	// Torn and damaged files count as nothing; what a killed run was writing is swept away.
	stop(0, 0, 7)
	if err := os.Remove(filepath.Join(dir, "decisions")); err != nil {
		t.Fatal(err)
	}
	if got, _, err = do(dir, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	same("without its decisions", got, want)
	if opened != 1 || verified >= allVerified-leakVerified || len(embedded) > 40 {
		t.Errorf("a run with its edges read the input %d times, verified %d of %d pairs and embedded %d texts", opened, verified, allVerified, len(embedded))
	}
	stop(0, 0, 7)
	if err := os.Remove(filepath.Join(dir, "decisions")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"minhash", "texts"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b[:len(b)-3], 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, ".tmp-read-1"), []byte("x"), 0o666); err != nil {
		t.Fatal(err)
	}
	if got, _, err = do(dir, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	same("with damaged checkpoints", got, want)

	// Another configuration, or other inputs, make another run.
	stop(0, 0, 7)
	old := cfg
	cfg.MinHash.Threshold = 0.7
	if got, _, err = do(dir, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	other, _, err := do("", 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	same("with another threshold", got, other)
	cfg = old

	// A folder of something else is left alone.
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(dir, "thesis.txt")
	if err := os.WriteFile(mine, []byte("x"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, _, err = do(dir, 0, 0, 0); err == nil || !strings.Contains(err.Error(), "expected the checkpoints of an earlier run") || !exists(mine) {
		t.Errorf("a folder of something else: %v", err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// TestCorpusIsReadBackWhole holds a saved corpus to the one that was saved.
func TestCorpusIsReadBackWhole(t *testing.T) {
	cfg := Defaults()
	cfg.Keep.Protect = []string{"a.*"}
	in := plantedSet(15, 200)
	for i := range in {
		in[i].Split = []string{"train", "test"}[i%2]
		in[i].Copies = i % 3
	}
	k := &checkpoints{t.TempDir()}
	tools := &Tools{}
	a, err := k.read(context.Background(), cfg, Records(in), map[int32]int32{3: 0}, tools)
	if err != nil {
		t.Fatal(err)
	}
	defer a.texts.close()
	b, err := k.read(context.Background(), cfg, nil, map[int32]int32{3: 0}, tools) // no source: it must not read
	if err != nil {
		t.Fatal(err)
	}
	defer b.texts.close()
	for i := range a.entries {
		if a.entries[i] != b.entries[i] || a.ref(int32(i)) != b.ref(int32(i)) {
			t.Fatalf("record %d: %+v, want %+v", i, b.entries[i], a.entries[i])
		}
	}
	for i := range a.nodes {
		x, err := a.text(i)
		y, err2 := b.text(i)
		if a.nodes[i] != b.nodes[i] || x != y || err != nil || err2 != nil {
			t.Fatalf("node %d: %+v, want %+v", i, b.nodes[i], a.nodes[i])
		}
	}
	if len(a.entries) != len(b.entries) || len(a.nodes) != len(b.nodes) || len(a.proposed.pairs) == 0 || len(a.proposed.pairs) != len(b.proposed.pairs) {
		t.Errorf("%d entries, %d nodes, %d pairs", len(b.entries), len(b.nodes), len(b.proposed.pairs))
	}
}
