package run

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func save(t *testing.T, c *Checkpoints, step int) {
	t.Helper()
	err := c.Save(step, func(dir string) error {
		if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "sub", "b"), fmt.Appendf(nil, "b%d", step), 0o644); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, "a"), fmt.Appendf(nil, "a%d", step), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func wantLatest(t *testing.T, c *Checkpoints, want int) {
	t.Helper()
	dir, step, ok, err := c.Latest()
	if err != nil {
		t.Fatal(err)
	}
	if want < 0 {
		if ok {
			t.Fatalf("latest is %d, want none", step)
		}
		return
	}
	if !ok || step != want {
		t.Fatalf("latest is %d (%v), want %d", step, ok, want)
	}
	wantContent(t, filepath.Join(dir, "a"), fmt.Sprint("a", want))
	wantContent(t, filepath.Join(dir, "sub", "b"), fmt.Sprint("b", want))
}

func TestCheckpointsKeepTheNewest(t *testing.T) {
	c := NewCheckpoints(filepath.Join(t.TempDir(), "checkpoints"), 2)
	wantLatest(t, c, -1)
	for _, step := range []int{2, 9, 10, 100} {
		save(t, c, step)
		wantLatest(t, c, step)
	}
	if steps, err := c.Steps(); err != nil || fmt.Sprint(steps) != "[10 100]" {
		t.Errorf("steps %v, %v", steps, err)
	}
	wantNames(t, c.dir, "step-00000010", "step-00000100")
}

func TestFailedSaveChangesNothing(t *testing.T) {
	c := NewCheckpoints(t.TempDir(), 1)
	save(t, c, 1)
	full := errors.New("no space left on device")
	err := c.Save(2, func(dir string) error {
		if err := os.WriteFile(filepath.Join(dir, "a"), []byte("ha"), 0o644); err != nil {
			return err
		}
		return full
	})
	if !errors.Is(err, full) || !strings.Contains(err.Error(), "step 2") {
		t.Errorf("error %v", err)
	}
	wantLatest(t, c, 1)
	wantNames(t, c.dir, "step-00000001")
	if err := c.Save(-1, nil); err == nil {
		t.Error("a negative step was saved")
	}
}

func TestDamageFallsBackToTheLastGood(t *testing.T) {
	damages := map[string]func(dir string) error{
		"changed byte": func(dir string) error { return os.WriteFile(filepath.Join(dir, "a"), []byte("aX"), 0o644) },
		"lost file":    func(dir string) error { return os.Remove(filepath.Join(dir, "sub", "b")) },
		"cut file":     func(dir string) error { return os.Truncate(filepath.Join(dir, "a"), 0) },
		"added file":   func(dir string) error { return os.WriteFile(filepath.Join(dir, "new"), nil, 0o644) },
		"lost sums":    func(dir string) error { return os.Remove(filepath.Join(dir, sumsName)) },
		"cut sums":     func(dir string) error { return os.Truncate(filepath.Join(dir, sumsName), 70) },
		"empty sums":   func(dir string) error { return os.Truncate(filepath.Join(dir, sumsName), 0) },
		"outside": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, sumsName), []byte(strings.Repeat("0", 64)+"  ../../x\n"), 0o644)
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			c := NewCheckpoints(t.TempDir(), 0)
			save(t, c, 1)
			save(t, c, 2)
			if err := damage(filepath.Join(c.dir, checkpointName(2))); err != nil {
				t.Fatal(err)
			}
			wantLatest(t, c, 1)
			if len(c.Skipped()) != 1 {
				t.Errorf("skipped %v", c.Skipped())
			}
			save(t, c, 2) // the resumed run comes to the damaged step again
			wantLatest(t, c, 2)

			if err := damage(filepath.Join(c.dir, checkpointName(1))); err != nil {
				t.Fatal(err)
			}
			if err := damage(filepath.Join(c.dir, checkpointName(2))); err != nil {
				t.Fatal(err)
			}
			if _, _, ok, err := c.Latest(); ok || err == nil {
				t.Errorf("every checkpoint is damaged: ok %v, error %v", ok, err)
			}
		})
	}
}
