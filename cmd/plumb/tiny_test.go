package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plumb/internal/kernels"
	"plumb/internal/run"
)

// tiny is the command line of the tiny experiment, longer in the stages that tests interrupt.
func tiny(dir string, more ...string) []string {
	return append([]string{"run", "tiny", "--out", dir, "--set", "compute=f32"}, more...)
}

// bytesOf collects what must be equal in two runs: weights, data and metrics without their times. Files that name paths or
// times (configurations of adapters, manifests, logs of events) are left out.
func bytesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		switch {
		case strings.Contains(rel, "checkpoints"):
			return nil // how many are left depends on where a run was cut
		case filepath.Base(rel) == "metrics.jsonl":
			entries, err := run.ReadMetrics(filepath.Dir(p))
			files[rel] = fmt.Sprint(entries)
			return err
		case strings.HasSuffix(rel, ".safetensors"), strings.HasSuffix(rel, ".arrow"), strings.HasSuffix(rel, ".jsonl"),
			filepath.Base(rel) == "report.json":
			b, err := os.ReadFile(p)
			files[rel] = string(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func wantEqualRuns(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	if len(want) < 10 {
		t.Fatalf("only %d files to compare", len(want))
	}
	for name := range want {
		switch g, ok := got[name]; {
		case !ok:
			t.Errorf("%s: no %s", what, name)
		case g != want[name]:
			t.Errorf("%s: %s differs", what, name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d files, want %d", what, len(got), len(want))
	}
}

func TestTinyRepeatsItselfAtAnyThreadCount(t *testing.T) {
	one, two := filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "run")
	kernels.SetThreads(2)
	t.Cleanup(func() { kernels.SetThreads(0) })
	mustPlumb(t, tiny(one)...)
	kernels.SetThreads(1)
	mustPlumb(t, tiny(two)...)
	wantEqualRuns(t, "one thread", bytesOf(t, two), bytesOf(t, one))
	wantMetricsDocumented(t, one, "sft", "reward", "dpo", "ppo")

	// A second call finds everything done; a changed stage runs again, and what depends on it.
	var rep runReport
	if err := json.Unmarshal([]byte(mustPlumb(t, tiny(two, "--set", "dpo.beta=0.3", "--json")...)), &rep); err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, s := range rep.Stages {
		states = append(states, s.Stage+" "+s.State)
	}
	want := "synth skipped, verifier skipped, dedup skipped, sft skipped, reward skipped, dpo done, ppo skipped, compare done"
	if got := strings.Join(states, ", "); got != want {
		t.Errorf("after a change of dpo: %s, want %s", got, want)
	}
	if _, err := os.Stat(filepath.Join(two, "dpo.old-1", "manifest.json")); err != nil {
		t.Errorf("the earlier dpo is lost: %v", err)
	}
	report, err := os.ReadFile(filepath.Join(one, "compare", "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, outside := range []string{"http://", "https://", "src=\"/"} {
		if strings.Contains(strings.ReplaceAll(string(report), "http://www.w3.org", ""), outside) {
			t.Errorf("the report refers to %s: it must open offline", outside)
		}
	}
}

func TestControlsRun(t *testing.T) {
	src := `
name: controls
stages:
  synth: {demonstrations: 32, pairs: 24, held_out: 8, exact_copies: 0, near_copies: 0, shuffle_labels: true}
  sft: {mode: scratch, max_steps: 2, new_model: {hidden: 32, layers: 1, heads: 2, kv_heads: 1, intermediate: 64, max_positions: 256}}
  reward: {max_steps: 2}
  ppo-gold: {kind: ppo, reward: gold, max_steps: 1, batch_size: 4, response_length: 16}
  compare: {max_new_tokens: 16, resamples: 200}
`
	file := put(t, filepath.Join(t.TempDir(), "controls.yaml"), src)
	out := mustPlumb(t, "run", file, "--out", filepath.Join(t.TempDir(), "run"))
	if !strings.Contains(out, "ppo-gold  ppo      done") {
		t.Errorf("got\n%s", out)
	}
}
