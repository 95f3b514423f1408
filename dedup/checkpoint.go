package dedup

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"

	"plumb/internal/kernels"
	"plumb/internal/run"
)

// checkpoints are what the finished stages of a run found, a file a stage in one folder, so that a run that was killed goes on behind
// them. A nil *checkpoints keeps nothing.
type checkpoints struct{ dir string }

const (
	checkpointVersion = 2
	runFile           = "run.json" // says whose checkpoints the folder holds
)

// openCheckpoints opens the folder of an earlier run over the same inputs with the same configuration, or empties it.
func openCheckpoints(cfg Config, t *Tools) (*checkpoints, error) {
	if t.Checkpoint == "" {
		return nil, nil
	}
	encoder := cfg.Vectors.Encoder
	if t.Embedder != nil {
		encoder = t.Embedder.Name()
	}
	// Kernels of another level or version compute other bits: what a model said there is not what it says here.
	b, err := json.Marshal(map[string]any{"version": checkpointVersion, "config": cfg, "inputs": t.Inputs, "encoder": encoder,
		"kernels": fmt.Sprint(kernels.Active(), kernels.Version)})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	want := hex.EncodeToString(sum[:])
	c := &checkpoints{t.Checkpoint}
	if err := os.MkdirAll(c.dir, 0o777); err != nil {
		return nil, err
	}
	var has struct {
		Run string `json:"plumb_dedup_run"`
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, err
	}
	if len(entries) > 0 {
		b, err := os.ReadFile(c.path(runFile))
		if err != nil && len(entries) == 1 && strings.HasPrefix(entries[0].Name(), ".") { // killed while that very file was being written
			err = nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: expected the checkpoints of an earlier run, or nothing: %w", c.dir, err)
		}
		if json.Unmarshal(b, &has) != nil {
			has.Run = ""
		}
	}
	for _, e := range entries { // a dot: what a killed run was writing
		if has.Run != want || strings.HasPrefix(e.Name(), ".") {
			if err := os.RemoveAll(c.path(e.Name())); err != nil {
				return nil, err
			}
		}
	}
	if has.Run == want {
		return c, nil
	}
	has.Run = want
	return c, run.WriteJSON(c.path(runFile), has)
}

func (c *checkpoints) path(name string) string { return filepath.Join(c.dir, name) }

// any tells whether a stage was finished.
func (c *checkpoints) any() bool {
	if c == nil {
		return false
	}
	for _, stage := range []string{"leaks", "read"} {
		if _, err := os.Stat(c.path(stage)); err == nil {
			return true
		}
	}
	return false
}

// remove deletes everything.
func (c *checkpoints) remove() error {
	if c == nil {
		return nil
	}
	return os.RemoveAll(c.dir)
}

// save keeps what a stage found, whole or not at all.
func (c *checkpoints) save(stage string, write func(*bufio.Writer) error) error {
	if c == nil {
		return nil
	}
	return run.WriteFile(c.path(stage), func(w io.Writer) error {
		sum := crc32.NewIEEE()
		b := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<20)
		if err := write(b); err != nil {
			return err
		}
		if err := b.Flush(); err != nil {
			return err
		}
		_, err := w.Write(binary.LittleEndian.AppendUint32(nil, sum.Sum32()))
		return err
	})
}

// load calls read with what a stage found in an earlier run and reports whether there was any. A damaged file counts as none.
func (c *checkpoints) load(stage string, read func(*bufio.Reader) error) (bool, error) {
	if c == nil {
		return false, nil
	}
	f, err := os.Open(c.path(stage))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	size := info.Size() - 4
	sum := crc32.NewIEEE()
	var end [4]byte
	if size < 0 {
		return false, nil
	}
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, size)); err != nil {
		return false, err
	}
	if _, err := f.ReadAt(end[:], size); err != nil {
		return false, err
	}
	if binary.LittleEndian.Uint32(end[:]) != sum.Sum32() {
		return false, nil
	}
	if err := read(bufio.NewReaderSize(io.NewSectionReader(f, 0, size), 1<<20)); err != nil {
		return false, fmt.Errorf("%s: %w", c.path(stage), err)
	}
	return true, nil
}

// spool makes a spool whose file lies among the checkpoints, if there are any.
func (c *checkpoints) spool(name, tempDir string) *spool {
	if c == nil {
		return newSpool(tempDir, spoolMemory)
	}
	return &spool{path: c.path(name)}
}

// A saved stage is a line of JSON, then the bytes that it announces.
func writeHead(w *bufio.Writer, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = w.Write(append(b, '\n'))
	}
	return err
}

func readHead(r *bufio.Reader, v any) error {
	b, err := r.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	return err
}
