package run

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
)

const (
	checkpointPrefix = "step-"
	sumsName         = "SHA256SUMS"
)

// Checkpoints is a folder of checkpoints, step-00000010 and so on. Each is whole or absent, and carries the SHA-256 of its
// files (in the format of sha256sum, which can check them too).
type Checkpoints struct {
	dir     string
	keep    int
	before  func() error
	skipped []error
}

// NewCheckpoints names a folder of checkpoints; Save makes it. The newest keep are kept, all when keep is 0 or less.
func NewCheckpoints(dir string, keep int) *Checkpoints { return &Checkpoints{dir: dir, keep: keep} }

// Keep changes how many of the newest checkpoints are kept.
func (c *Checkpoints) Keep(n int) { c.keep = n }

func checkpointName(step int) string { return fmt.Sprintf("%s%08d", checkpointPrefix, step) }

// Save makes the checkpoint of a step. The function writes its files into the folder it is given; only when all of them are
// on the disk does the folder get its name, and only then are old checkpoints removed. An error leaves what was there before.
func (c *Checkpoints) Save(step int, write func(dir string) error) (err error) {
	if step < 0 {
		return fmt.Errorf("checkpoint: step %d: want 0 or more", step)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("checkpoint of step %d: %w", step, err)
		}
	}()
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	if err := c.sweep(); err != nil {
		return err
	}
	if c.before != nil {
		if err := c.before(); err != nil {
			return err
		}
	}
	tmp, err := os.MkdirTemp(c.dir, tempPrefix+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(tmp)
		}
	}()
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := write(tmp); err != nil {
		return err
	}
	if err := seal(tmp); err != nil {
		return err
	}
	final := filepath.Join(c.dir, checkpointName(step))
	if _, err := os.Lstat(final); err == nil {
		// A resumed run reaches a step again: the old folder is damaged (else it would have been resumed from) or equal.
		if err := c.discard(final); err != nil {
			return err
		}
	}
	if err := os.Rename(tmp, final); err != nil {
		return err
	}
	if err := syncDir(c.dir); err != nil {
		return err
	}
	return c.prune(step)
}

// sweep removes what a killed Save left behind.
func (c *Checkpoints) sweep() error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			if err := os.RemoveAll(filepath.Join(c.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// seal writes the checksums of a checkpoint's files and flushes every file and folder of it.
func seal(dir string) error {
	files, dirs, err := listing(dir)
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, rel := range files {
		path := filepath.Join(dir, rel)
		sum, err := HashFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%s  %s\n", sum, filepath.ToSlash(rel))
		if err := syncFile(path); err != nil {
			return err
		}
	}
	path := filepath.Join(dir, sumsName)
	if err := os.WriteFile(path, []byte(sums.String()), 0o644); err != nil {
		return err
	}
	if err := syncFile(path); err != nil {
		return err
	}
	for _, rel := range slices.Backward(dirs) {
		if err := syncDir(filepath.Join(dir, rel)); err != nil {
			return err
		}
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// listing returns the relative names of a folder's files (without the checksums) and of its folders ("." first), sorted.
func listing(dir string) (files, dirs []string, err error) {
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		if d.IsDir() {
			dirs = append(dirs, rel)
		} else if rel != sumsName {
			files = append(files, rel)
		}
		return nil
	})
	sort.Strings(files)
	return files, dirs, err
}

// prune removes the oldest checkpoints beyond the number to keep, never the one just saved.
func (c *Checkpoints) prune(saved int) error {
	if c.keep <= 0 {
		return nil
	}
	steps, err := c.Steps()
	if err != nil {
		return err
	}
	for n := len(steps); n > c.keep; n-- {
		if step := steps[len(steps)-n]; step != saved {
			if err := c.discard(filepath.Join(c.dir, checkpointName(step))); err != nil {
				return err
			}
		}
	}
	return nil
}

// discard removes a checkpoint so that a kill in the middle leaves it whole or nameless, never in part.
func (c *Checkpoints) discard(path string) error {
	gone, err := os.MkdirTemp(c.dir, tempPrefix+"gone-*")
	if err != nil {
		return err
	}
	if err := os.Rename(path, filepath.Join(gone, "was")); err != nil {
		return errors.Join(err, os.Remove(gone))
	}
	return os.RemoveAll(gone)
}

// Remove deletes the checkpoint of a step, as one that an interruption made and that is no longer needed. None is no error.
func (c *Checkpoints) Remove(step int) error {
	err := c.discard(filepath.Join(c.dir, checkpointName(step)))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("checkpoint of step %d: %w", step, err)
	}
	return nil
}

// Steps lists the steps that have a checkpoint, ascending, without looking inside. No folder is no steps.
func (c *Checkpoints) Steps() ([]int, error) {
	entries, err := os.ReadDir(c.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var steps []int
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), checkpointPrefix)
		if !ok || !e.IsDir() {
			continue
		}
		if n, err := strconv.Atoi(digits); err == nil && checkpointName(n) == e.Name() {
			steps = append(steps, n)
		}
	}
	slices.Sort(steps)
	return steps, nil
}

// Latest finds the newest checkpoint whose files are all there and unchanged. Damaged ones are passed over (Skipped tells
// them); when there are checkpoints and all are damaged that is an error, for starting over is not ours to decide.
func (c *Checkpoints) Latest() (dir string, step int, ok bool, err error) {
	c.skipped = nil
	steps, err := c.Steps()
	if err != nil {
		return "", 0, false, fmt.Errorf("checkpoints: %w", err)
	}
	for _, step := range slices.Backward(steps) {
		dir := filepath.Join(c.dir, checkpointName(step))
		if err := verify(dir); err != nil {
			c.skipped = append(c.skipped, err)
			continue
		}
		return dir, step, true, nil
	}
	if len(c.skipped) > 0 {
		return "", 0, false, fmt.Errorf("checkpoints: none of %d is whole (remove %s to start over): %w",
			len(c.skipped), c.dir, errors.Join(c.skipped...))
	}
	return "", 0, false, nil
}

// Skipped lists the damage of the checkpoints that the last call of Latest passed over.
func (c *Checkpoints) Skipped() []error { return c.skipped }

// verify checks that a checkpoint has exactly the files of its checksums, each with its content.
func verify(dir string) error {
	f, err := os.Open(filepath.Join(dir, sumsName))
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	defer f.Close()
	listed := map[string]bool{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		sum, rel, ok := strings.Cut(lines.Text(), "  ")
		if !ok || !filepath.IsLocal(rel) {
			return fmt.Errorf("%s: %s: line %q is not a checksum", dir, sumsName, lines.Text())
		}
		got, err := HashFile(filepath.Join(dir, filepath.FromSlash(rel)))
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		if got != sum {
			return fmt.Errorf("%s: %s has changed: SHA-256 %s, want %s", dir, rel, got, sum)
		}
		listed[filepath.FromSlash(rel)] = true
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	files, _, err := listing(dir)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	for _, rel := range files {
		if !listed[rel] {
			return fmt.Errorf("%s: %s is not in %s", dir, rel, sumsName)
		}
	}
	return nil
}
