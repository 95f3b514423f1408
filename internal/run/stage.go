package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Outcomes of a stage.
const (
	Running = "running" // also what a killed process leaves behind
	Done    = "done"
	Failed  = "failed"
	Stopped = "interrupted"
)

// Manifest says what made a stage directory: it is written when the stage opens and again when it ends.
type Manifest struct {
	Stage      string            `json:"stage"`
	Version    string            `json:"version"`
	Go         string            `json:"go"`
	Kernel     string            `json:"kernel"` // the instruction set: the same bytes are promised for the same one
	Seed       uint64            `json:"seed"`
	ConfigHash string            `json:"config_hash"`
	Inputs     map[string]string `json:"inputs"` // name -> content hash
	Started    time.Time         `json:"started"`
	Training   time.Time         `json:"training,omitzero"` // when the first step of a trainer began, in the last process
	Ended      time.Time         `json:"ended,omitzero"`
	Resumed    int               `json:"resumed"` // how often the stage was taken up again
	Outcome    string            `json:"outcome"`
	Error      string            `json:"error,omitempty"`
	Results    map[string]any    `json:"results,omitempty"`
}

const manifestName = "manifest.json"

// ReadManifest reads the manifest of a stage directory; fs.ErrNotExist when there is none.
func ReadManifest(dir string) (Manifest, error) {
	var m Manifest
	path := filepath.Join(dir, manifestName)
	b, err := os.ReadFile(path)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("%s: not a manifest: %w", path, err)
	}
	return m, nil
}

// Same tells whether two manifests describe the same work: the same configuration on the same inputs.
func (m Manifest) Same(o Manifest) bool {
	return m.Stage == o.Stage && m.ConfigHash == o.ConfigHash && maps.Equal(m.Inputs, o.Inputs)
}

// A Stage is an open stage directory. One process holds it at a time.
type Stage struct {
	dir      string
	manifest Manifest
	done     bool
	resumes  bool
	aside    string
	lock     *os.File
	metrics  *Metrics
	stderr   io.Writer
}

// OpenStage opens or makes the directory of a stage and takes its lock. What it finds decides:
//
//   - nothing: a new stage, its manifest is written with outcome "running";
//   - the same work with outcome "done": Done reports true and nothing is written;
//   - the same work not done: it is taken up again, checkpoints and metrics are kept;
//   - other work (another configuration or other inputs): the old directory is moved to dir.old-N, nothing is lost;
//   - files but no manifest: an error, for the directory is not a stage's.
func OpenStage(dir string, m Manifest) (*Stage, error) {
	s := &Stage{dir: dir, stderr: os.Stderr}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open stage: %w", err)
	}
	if err := s.takeLock(); err != nil {
		return nil, err
	}
	if err := s.begin(m); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Stage) takeLock() error {
	f, err := os.OpenFile(filepath.Join(s.dir, lockName), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("open stage: %w", err)
	}
	held, err := lockFile(f)
	if err != nil {
		f.Close()
		return fmt.Errorf("lock %s: %w", s.dir, err)
	}
	if !held {
		f.Close()
		return fmt.Errorf("%s is in use by another process: wait for it or choose another --out", s.dir)
	}
	s.lock = f
	return nil
}

const lockName = ".lock"

func (s *Stage) begin(m Manifest) error {
	old, err := ReadManifest(s.dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if name, err := strangeFile(s.dir); err != nil {
			return err
		} else if name != "" {
			return fmt.Errorf("%s holds files (%s) but no %s: not a stage directory; choose another --out or empty it", s.dir, name, manifestName)
		}
	case err != nil:
		return err
	case !old.Same(m):
		if err := s.moveAside(); err != nil {
			return err
		}
	case old.Outcome == Done:
		s.manifest, s.done = old, true
		return nil
	default:
		s.resumes = true
		m.Started, m.Resumed = old.Started, old.Resumed+1
	}
	if m.Started.IsZero() {
		m.Started = time.Now().UTC().Truncate(time.Millisecond)
	}
	if m.Go == "" {
		m.Go = runtime.Version()
	}
	if m.Inputs == nil {
		m.Inputs = map[string]string{}
	}
	if err := s.sweep(); err != nil {
		return fmt.Errorf("open stage: %w", err)
	}
	m.Outcome, m.Ended, m.Error, m.Results = Running, time.Time{}, "", nil
	s.manifest = m
	return s.writeManifest()
}

