package dedup

import (
	"bytes"
	"context"
	"flag"
	"math"
	"os"
	"testing"

	"plumb/dedup/plant"
	"plumb/internal/run"
)

var update = flag.Bool("update", false, "write the trained weights to aligned.json")

// planted makes labelled pairs. Training pairs draw on one half of the word lists, test pairs on the other, with another
// seed: no replaced word of the test was seen in training.
func planted(seed uint64, half, n int) []plant.Pair {
	p := plant.Planter{Rand: run.Rand(seed, "dedup verifier pairs"), Half: half}
	return p.Pairs(n, nil)
}

func labelled(pairs []plant.Pair) []Labelled {
	out := make([]Labelled, len(pairs))
	for i, p := range pairs {
		out[i] = Labelled{p.A, p.B, p.Same}
	}
	return out
}

func TestAlignedWeightsAreTheTrainedOnes(t *testing.T) {
	const source = "8000 pairs planted with seed 1, first half of the word lists"
	v, err := TrainAligned(labelled(planted(1, 0, 8000)), source)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		var b bytes.Buffer
		if err := v.Save(&b); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("aligned.json", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for i, w := range Aligned().Weights {
		if math.Abs(w-v.Weights[i]) > 2e-6 {
			t.Errorf("weight %d: embedded %v, trained %v: run this test with -update", i, w, v.Weights[i])
		}
	}
}

func TestAlignedTellsLookAlikes(t *testing.T) {
	pairs := planted(2, 1, 4000)
	ask := make([][2]string, len(pairs))
	for i, p := range pairs {
		ask[i] = [2]string{p.A, p.B}
	}
	scores, err := Aligned().Score(context.Background(), ask)
	if err != nil {
		t.Fatal(err)
	}
	right, total := map[plant.Kind]int{}, map[plant.Kind]int{}
	for i, p := range pairs {
		total[p.Kind]++
		if scores[i] >= Defaults().Verifier.Threshold == p.Same {
			right[p.Kind]++
		}
	}
	// Lower bounds a little under what was measured. The default threshold would rather keep a copy than lose a text that
	// says something else: opposite and paraphrase differ by the meaning of one word, which no alignment knows.
	want := map[plant.Kind]float64{plant.Case: 0.94, plant.Markup: 0.93, plant.Typos: 0.86, plant.Truncation: 0.9, plant.Reordering: 0.94,
		plant.Number: 0.99, plant.Name: 0.99, plant.Negation: 0.98, plant.Opposite: 0.85, "other": 0.97, "": 0.99}
	for kind, n := range total {
		share := float64(right[kind]) / float64(n)
		t.Logf("%-10s %4d pairs, %.3f right", kind, n, share)
		if share < want[kind] {
			t.Errorf("%s: %.3f right, want %.3f", kind, share, want[kind])
		}
	}
}
