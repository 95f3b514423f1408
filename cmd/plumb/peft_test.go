package main

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"plumb/adapters"
	"plumb/internal/batch"
	"plumb/internal/model"
	"plumb/internal/ops"
	"plumb/internal/testpaths"
	"plumb/reward"
)

// logits returns (T, vocabulary) for one sequence.
func logits(b *model.Bundle, a *adapters.Adapter, seq []int32) []float32 {
	tree := &batch.Tree{}
	tree.Add(-1, seq, 0)
	rows := make([]int, len(seq))
	for i := range rows {
		rows[i] = i
	}
	return b.Model.Logits(b.Model.Forward(nil, tree, a), rows)
}

// TestPEFTLoadsWhatWasTrained trains the tiny experiment with this very program (or takes the run of PLUMB_RUN), loads the adapters
// with PEFT over the model folder with transformers, and compares logits and scores.
func TestPEFTLoadsWhatWasTrained(t *testing.T) {
	python := testpaths.Python(t, "torch", "transformers", "peft")
	dir := os.Getenv("PLUMB_RUN")
	if dir == "" {
		dir = filepath.Join(t.TempDir(), "run")
		// Learning rates at which B is far from zero: an adapter that is not applied must be seen.
		mustPlumb(t, tiny(dir, "--set", "dpo.learning_rate=0.02", "--set", "ppo.learning_rate=0.02", "--set", "reward.learning_rate=0.02")...)
	}
	base, err := newModelCache().Open(filepath.Join(dir, "sft", "model"), "f32", false)
	if err != nil {
		t.Fatal(err)
	}
	var ids [][]int32
	for _, text := range []string{"Hello, please pack 3 red kites for Ann.", "x", "Two blue bowls! Thanks!!"} {
		ids = append(ids, base.Tokenizer.Encode(text, true))
	}
	for _, stage := range []string{"dpo", "ppo"} {
		folder := filepath.Join(dir, stage, "adapter")
		a, err := adapters.Load(folder, base.Model.Linears())
		if err != nil {
			t.Fatal(err)
		}
		peer := withPEFT(t, python, base.Path, folder, ids)
		var moved, worst float64
		for i, seq := range ids {
			ours, bare := logits(base, a, seq), logits(base, nil, seq)
			var rows [][]float64
			if err := json.Unmarshal(peer.Logits[i], &rows); err != nil {
				t.Fatal(err)
			}
			v := base.Model.Config.Vocab
			for r := range rows {
				for k, want := range rows[r] {
					d := math.Abs(float64(ours[r*v+k]) - want)
					if worst = max(worst, d); !(d <= 1e-4) {
						t.Fatalf("%s: text %d, position %d, token %d: logit %v, PEFT has %v", stage, i, r, k, ours[r*v+k], want)
					}
					moved = max(moved, math.Abs(float64(ours[r*v+k]-bare[r*v+k])))
				}
			}
		}
		t.Logf("%s: logits move by up to %.3g from the base and differ from PEFT's by up to %.2g", stage, moved, worst)
		if moved < 1e-2 {
			t.Errorf("%s: the adapter moves no logit by more than %.3g: the test proves nothing", stage, moved)
		}
	}

	folder := filepath.Join(dir, "reward", "adapter")
	m, err := reward.Load(base, folder, rewardMaxLength)
	if err != nil {
		t.Fatal(err)
	}
	peer := withPEFT(t, python, base.Path, folder, ids)
	for i, seq := range ids {
		var want []float64
		if err := json.Unmarshal(peer.Logits[i], &want); err != nil {
			t.Fatal(err)
		}
		tree := &batch.Tree{}
		tree.Add(-1, seq, 0)
		row := ops.Gather(nil, base.Model.Forward(nil, tree, m.Adapter), []int{len(seq) - 1})
		got := ops.F32(ops.Project(nil, row, m.Adapter.Head, nil))[0]
		d := math.Abs(float64(got) - want[0])
		t.Logf("reward: text %d scores %.4f, which differs from PEFT's by %.2g", i, got, d)
		if !(d <= 1e-4) {
			t.Errorf("reward: text %d scores %v, PEFT has %v", i, got, want[0])
		}
	}
}

// TestPEFTReadsEveryOption: adapters with other ranks, scales and targets, a head among them, written here and read by PEFT, give
// the logits that they give here.
func TestPEFTReadsEveryOption(t *testing.T) {
	python := testpaths.Python(t, "torch", "transformers", "peft")
	for _, c := range []struct{ model, adapter string }{
		{"llama", "lora"}, {"llama", "second"}, {"llama", "rslora"}, {"llama", "pattern"}, {"llama", "reward"}, {"gpt2", "lora"}, {"gpt2", "reward"},
	} {
		t.Run(c.model+" "+c.adapter, func(t *testing.T) {
			from := testpaths.Oracle(t, c.model, "model")
			worst := rewritten(t, python, from, testpaths.Oracle(t, c.model, "adapters", c.adapter))
			t.Logf("largest difference from PEFT's %.2g", worst)
			if !(worst <= 1e-4) {
				t.Errorf("differs by %g", worst)
			}
		})
	}
}

// rewritten loads the adapter in dir, writes it again, lets PEFT load what was written, and returns the largest difference of a logit
// or score.
func rewritten(t *testing.T, python, baseDir, dir string) (worst float64) {
	t.Helper()
	base, err := newModelCache().Open(baseDir, "f32", false)
	if err != nil {
		t.Fatal(err)
	}
	a, err := adapters.Load(dir, base.Model.Linears())
	if err != nil {
		t.Fatal(err)
	}
	again := t.TempDir()
	if err := a.Save(again); err != nil {
		t.Fatal(err)
	}
	ids := [][]int32{{5, 6, 7, 200, 9}, {42}, {30, 31, 5, 5, 8, 99, 100, 3, 250}}
	peer := withPEFT(t, python, baseDir, again, ids)
	for i, seq := range ids {
		if a.Head != nil {
			var want []float64
			if err := json.Unmarshal(peer.Logits[i], &want); err != nil {
				t.Fatal(err)
			}
			tree := &batch.Tree{}
			tree.Add(-1, seq, 0)
			row := ops.Gather(nil, base.Model.Forward(nil, tree, a), []int{len(seq) - 1})
			worst = max(worst, math.Abs(float64(ops.F32(ops.Project(nil, row, a.Head, nil))[0])-want[0]))
			continue
		}
		var rows [][]float64
		if err := json.Unmarshal(peer.Logits[i], &rows); err != nil {
			t.Fatal(err)
		}
		got := logits(base, a, seq)
		for r := range rows {
			for k, want := range rows[r] {
				worst = max(worst, math.Abs(float64(got[r*len(rows[r])+k])-want))
			}
		}
	}
	return worst
}

type peerAnswer struct {
	Missing []string          `json:"missing"`
	Unused  []string          `json:"unused"`
	Logits  []json.RawMessage `json:"logits"`
}

func withPEFT(t *testing.T, python, base, adapter string, ids [][]int32) peerAnswer {
	t.Helper()
	list, err := json.Marshal(ids)
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(testpaths.Root(t), "tools", "oracle", "check_adapter.py")
	cmd := exec.Command(python, script, "--model", base, "--adapter", adapter, "--ids", string(list))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("check_adapter.py: %v", err)
	}
	var answer peerAnswer
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(answer.Missing)+len(answer.Unused) > 0 {
		t.Errorf("PEFT misses %v and has no use for %v", answer.Missing, answer.Unused)
	}
	return answer
}
