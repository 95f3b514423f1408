package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"sync"
	"time"
)

const (
	metricsName = "metrics.jsonl"
	// TensorBoard wants "tfevents" in the name; a fixed one lets a resumed stage continue its file.
	eventsName = "events.out.tfevents.0.plumb"
)

// Metrics is a stage's log of numbers: metrics.jsonl, one object a step, and the same for TensorBoard.
// Steps must not descend. All methods may be called from several goroutines.
type Metrics struct {
	mu     sync.Mutex
	dir    string
	now    func() time.Time
	lines  *os.File
	events *os.File
	last   int
}

func newMetrics(dir string) *Metrics { return &Metrics{dir: dir, now: time.Now, last: -1} }

// open opens both files for appending and cuts a last entry that a killed process wrote in part.
func (m *Metrics) open() (err error) {
	if m.lines != nil {
		return nil
	}
	lines, err := os.OpenFile(filepath.Join(m.dir, metricsName), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	events, err := os.OpenFile(filepath.Join(m.dir, eventsName), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		lines.Close()
		return err
	}
	m.lines, m.events = lines, events
	if err := m.cut(math.MaxInt); err != nil {
		return errors.Join(err, m.close())
	}
	return nil
}

// Log writes one entry. Fields appear in sorted order between "step" and "time"; NaN and infinities become null in JSON.
func (m *Metrics) Log(step int, fields map[string]float64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.open(); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if step < m.last {
		return fmt.Errorf("metrics: step %d after step %d: steps must not descend", step, m.last)
	}
	names := make([]string, 0, len(fields))
	for name := range fields {
		if name == "step" || name == "time" {
			return fmt.Errorf("metrics: %q is a reserved name", name)
		}
		names = append(names, name)
	}
	sort.Strings(names)
	now := m.now()

	line := append([]byte(`{"step":`), strconv.Itoa(step)...)
	for _, name := range names {
		key, err := json.Marshal(name)
		if err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
		line = append(append(append(line, ','), key...), ':')
		if v := fields[name]; math.IsNaN(v) || math.IsInf(v, 0) {
			line = append(line, "null"...)
		} else {
			line = strconv.AppendFloat(line, v, 'g', -1, 64)
		}
	}
	line = append(append(line, `,"time":"`...), now.UTC().Format("2006-01-02T15:04:05.000Z")...)
	line = append(line, "\"}\n"...)

	seconds := float64(now.UnixMicro()) / 1e6
	if err := appendWhole(m.events, scalarRecord(seconds, int64(step), names, fields)); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if err := appendWhole(m.lines, line); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	m.last = step
	return nil
}

// appendWhole writes b at the end of f, or takes back the part that was written (a full disk).
func appendWhole(f *os.File, b []byte) error {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := f.Write(b); err != nil {
		return errors.Join(err, f.Truncate(end))
	}
	return nil
}

// Truncate drops every entry after the given step, in both files; a stage that resumes from a checkpoint calls it with the
// checkpoint's step, one that starts anew with -1.
func (m *Metrics) Truncate(step int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.open(); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if err := m.cut(step); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

func (m *Metrics) cut(step int) error {
	b, err := readAll(m.lines)
	if err != nil {
		return err
	}
	keep, last := keepLines(b, step)
	if err := truncate(m.lines, len(b), keep); err != nil {
		return err
	}
	m.last = last
	if b, err = readAll(m.events); err != nil {
		return err
	}
	keep = keepRecords(b, step)
	if err := truncate(m.events, len(b), keep); err != nil {
		return err
	}
	if keep == 0 {
		return appendWhole(m.events, versionRecord(float64(m.now().UnixMicro())/1e6))
	}
	return nil
}

func readAll(f *os.File) ([]byte, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}

func truncate(f *os.File, have, keep int) error {
	if keep == have {
		return nil
	}
	return f.Truncate(int64(keep))
}

// keepLines returns how many bytes of b hold whole entries up to step, and the step of the last of them (-1: none).
func keepLines(b []byte, step int) (keep, last int) {
	last = -1
	for keep < len(b) {
		n := bytes.IndexByte(b[keep:], '\n')
		if n < 0 {
			break
		}
		var entry struct {
			Step *int `json:"step"`
		}
		if json.Unmarshal(b[keep:keep+n], &entry) != nil || entry.Step == nil || *entry.Step > step {
			break
		}
		last = *entry.Step
		keep += n + 1
	}
	return keep, last
}

// Sync flushes both files to the disk.
func (m *Metrics) Sync() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lines == nil {
		return nil
	}
	return errors.Join(m.lines.Sync(), m.events.Sync())
}

// Close closes both files; a later Log opens them again.
func (m *Metrics) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.close()
}

func (m *Metrics) close() error {
	if m.lines == nil {
		return nil
	}
	err := errors.Join(m.lines.Close(), m.events.Close())
	m.lines, m.events = nil, nil
	return err
}

// An Entry is one line of a metrics log. Null values are NaN.
type Entry struct {
	Step   int
	Fields map[string]float64
}

// ReadMetrics reads the metrics of a stage directory, leaving out a last line that is not whole. No file is no entries.
func ReadMetrics(dir string) ([]Entry, error) {
	path := filepath.Join(dir, metricsName)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for n := 1; len(b) > 0; n++ {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		if !whole {
			break
		}
		b = rest
		var raw map[string]json.RawMessage
		if err := json.Unmarshal(line, &raw); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		e := Entry{Fields: map[string]float64{}}
		for name, v := range raw {
			switch name {
			case "time":
			case "step":
				if err := json.Unmarshal(v, &e.Step); err != nil {
					return nil, fmt.Errorf("%s:%d: step: %w", path, n, err)
				}
			default:
				x := math.NaN()
				if string(v) != "null" {
					if err := json.Unmarshal(v, &x); err != nil {
						return nil, fmt.Errorf("%s:%d: %s: %w", path, n, name, err)
					}
				}
				e.Fields[name] = x
			}
		}
		entries = append(entries, e)
	}
	return entries, nil
}
