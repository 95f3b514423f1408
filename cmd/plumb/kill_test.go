//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"plumb/internal/run"
)

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
	there := func() bool { _, err := os.Stat(file); return err == nil }
	return cutWhen(t, args, there, after, sig)
}

// cutWhen starts the run and sends a signal some time after it was seen in a state; false when the run ended before.
func cutWhen(t *testing.T, args []string, reached func() bool, after time.Duration, sig syscall.Signal) (cut bool, code int) {
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
		if reached() {
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

// longer gives dpo and ppo enough steps to be cut in the middle.
func longer(dir string) []string {
	return tiny(dir, "--set", "dpo.max_steps=40", "--set", "dpo.save_steps=3", "--set", "ppo.max_steps=12", "--set", "ppo.save_steps=1",
		"--set", "ppo.response_length=64", "--set", "ppo.num_ppo_epochs=6")
}

// where says from a stage's files how far it is: the newest checkpoint, the last logged step, the last update of PPO whose samples have
// their scores.
func where(dir string) (saved, logged, scored int) {
	names, _ := filepath.Glob(filepath.Join(dir, "checkpoints", "step-????????"))
	for _, name := range names {
		n, _ := strconv.Atoi(strings.TrimPrefix(filepath.Base(name), "step-"))
		saved = max(saved, n)
	}
	entries, _ := run.ReadMetrics(dir)
	for _, e := range entries {
		logged = max(logged, e.Step)
	}
	b, _ := os.ReadFile(filepath.Join(dir, "rollouts.jsonl"))
	for line := range bytes.Lines(b) {
		var rollout struct {
			Update     int  `json:"update"`
			Evaluation bool `json:"evaluation"`
		}
		if json.Unmarshal(line, &rollout) == nil && !rollout.Evaluation {
			scored = max(scored, rollout.Update)
		}
	}
	return saved, logged, scored
}

// phases are places in which a run is killed; what is left of it shows where it died.
var phases = []struct {
	name, stage string
	at          func(saved, logged, scored int) bool
}{
	{"between two checkpoints of dpo", "dpo", func(saved, logged, _ int) bool { return saved >= 3 && logged > saved }},
	// A checkpoint ends an update of PPO; its record of scores begins the training that the next checkpoint ends.
	{"in the first rollout of ppo", "ppo", func(saved, _, scored int) bool { return saved == 0 && scored == 0 }},
	{"in a rollout of ppo", "ppo", func(saved, _, scored int) bool { return saved >= 1 && scored == saved }},
	{"in the training of ppo", "ppo", func(saved, _, scored int) bool { return saved >= 1 && scored == saved+1 }},
}

// TestKilledRunsEndWithTheSameBytes kills a run with SIGKILL twice in each phase, and holds what it ends with to a run that was left alone.
func TestKilledRunsEndWithTheSameBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the tiny experiment several times")
	}
	whole := filepath.Join(t.TempDir(), "run")
	mustPlumb(t, longer(whole)...)
	want := bytesOf(t, whole)

	dir := filepath.Join(t.TempDir(), "run")
	// Before anything is saved, too.
	cutAt(t, longer(dir), filepath.Join(dir, "sft", "manifest.json"), 0, syscall.SIGKILL)
	for _, p := range phases {
		st := filepath.Join(dir, p.stage)
		died := 0
		for tries := 0; died < 2 && tries < 12; tries++ {
			from, _, _ := where(st)
			reached := func() bool {
				if _, err := os.Stat(filepath.Join(st, "manifest.json")); err != nil {
					return false
				}
				saved, logged, scored := where(st)
				return (saved > from || from == 0) && p.at(saved, logged, scored)
			}
			// A little later each time, so that not always the phase's first moment is hit.
			if cut, _ := cutWhen(t, longer(dir), reached, time.Duration(tries)*2*time.Millisecond, syscall.SIGKILL); !cut {
				break
			}
			if p.at(where(st)) {
				died++
			}
		}
		if died < 2 {
			t.Errorf("killed %d times %s: the test cuts too little", died, p.name)
		}
	}
	for _, stage := range []string{"dpo", "ppo"} {
		if m, err := run.ReadManifest(filepath.Join(dir, stage)); err != nil || m.Resumed == 0 {
			t.Errorf("%s was never taken up again, %v", stage, err)
		}
	}
	mustPlumb(t, longer(dir)...)
	wantEqualRuns(t, "after kills", bytesOf(t, dir), want)
}

// TestProcessesWithOneAndTwoProcessors runs the program itself, as a user would limit it.
func TestProcessesWithOneAndTwoProcessors(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the tiny experiment twice")
	}
	var dirs [2]string
	for i, n := range []string{"1", "2"} {
		t.Setenv("GOMAXPROCS", n)
		dirs[i] = filepath.Join(t.TempDir(), "run")
		cmd, errs := process(t, tiny(dirs[i])...)
		if err := cmd.Wait(); err != nil {
			t.Fatalf("GOMAXPROCS=%s: %v\n%s", n, err, errs)
		}
	}
	wantEqualRuns(t, "GOMAXPROCS 2", bytesOf(t, dirs[1]), bytesOf(t, dirs[0]))
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
