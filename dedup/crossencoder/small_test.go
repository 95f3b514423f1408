package crossencoder

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plumb/dedup"
	"plumb/dedup/plant"
	"plumb/internal/kernels"
	"plumb/internal/model"
	"plumb/internal/run"
)

func TestViewShowsWhereTextsDiffer(t *testing.T) {
	for _, c := range []struct{ a, b, wantA, wantB string }{
		{"one two three four five", "one two 3 four five", "one two three four five", "one two 3 four five"},
		{"a b c d e f g", "a b c d e f X", "e f g", "e f X"},
		{"X b c d e f g", "a b c d e f g", "X b c", "a b c"},
		{"a b X c d e f g h Y i", "a b c d e f g h i", "a b X c d\ng h Y i", "a b c d\ng h i"},
		{"a b c d e", "a b c", "b c d e", "b c"},
		{"a b c X d e Y f g h", "a b c d e f g h", "b c X d e Y f g", "b c d e f g"},
		{"", "new", "", "new"},
		{"a b c d", "c d a b", "\x02a \x02b c d", "c d \x02a \x02b"},
		{"a b X c", "X a b Y", "a b \x02X c", "\x02X a b Y"},
		{"a a b", "b a", "\x02a a b", "b \x02a"},
	} {
		a, b, ok := view(c.a, c.b)
		if !ok || a != c.wantA || b != c.wantB {
			t.Errorf("%q and %q: shown %q and %q, %v, want %q and %q", c.a, c.b, a, b, ok, c.wantA, c.wantB)
		}
	}
	for _, p := range [][2]string{{"The Same  text", "the same\ntext "}, {"", " "}} {
		if a, b, ok := view(p[0], p[1]); ok {
			t.Errorf("%q and %q: shown %q and %q, though only case and spacing differ", p[0], p[1], a, b)
		}
	}
	// Longer than one table of the alignment.
	long := strings.Repeat("again and on ", 700)
	if a, b, ok := view(long+"end 7 here", long+"end 8 here"); !ok || len(a) > 60 || !strings.HasSuffix(a, "end 7 here") || !strings.HasSuffix(b, "end 8 here") {
		t.Errorf("of long texts %q and %q are shown", a, b)
	}
}

func shortPairs(seed uint64, half, n int) []dedup.Labelled {
	p := plant.Planter{Rand: run.Rand(seed, "dedup verifier pairs"), Half: half, Sentences: 1}
	var out []dedup.Labelled
	for _, x := range p.Pairs(n, nil) {
		out = append(out, dedup.Labelled{A: x.A, B: x.B, Same: x.Same})
	}
	return out
}

// TestSmallIsReadBack trains a few steps twice, on one thread and on two: the same bytes, which score like what was trained.
func TestSmallIsReadBack(t *testing.T) {
	cfg := SmallDefaults()
	cfg.Small = SmallModel{Hidden: 48, Layers: 3, Heads: 2, Intermediate: 48, MaxPositions: 256}
	cfg.BatchSize, cfg.MaxSteps, cfg.LoggingSteps = 8, 3, 1
	ctx := context.Background()
	held := shortPairs(2, 1, 20)
	var made [2][]byte
	for i := range made {
		kernels.SetThreads(i + 1)
		t.Cleanup(func() { kernels.SetThreads(0) })
		st, err := run.OpenStage(t.TempDir()+"/s", run.Manifest{Stage: "verifier", Started: time.Unix(0, 0)})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		res, err := TrainSmall(ctx, cfg, shortPairs(1, 0, 60), held, st)
		if err != nil {
			t.Fatal(err)
		}
		if made[i], err = os.ReadFile(filepath.Join(res.Folder, "model.safetensors")); err != nil {
			t.Fatal(err)
		}
		e, err := model.OpenEncoder(res.Folder, model.Options{})
		if err != nil {
			t.Fatal(err)
		}
		v, err := Open(e, "")
		if err != nil {
			t.Fatal(err)
		}
		again, err := v.Measure(ctx, held)
		if err != nil || again.Pairs != 20 || again.Loss < res.Eval.Loss-1e-5 || again.Loss > res.Eval.Loss+1e-5 {
			t.Errorf("read back: %+v, %v, want %+v", again, err, *res.Eval)
		}
		far := strings.Repeat("x", 300)
		s, err := v.Score(ctx, [][2]string{{"Equal  but for case", "equal but for CASE"}, {far, "y" + far}})
		if err != nil || s[0] < 0.999 || s[1] > 0.001 {
			t.Errorf("equal texts and texts too long to read score %v, %v", s, err)
		}
	}
	if !bytes.Equal(made[0], made[1]) {
		t.Error("two threads made other weights than one")
	}
	cfg.Small.Heads = 7
	if _, err := TrainSmall(ctx, cfg, shortPairs(1, 0, 4), nil, nil); err == nil {
		t.Error("48 numbers were dealt to seven heads")
	}
}
