package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTrainersStandAlone goes the whole way by single commands, without an experiment: a model from scratch, a reward model on it, DPO
// and PPO by it, and what is done with them afterwards. Configurations come from `plumb config defaults`.
func TestTrainersStandAlone(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	var pairs strings.Builder
	for i := range 24 {
		fmt.Fprintf(&pairs, `{"prompt": "say %[1]c: ", "chosen": "%[1]c %[1]c", "rejected": "no %[2]d"}`+"\n", 'a'+i%26, i)
	}
	data := put(t, at("pairs.jsonl"), pairs.String())
	train := func(kind string, sets ...string) {
		t.Helper()
		config := put(t, at(kind+".yaml"), mustPlumb(t, "config", "defaults", kind))
		args := []string{kind, config, "--out", at(kind), "--max-steps", "2", "--set", "data=" + data, "--set", "compute=f32", "--set", "batch_size=4"}
		for _, s := range sets {
			args = append(args, "--set", s)
		}
		if out := mustPlumb(t, args...); !strings.Contains(out, at(kind)) {
			t.Errorf("plumb %s does not say what it made: %q", kind, out)
		}
	}
	train("sft", "mode=scratch", "new_model={hidden: 32, layers: 2, heads: 4, kv_heads: 2, intermediate: 48, max_positions: 128}")
	base := filepath.Join(at("sft"), "model")
	// Rates at which two steps move an adapter far enough to be seen.
	train("reward", "model="+base, "learning_rate=0.05")
	train("dpo", "model="+base, "learning_rate=0.05")
	train("ppo", "model="+base, "reward="+at("reward"), "response_length=8", "learning_rate=0.05")

	var measured struct {
		Accuracy float64
		Pairs    int
	}
	out, errs, code := plumb(t, "reward", "eval", "--model", at("reward"), "--data", data, "--json")
	if err := json.Unmarshal([]byte(out), &measured); err != nil || code != 0 || measured.Pairs != 24 || measured.Accuracy <= 0 {
		t.Errorf("reward eval: exit code %d, %+v, %v\n%s%s", code, measured, err, out, errs)
	}
	if out := mustPlumb(t, "reward", "score", "--model", at("reward"), "--data", data, "--limit", "3"); strings.Count(out, "\n") < 3 {
		t.Errorf("reward score: %s", out)
	}

	report := at("report.html")
	mustPlumb(t, "compare", at("dpo"), at("ppo"), "--data", data, "--reward", at("reward"), "--out", report,
		"--set", "max_new_tokens=8", "--set", "prompts=6", "--set", "resamples=100")
	page, err := os.ReadFile(report)
	if err != nil || !strings.Contains(string(page), "<svg") {
		t.Errorf("compare: a page of %d bytes, %v", len(page), err)
	}

	// Merged weights answer as base and adapter do, and unlike the base.
	mustPlumb(t, "adapter", "merge", at("dpo"), "--out", at("merged"))
	answer := func(args ...string) string {
		return mustPlumb(t, append(args, "--prompt", "say q: ", "--temperature", "0", "--max-new", "16", "--no-stop", "--compute", "f32")...)
	}
	with, merged := answer("generate", "--model", base, "--adapter", at("dpo")), answer("generate", "--model", at("merged"))
	last := func(s string) string { return s[strings.LastIndex(strings.TrimSpace(s), "\n")+1:] }
	if last(with) != last(merged) {
		t.Errorf("with the adapter %q, merged %q", with, merged)
	}
	if bare := answer("generate", "--model", base); last(bare) == last(merged) {
		t.Errorf("the adapter changes no token of %q: the comparison shows nothing", bare)
	}
	if out := mustPlumb(t, "adapter", "inspect", at("reward")); !strings.Contains(out, "score head  true") {
		t.Errorf("adapter inspect: %s", out)
	}
}