// sweep removes what a killed run left half written in the stage's folder and those in it; checkpoints do so themselves.
func (s *Stage) sweep() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	err = SweepFolder(s.dir)
	for _, e := range entries {
		if e.IsDir() {
			err = errors.Join(err, SweepFolder(s.Path(e.Name())))
		}
	}
	return err
}

// strangeFile names a file that a stage would not have left behind before its manifest, "" when there is none.
func strangeFile(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if e.Name() != lockName && !strings.HasPrefix(e.Name(), tempPrefix) {
			return e.Name(), nil
		}
	}
	return "", nil
}

// moveAside renames the directory and starts an empty one. The lock goes with the old directory and is taken anew.
func (s *Stage) moveAside() error {
	for n := 1; ; n++ {
		to := fmt.Sprintf("%s.old-%d", filepath.Clean(s.dir), n)
		if _, err := os.Lstat(to); err == nil {
			continue
		} else if !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := os.Rename(s.dir, to); err != nil {
			return fmt.Errorf("move the earlier stage aside: %w", err)
		}
		s.aside = to
		break
	}
	s.lock.Close()
	s.lock = nil
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	return s.takeLock()
}

func (s *Stage) writeManifest() error {
	return WriteFile(s.Path(manifestName), func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(s.manifest)
	})
}

// Dir is the stage directory.
func (s *Stage) Dir() string { return s.dir }

// Path joins elements below the stage directory.
func (s *Stage) Path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// Done tells whether an earlier run finished the same work (equal configuration and inputs).
func (s *Stage) Done() bool { return s.done }

// Resumes tells whether an earlier run began the same work and did not finish it.
func (s *Stage) Resumes() bool { return s.resumes }

// MovedAside is where an earlier stage of other work went, "" when there was none.
func (s *Stage) MovedAside() string { return s.aside }

// Manifest is the stage's manifest as of now.
func (s *Stage) Manifest() Manifest { return s.manifest }

// SetOutput sends progress lines to w instead of standard error.
func (s *Stage) SetOutput(w io.Writer) { s.stderr = w }

// Output is where progress lines and notes go.
func (s *Stage) Output() io.Writer { return s.stderr }

// Metrics is the stage's log of numbers, opened at its first use.
func (s *Stage) Metrics() *Metrics {
	if s.metrics == nil {
		s.metrics = newMetrics(s.dir)
	}
	return s.metrics
}

// Checkpoints is the stage's checkpoint store; the newest keep are kept, all when keep is 0. Metrics reach the disk before
// a checkpoint counts, so that a log never misses a step that its checkpoint has.
func (s *Stage) Checkpoints(keep int) *Checkpoints {
	c := NewCheckpoints(s.Path("checkpoints"), keep)
	c.before = func() error { return s.Metrics().Sync() }
	return c
}

// Progress starts a progress display on the stage's output. Total 0 means unknown.
func (s *Stage) Progress(label string, total int) *Progress {
	return NewProgress(s.stderr, label, total)
}

// BeginTraining records that everything is loaded and the first step begins: what comes before is not training time.
func (s *Stage) BeginTraining() error {
	s.manifest.Training = time.Now().UTC().Truncate(time.Millisecond)
	return s.writeManifest()
}

// Finish records how the stage ended and closes it. Results must be JSON values.
func (s *Stage) Finish(outcome string, results map[string]any) error {
	return s.finish(outcome, "", results)
}

// Fail records that the stage ended with an error (outcome "failed", or "interrupted" for code 130) and closes it.
// It returns err, joined with what went wrong while recording it.
func (s *Stage) Fail(err error) error {
	outcome := Failed
	var exit *ExitError
	if errors.As(err, &exit) && exit.Code == CodeInterrupted {
		outcome = Stopped
	}
	if ferr := s.finish(outcome, err.Error(), nil); ferr != nil {
		return errors.Join(err, ferr)
	}
	return err
}

func (s *Stage) finish(outcome, message string, results map[string]any) error {
	s.manifest.Outcome, s.manifest.Error, s.manifest.Results = outcome, message, results
	s.manifest.Ended = time.Now().UTC().Truncate(time.Millisecond)
	var err error
	if s.metrics != nil {
		err = s.metrics.Sync()
	}
	if err == nil {
		err = s.writeManifest()
	}
	if err == nil && outcome == Done {
		s.done = true
	}
	return errors.Join(err, s.Close())
}

// Close releases the directory without recording an outcome. Closing twice is harmless.
func (s *Stage) Close() error {
	var err error
	if s.metrics != nil {
		err = s.metrics.Close()
		s.metrics = nil
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
		s.lock = nil
	}
	return err
}
