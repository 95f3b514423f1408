package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plumb/datasets"
	"plumb/dedup/plant"
	"plumb/internal/run"
)

// grams are the 5-character shingles of a text in lower case with single spaces: written apart from dedup, which the test judges.
func grams(s string) map[string]bool {
	r := []rune(strings.Join(strings.Fields(strings.ToLower(s)), " "))
	set := map[string]bool{}
	for i := 0; i+5 <= len(r); i++ {
		set[string(r[i:i+5])] = true
	}
	return set
}

func jaccard(a, b map[string]bool) float64 {
	both := 0
	for k := range a {
		if b[k] {
			both++
		}
	}
	return float64(both) / float64(len(a)+len(b)-both)
}

// No prompt has a near-duplicate on the other side, whatever the seed and the order of the records: every pair of prompts across the
// sides is compared.
func TestSplitKeepsNearPromptsTogether(t *testing.T) {
	for seed := uint64(1); seed <= 3; seed++ {
		p := plant.Planter{Rand: run.Rand(seed, "split test"), Half: -1}
		var lines []string
		add := func(row map[string]any) {
			b, err := json.Marshal(row)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, string(b))
		}
		kinds := append(append([]plant.Kind{}, plant.Copies...), plant.LookAlikes...)
		for i := 0; i < 250; i++ {
			text := p.Text(4)
			add(map[string]any{"prompt": text, "chosen": fmt.Sprint("a", i), "rejected": "b"})
			if i%2 == 0 {
				for n := 0; n < 1+i%3; n++ { // chains too: an edit of an edit
					if edited, ok := p.Edit(text, kinds[p.Rand.IntN(len(kinds))]); ok {
						text = edited
					}
					add(map[string]any{"prompt": text, "chosen": fmt.Sprint("c", i, n), "rejected": "d"})
				}
			}
			if i%5 == 0 { // without a prompt: the text itself
				long := p.Text(3)
				add(map[string]any{"text": long})
				add(map[string]any{"text": long + " Indeed."})
			}
		}
		where := map[string]string{}
		for round := 0; round < 2; round++ {
			dir := t.TempDir()
			in := put(t, filepath.Join(dir, "x.jsonl"), strings.Join(lines, "\n")+"\n")
			mustPlumb(t, "data", "split", in, "--out", filepath.Join(dir, "parts"), "--part", "train=0.6", "--part", "test=rest", "--seed", fmt.Sprint(seed))
			sides := map[string][]map[string]bool{}
			total := 0
			for _, part := range []string{"train", "test"} {
				recs, err := datasets.ReadAll([]string{filepath.Join(dir, "parts", part+".arrow")}, datasets.ReadOptions{})
				if err != nil {
					t.Fatal(err)
				}
				total += len(recs)
				for _, r := range recs {
					text := r.Chosen[0].Content
					if len(r.Prompt) > 0 {
						text = r.Prompt[0].Content
					}
					sides[part] = append(sides[part], grams(text))
					if old, ok := where[text]; ok && old != part {
						t.Errorf("seed %d: %q went to %s, and to %s in another order", seed, text, old, part)
					}
					where[text] = part
				}
			}
			if total != len(lines) || len(sides["test"]) < total/5 || len(sides["train"]) < total/3 {
				t.Fatalf("seed %d: %d of %d records, %d of them in test", seed, total, len(lines), len(sides["test"]))
			}
			worst := 0.0
			for _, a := range sides["train"] {
				for _, b := range sides["test"] {
					worst = max(worst, jaccard(a, b))
				}
			}
			if worst >= 0.7 {
				t.Errorf("seed %d: prompts with a Jaccard similarity of %.3f are on both sides", seed, worst)
			}
			t.Logf("seed %d: %d records, the most alike across the sides %.3f", seed, total, worst)
			rand.New(rand.NewPCG(seed, 1)).Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		}
	}
}

// The groups that were found stay as long as the checkpoint of a split that can go on: an input that is away for a while costs neither.
func TestSplitKeepsGroupsWithItsCheckpoint(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"split.checkpoint.near", "split.checkpoint.json"} { // without the second, the first is worth nothing
		near := put(t, filepath.Join(dir, "split.checkpoint.near"), "")
		put(t, filepath.Join(dir, name), "")
		if _, errs, code := plumb(t, "data", "split", filepath.Join(dir, "away.jsonl"), "--out", dir, "--part", "a=0.5", "--part", "b=rest"); code != exitFailed {
			t.Fatalf("code %d: %s", code, errs)
		}
		if _, err := os.Stat(near); (err == nil) != (name == "split.checkpoint.json") {
			t.Errorf("with %s: %v", name, err)
		}
	}
}
