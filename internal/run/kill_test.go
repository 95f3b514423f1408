//go:build unix

package run

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The tests below run this test binary again as a small "trainer": it sums random numbers, logs every step, and saves a
// checkpoint every third one.
const trainerEnv = "PLUMB_TEST_TRAINER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(trainerEnv); dir != "" {
		if err := trainer(dir, 60); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func trainer(dir string, steps int) error {
	if limit := os.Getenv("PLUMB_TEST_FILE_LIMIT"); limit != "" {
		// A limit on the size of files fails writes in the middle, as a full disk does.
		n, err := strconv.ParseUint(limit, 10, 64)
		if err != nil {
			return err
		}
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			return err
		}
	}
	s, err := OpenStage(dir, Manifest{Stage: "toy", ConfigHash: "c"})
	if err != nil {
		return err
	}
	if s.Done() {
		return s.Close()
	}
	store := s.Checkpoints(2)
	from, sum := 0, uint64(0)
	if at, step, ok, err := store.Latest(); err != nil {
		return s.Fail(err)
	} else if ok {
		b, err := os.ReadFile(filepath.Join(at, "sum"))
		if err != nil {
			return s.Fail(err)
		}
		if _, err := fmt.Sscanf(string(b), "%d", &sum); err != nil {
			return s.Fail(err)
		}
		from = step
	}
	if err := s.Metrics().Truncate(from); err != nil {
		return s.Fail(err)
	}
	for step := from + 1; step <= steps; step++ {
		sum += Rand(7, "toy", uint64(step)).Uint64() >> 32
		if err := s.Metrics().Log(step, map[string]float64{"sum": float64(sum)}); err != nil {
			return s.Fail(err)
		}
		if step%3 == 0 {
			pad := strings.Repeat("x", 20*step) // grows until a limit on file sizes is met
			err := store.Save(step, func(dir string) error {
				return os.WriteFile(filepath.Join(dir, "sum"), fmt.Appendf(nil, "%d %s", sum, pad), 0o644)
			})
			if err != nil {
				return s.Fail(err)
			}
		}
		fmt.Println(step)
	}
	if err := WriteFile(s.Path("result"), func(w io.Writer) error { _, err := fmt.Fprint(w, sum); return err }); err != nil {
		return s.Fail(err)
	}
	return s.Finish(Done, map[string]any{"sum": sum})
}

func startTrainer(t *testing.T, dir string, env ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), trainerEnv+"="+dir), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// outcome is what must not depend on kills: the result, and the metrics without their times.
func outcome(t *testing.T, dir string) string {
	t.Helper()
	if m, err := ReadManifest(dir); err != nil || m.Outcome != Done {
		t.Fatalf("outcome %q, %v", m.Outcome, err)
	}
	entries, err := ReadMetrics(dir)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, dir, "result") + fmt.Sprint(entries)
}

func TestKilledRunEndsLikeAWholeOne(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole")
	if err := runTrainer(t, whole); err != nil {
		t.Fatal(err)
	}
	want := outcome(t, whole)

	dir := filepath.Join(t.TempDir(), "killed")
	for _, lines := range []int{0, 1, 4, 5, 9, 13, 2} {
		cmd, out := startTrainer(t, dir)
		for range lines {
			if !out.Scan() {
				t.Fatal("the trainer ended before it was killed")
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the trainer was not killed")
		}
	}
	if err := runTrainer(t, dir); err != nil {
		t.Fatal(err)
	}
	if got := outcome(t, dir); got != want {
		t.Errorf("after kills\n%s\nwithout\n%s", got, want)
	}
	if m, err := ReadManifest(dir); err != nil || m.Resumed < 1 {
		t.Errorf("resumed %d times, %v", m.Resumed, err)
	}
}

func runTrainer(t *testing.T, dir string, env ...string) error {
	t.Helper()
	cmd, out := startTrainer(t, dir, env...)
	for out.Scan() {
	}
	return cmd.Wait()
}

func TestFullDiskLeavesTheLastCheckpoint(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole")
	if err := runTrainer(t, whole); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "full")
	for _, limit := range []string{"800", "1000", "2000", "2500"} {
		if err := runTrainer(t, dir, "PLUMB_TEST_FILE_LIMIT="+limit); err == nil {
			t.Fatalf("a limit of %s bytes was not met", limit)
		}
		if _, step, ok, err := NewCheckpoints(filepath.Join(dir, "checkpoints"), 2).Latest(); err != nil || !ok || step == 0 {
			t.Fatalf("limit %s: latest %d, %v, %v", limit, step, ok, err)
		}
	}
	if err := runTrainer(t, dir); err != nil {
		t.Fatal(err)
	}
	if got, want := outcome(t, dir), outcome(t, whole); got != want {
		t.Errorf("after a full disk\n%s\nwithout\n%s", got, want)
	}
}
