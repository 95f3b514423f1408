package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plumb/datasets"
	"plumb/internal/model"
	"plumb/internal/run"
	"plumb/internal/testpaths"
	"plumb/ppo"
	"plumb/reward"
)

// otherVocabulary writes a GPT-2-style model with random weights and a tokenizer that shares no id with the goldens':
// the single bytes are numbered backwards behind eight merged pairs.
func otherVocabulary(t *testing.T, dir string) *model.Bundle {
	t.Helper()
	from := testpaths.Oracle(t, "gpt2", "model")
	src, err := os.ReadFile(filepath.Join(from, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	var tok map[string]any
	if err := json.Unmarshal(src, &tok); err != nil {
		t.Fatal(err)
	}
	bpe := tok["model"].(map[string]any)
	pairs := []string{"a b", "i n", "t h", "e r", "o n", "s a", "y y", "a a"}
	vocab, merges := map[string]any{}, []any{}
	for i, p := range pairs {
		vocab[strings.ReplaceAll(p, " ", "")] = i
		merges = append(merges, p)
	}
	for piece, id := range bpe["vocab"].(map[string]any) {
		if id.(float64) < 256 {
			vocab[piece] = len(pairs) + 255 - int(id.(float64))
		}
	}
	bpe["vocab"], bpe["merges"] = vocab, merges
	for i, a := range tok["added_tokens"].([]any) {
		a.(map[string]any)["id"] = len(pairs) + 256 + i
	}
	b, err := json.Marshal(tok)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := model.ParseConfig([]byte(fmt.Sprintf(`{"model_type": "gpt2", "vocab_size": %d, "n_embd": 32, "n_layer": 2, "n_head": 4,
		"n_positions": 128, "initializer_range": 0.5}`, len(pairs)+260)))
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.NewRandom(cfg, 5)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Save(dir, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tokenizer_config.json", "chat_template.jinja"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := model.Open(dir, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// One reward model, trained on a Llama-style base with its own tokenizer, aligns two policies: one of the same family and
// vocabulary, and a GPT-2-style one whose tokens are others. Only text passes between them.
func TestOneRewardTwoFamilies(t *testing.T) {
	llama, err := model.Open(testpaths.Oracle(t, "llama", "model"), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	gpt2 := otherVocabulary(t, t.TempDir())
	if a, b := llama.Tokenizer.Encode("say aab", false), gpt2.Tokenizer.Encode("say aab", false); len(a) == len(b) || a[0] == b[0] {
		t.Fatalf("the vocabularies agree: %v, %v", a, b)
	}
	stage := func(kind string) *run.Stage {
		st, err := run.OpenStage(filepath.Join(t.TempDir(), kind), run.Manifest{Stage: kind})
		if err != nil {
			t.Fatal(err)
		}
		st.SetOutput(t.Output())
		t.Cleanup(func() { st.Close() })
		return st
	}
	// Answers in small letters are preferred to answers in any other bytes, as an untrained policy gives.
	var pairs, prompts []datasets.Record
	rng := run.Rand(1, "pairs")
	for i := range 400 {
		q := fmt.Sprintf("say %c: ", 'a'+i%26)
		good, bad := make([]byte, 3+rng.IntN(8)), make([]byte, 3+rng.IntN(8))
		for k := range good {
			good[k] = byte('a' + rng.IntN(26))
		}
		for k := range bad {
			bad[k] = byte(rng.IntN(256))
		}
		pairs = append(pairs, datasets.Record{Prompt: datasets.Text(q), Chosen: datasets.Text(string(good)), Rejected: datasets.Text(strings.ToValidUTF8(string(bad), "\uFFFD"))})
		prompts = append(prompts, datasets.Record{Prompt: datasets.Text(q)})
	}
	rc := reward.Defaults()
	rc.LearningRate, rc.Epochs, rc.BatchSize, rc.SaveSteps = 3e-3, 2, 8, 0
	trained, err := reward.Train(context.Background(), rc, reward.Inputs{Base: llama, Train: pairs, Eval: pairs[:100]}, stage("reward"))
	if err != nil {
		t.Fatal(err)
	}
	if trained.Eval.Low <= 0.6 {
		t.Fatalf("the reward model learned too little: %+v", trained.Eval)
	}
	for name, base := range map[string]*model.Bundle{"llama": llama, "gpt2": gpt2} {
		cfg := ppo.Defaults()
		cfg.LearningRate, cfg.LRScheduler, cfg.BatchSize, cfg.MaxSteps, cfg.SaveSteps = 2e-3, "constant", 64, 25, 0
		cfg.ResponseLength, cfg.Temperature, cfg.NumMiniBatches, cfg.KLCoef = 8, 1, 2, 0
		st := stage("ppo")
		if _, err := ppo.Train(context.Background(), cfg, ppo.Inputs{Base: base, Reward: forPPO{trained.Model}, Train: prompts}, st); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		rows, err := run.ReadMetrics(st.Dir())
		if err != nil || len(rows) != 25 {
			t.Fatalf("%s: %d rows, %v", name, len(rows), err)
		}
		first := (rows[0].Fields["objective/scores"] + rows[1].Fields["objective/scores"]) / 2
		last := (rows[23].Fields["objective/scores"] + rows[24].Fields["objective/scores"]) / 2
		t.Logf("%s: score %.3f at first, %.3f at the end", name, first, last)
		if !(last > first+1) {
			t.Errorf("%s: score %.3f at first, %.3f at the end", name, first, last)
		}
	}
}
