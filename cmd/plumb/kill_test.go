//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"plumb/internal/run"
)

// longer gives dpo and ppo enough steps to be cut in the middle.
func longer(dir string) []string {
	return tiny(dir, "--set", "dpo.max_steps=40", "--set", "ppo.max_steps=10", "--set", "dpo.save_steps=3", "--set", "ppo.save_steps=2")
}

func process(t *testing.T, args ...string) (*exec.Cmd, *strings.Builder) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, &errs
}

// cutAt starts the run and sends a signal once the file is there; false when the run ended before.
func cutAt(t *testing.T, args []string, file string, after time.Duration, sig syscall.Signal) (cut bool, code int) {
	t.Helper()
	cmd, errs := process(t, args...)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("the run failed before it was cut: %v\n%s", err, errs)
			}
			return false, 0
		case <-time.After(time.Millisecond):
		}
		if _, err := os.Stat(file); err == nil {
			break
		}
	}
	time.Sleep(after)
	if err := cmd.Process.Signal(sig); err != nil {
		return false, 0 // it ended in the meantime
	}
	<-ended
	return true, cmd.ProcessState.ExitCode()
}

func TestKilledRunsEndWithTheSameBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the tiny experiment several times")
	}
	whole := filepath.Join(t.TempDir(), "run")
	mustPlumb(t, longer(whole)...)
	want := bytesOf(t, whole)

	dir := filepath.Join(t.TempDir(), "run")
	for _, c := range []struct {
		stage, file string
		after       time.Duration
	}{
		{"sft", "checkpoints/step-00000002", 0},
		{"dpo", "metrics.jsonl", 0},
		{"dpo", "checkpoints/step-00000003", 0},
		{"dpo", "checkpoints/step-00000015", 5 * time.Millisecond},
		{"ppo", "manifest.json", 20 * time.Millisecond}, // the first rollout
		{"ppo", "checkpoints/step-00000002", 0},
		{"ppo", "checkpoints/step-00000004", 30 * time.Millisecond}, // a rollout or its training
		{"ppo", "checkpoints/step-00000006", 60 * time.Millisecond},
		{"compare", "manifest.json", 10 * time.Millisecond},
	} {
		cut, _ := cutAt(t, longer(dir), filepath.Join(dir, c.stage, c.file), c.after, syscall.SIGKILL)
		if !cut && c.stage != "compare" {
			t.Logf("%s ended before it could be cut at %s", c.stage, c.file)
		}
	}
	resumed := 0
	for _, stage := range []string{"dpo", "ppo"} {
		m, err := run.ReadManifest(filepath.Join(dir, stage))
		if err != nil {
			t.Fatal(err)
		}
		resumed += m.Resumed
	}
	if resumed < 3 {
		t.Errorf("dpo and ppo were taken up again %d times: the test cuts nothing", resumed)
	}
	mustPlumb(t, longer(dir)...)
	wantEqualRuns(t, "after kills", bytesOf(t, dir), want)
}

func TestInterruptSavesAndResumes(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the tiny experiment twice")
	}
	dir := filepath.Join(t.TempDir(), "run")
	cut, code := cutAt(t, longer(dir), filepath.Join(dir, "ppo", "manifest.json"), 50*time.Millisecond, syscall.SIGINT)
	if !cut {
		t.Skip("the run ended before it could be interrupted")
	}
	if code != exitInterrupted {
		t.Fatalf("exit code %d, want %d", code, exitInterrupted)
	}
	m, err := run.ReadManifest(filepath.Join(dir, "ppo"))
	if err != nil || m.Outcome != run.Stopped {
		t.Errorf("outcome %q, %v; want %q", m.Outcome, err, run.Stopped)
	}
	mustPlumb(t, longer(dir)...)
	whole := filepath.Join(t.TempDir(), "run")
	mustPlumb(t, longer(whole)...)
	wantEqualRuns(t, "after an interrupt", bytesOf(t, dir), bytesOf(t, whole))
}
