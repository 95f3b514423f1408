package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDedupUsesTheVerifierOfAStage trains a small cross-encoder for two steps and hands it to the dedup stage behind it.
func TestDedupUsesTheVerifierOfAStage(t *testing.T) {
	src := `
name: verified
seed: 3
compute: f32
stages:
  synth: {demonstrations: 8, pairs: 24, held_out: 8, exact_copies: 4, near_copies: 8}
  verifier: {pairs: 40, eval_pairs: 10, batch_size: 8, max_steps: 2, new_model: {hidden: 48, heads: 2, intermediate: 48}}
  dedup: {verifier: {kind: small, threshold: 0}}
`
	file, dir := put(t, filepath.Join(t.TempDir(), "verified.yaml"), src), filepath.Join(t.TempDir(), "run")
	out := mustPlumb(t, "run", file, "--out", dir)
	if !strings.Contains(out, "verifier=verifier") {
		t.Errorf("the dedup stage does not read the verifier:\n%s", out)
	}
	if _, err := os.Stat(filepath.Join(dir, "dedup", "verifier")); err == nil {
		t.Error("the dedup stage trained a verifier of its own beside that of the stage")
	}
	b, err := os.ReadFile(filepath.Join(dir, "dedup", "ledger.jsonl"))
	if err != nil || !strings.Contains(string(b), `"verifier":0.`) {
		t.Errorf("no row of the ledger has the score of a verifier, %v:\n%s", err, b)
	}
	// By itself the name is nothing that a command could open.
	_, errs, code := plumb(t, "dedup", filepath.Join(dir, "synth", "pairs.arrow"), "--out", filepath.Join(t.TempDir(), "o.arrow"), "--set", "verifier.kind=small")
	if code != 2 || !strings.Contains(errs, "train-verifier") {
		t.Errorf("verifier.kind small without an experiment: code %d, %s", code, errs)
	}
}
