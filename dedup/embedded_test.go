package dedup

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"plumb/internal/run"
)

// blobs are vectors around centres, as texts on a few topics are.
func blobs(n, dim int, seed uint64) [][]float32 {
	r := run.Rand(seed, "test blobs")
	centres := make([][]float32, max(n/50, 1))
	draw := func(r *rand.Rand, around []float32) []float32 {
		v := make([]float32, dim)
		for i := range v {
			v[i] = float32(r.NormFloat64())
			if around != nil {
				v[i] = around[i] + v[i]/2
			}
		}
		return v
	}
	for i := range centres {
		centres[i] = draw(r, nil)
	}
	out := make([][]float32, n)
	for i := range out {
		out[i] = draw(r, centres[r.IntN(len(centres))])
	}
	return out
}

func pointsOf(vectors [][]float32) []Point {
	out := make([]Point, len(vectors))
	for i, v := range vectors {
		out[i] = Point{ID: mix64(uint64(i)), Vector: v, Split: []string{"train", "test"}[i%2], Length: i, Set: "s"}
	}
	return out
}

func openStore(t *testing.T, path string, dim int) *Embedded {
	t.Helper()
	s, err := OpenEmbedded(path, "model", dim)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestScanEqualsBruteForce crosses the edges of blocks and tiles.
func TestScanEqualsBruteForce(t *testing.T) {
	const n, dim, k = 2100, 48, 5
	vectors := blobs(n+130, dim, 1)
	points := pointsOf(vectors[:n])
	s := openStore(t, filepath.Join(t.TempDir(), "v"), dim)
	defer s.Close()
	ctx := context.Background()
	if err := s.Upsert(ctx, points); err != nil {
		t.Fatal(err)
	}
	for _, f := range []Filter{{}, {Splits: []string{"test"}, MinLength: 100, MaxLength: 1500}} {
		got, err := s.Query(ctx, vectors[n:], k, f)
		if err != nil {
			t.Fatal(err)
		}
		for q, v := range vectors[n:] {
			best := topK{k: k}
			for _, p := range points {
				if f.match(p.Split, p.Length, p.Set) {
					best.add(Neighbour{p.ID, float32(Cosine(v, p.Vector))})
				}
			}
			for _, x := range got[q] {
				if !slices.ContainsFunc(best.heap, func(y Neighbour) bool { return x.ID == y.ID && x.Score-y.Score < 1e-6 && y.Score-x.Score < 1e-6 }) {
					t.Fatalf("query %d: %+v is not among %+v", q, x, best.heap)
				}
			}
			if len(got[q]) != k {
				t.Fatalf("query %d: %d neighbours, want %d", q, len(got[q]), k)
			}
		}
	}
}

func TestStoreIsReopenedAndExtended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "v")
	vectors := blobs(600, 32, 2)
	points := pointsOf(vectors)
	ctx := context.Background()
	s := openStore(t, path, 32)
	if err := s.Upsert(ctx, points[:400]); err != nil {
		t.Fatal(err)
	}
	s.UseHNSW(HNSWOptions{})
	if _, err := s.Query(ctx, vectors[:1], 1, Filter{}); err != nil { // builds the graph
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, path, 32)
	if s.graph == nil || len(s.graph.levels) != 400 {
		t.Error("the graph was not stored")
	}
	for _, memory := range []int64{storeMemory, 0} { // from memory, from the file
		s.Close()
		s = openStore(t, path, 32)
		if s.memory = memory; memory == 0 {
			clear(s.held)
		}
		has, err := s.Vectors(ctx, []uint64{points[0].ID, points[400].ID, points[399].ID})
		if err != nil {
			t.Fatal(err)
		}
		for k, want := range [][]float32{vectors[0], nil, vectors[399]} {
			want = slices.Clone(want)
			if unit(want); !slices.Equal(has[k], want) {
				t.Errorf("vector %d, %d bytes of memory: got %v, want %v", k, memory, has[k], want)
			}
		}
	}
	if err := s.Upsert(ctx, points[300:]); err != nil {
		t.Fatal(err)
	}
	if n, _ := s.Count(ctx); n != 600 {
		t.Errorf("%d points, want 600", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, path, 32)
	defer s.Close()
	got, err := s.Query(ctx, [][]float32{vectors[599]}, 1, Filter{})
	if err != nil || got[0][0].ID != points[599].ID {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestStoreRefusesWhatIsNotItsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "v")
	s := openStore(t, path, 32)
	var mismatch *MismatchError
	if err := s.Upsert(context.Background(), []Point{{ID: 1, Vector: make([]float32, 31)}}); !errors.As(err, &mismatch) {
		t.Errorf("a short vector: %v", err)
	}
	if _, err := s.Query(context.Background(), [][]float32{make([]float32, 33)}, 1, Filter{}); !errors.As(err, &mismatch) {
		t.Errorf("a long query: %v", err)
	}
	nan := make([]float32, 32)
	nan[3] = float32(posInf() - posInf())
	if err := s.Upsert(context.Background(), []Point{{ID: 1, Vector: nan}}); err == nil {
		t.Error("a NaN was stored")
	}
	s.Close()
	if _, err := OpenEmbedded(path, "model", 64); !errors.As(err, &mismatch) || mismatch.What != "dimension" {
		t.Errorf("another dimension: %v", err)
	}
	if _, err := OpenEmbedded(path, "other", 32); !errors.As(err, &mismatch) || mismatch.What != "model" {
		t.Errorf("another model: %v", err)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("some text\n", 100)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenEmbedded(text, "model", 32); err == nil || !strings.Contains(err.Error(), "not a vector store") {
		t.Errorf("a text file: %v", err)
	}
}

func posInf() float64 { var zero float64; return 1 / zero }

// TestTornEndIsCutOff ends the file at every length within its last block: what was whole before stays.
func TestTornEndIsCutOff(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "v")
	points := pointsOf(blobs(7, 32, 3))
	s := openStore(t, path, 32)
	ctx := context.Background()
	if err := s.Upsert(ctx, points[:4]); err != nil {
		t.Fatal(err)
	}
	whole := s.end
	if err := s.Upsert(ctx, points[4:]); err != nil {
		t.Fatal(err)
	}
	s.Close()
	full, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := int(whole); n < len(full); n += 5 {
		torn := filepath.Join(dir, "torn")
		if err := os.WriteFile(torn, full[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		s := openStore(t, torn, 32)
		if c, _ := s.Count(ctx); c != 4 {
			t.Fatalf("cut at %d: %d points, want 4", n, c)
		}
		if err := s.Upsert(ctx, points[4:]); err != nil {
			t.Fatal(err)
		}
		s.Close()
		if got, err := os.ReadFile(torn); err != nil || !bytes.Equal(got, full) {
			t.Fatalf("cut at %d: the repaired file differs", n)
		}
	}
	damaged := slices.Clone(full)
	damaged[whole-3] ^= 1 // in the first block, with another behind it
	if err := os.WriteFile(path, damaged, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenEmbedded(path, "model", 32); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged block: %v", err)
	}
}

func FuzzOpenEmbedded(f *testing.F) {
	path := filepath.Join(f.TempDir(), "v")
	s, err := OpenEmbedded(path, "model", 32)
	if err != nil {
		f.Fatal(err)
	}
	if err := s.Upsert(context.Background(), pointsOf(blobs(40, 32, 4))); err != nil {
		f.Fatal(err)
	}
	s.UseHNSW(HNSWOptions{M: 4})
	if _, err := s.Query(context.Background(), blobs(1, 32, 4), 1, Filter{}); err != nil {
		f.Fatal(err)
	}
	s.Close()
	b, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[headerSize:])
	f.Fuzz(func(t *testing.T, tail []byte) {
		path := filepath.Join(t.TempDir(), "v")
		if err := os.WriteFile(path, append(slices.Clone(b[:headerSize]), tail...), 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := OpenEmbedded(path, "model", 32)
		if err != nil {
			return
		}
		defer s.Close()
		if _, err := s.Query(context.Background(), blobs(1, 32, 4), 3, Filter{}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestVectorsBeyondMemoryStayInTheFile gives the store no memory at all.
func TestVectorsBeyondMemoryStayInTheFile(t *testing.T) {
	vectors := blobs(1500, 32, 5)
	ctx := context.Background()
	search := func(memory int64) [][]Neighbour {
		s := openStore(t, filepath.Join(t.TempDir(), "v"), 32)
		defer s.Close()
		s.memory = memory
		if err := s.Upsert(ctx, pointsOf(vectors[:1400])); err != nil {
			t.Fatal(err)
		}
		got, err := s.Query(ctx, vectors[1400:], 4, Filter{})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	want, got := search(1<<30), search(0)
	for i := range want {
		if !slices.Equal(got[i], want[i]) {
			t.Fatalf("query %d: %v, want %v", i, got[i], want[i])
		}
	}
}

func TestHNSWRecallAndDeterminism(t *testing.T) {
	const n, dim = 4000, 64
	vectors := blobs(n+200, dim, 6)
	ctx := context.Background()
	build := func() ([][]Neighbour, [][]Neighbour, []byte) {
		s := openStore(t, filepath.Join(t.TempDir(), "v"), dim)
		defer s.Close()
		if err := s.Upsert(ctx, pointsOf(vectors[:n])); err != nil {
			t.Fatal(err)
		}
		s.UseHNSW(HNSWOptions{EfSearch: 100})
		got, err := s.Query(ctx, vectors[n:], 10, Filter{})
		if err != nil {
			t.Fatal(err)
		}
		want, err := s.Scan(ctx, vectors[n:], 10, Filter{})
		if err != nil {
			t.Fatal(err)
		}
		filtered, err := s.Query(ctx, vectors[n:n+3], 10, Filter{Splits: []string{"test"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, list := range filtered {
			for _, x := range list {
				if i := s.at[x.ID]; s.split[i] != "test" {
					t.Error("the filter let a point of another split through")
				}
			}
		}
		return got, want, s.graph.encode()
	}
	got, want, graph := build()
	recall := Recall(got, want)
	t.Logf("recall@10 %.4f", recall)
	if recall < 0.97 {
		t.Errorf("recall@10 %.4f, want 0.97", recall)
	}
	old := runtime.GOMAXPROCS(1)
	_, _, again := build()
	runtime.GOMAXPROCS(old)
	if !bytes.Equal(graph, again) {
		t.Error("with one thread the graph is another")
	}
}

// TestApproximateRunMeasuresItself runs the whole pipeline through the graph.
func TestApproximateRunMeasuresItself(t *testing.T) {
	in := plantedSet(8, 500)
	cfg := Defaults()
	want, _, _ := runAll(t, cfg, in, Tools{})
	cfg.Vectors.Index = "hnsw"
	got, _, rep := runAll(t, cfg, in, Tools{})
	if rep.Vectors.Recall == nil || *rep.Vectors.Recall < 0.95 {
		t.Errorf("recall %v", rep.Vectors.Recall)
	}
	if !slices.Equal(ids(got), ids(want)) {
		t.Error("the graph's neighbours led to other decisions")
	}
}
