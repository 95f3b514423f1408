package run

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func open(t *testing.T, dir string, m Manifest) *Stage {
	t.Helper()
	s, err := OpenStage(dir, m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func work(config string, inputs ...string) Manifest {
	m := Manifest{Stage: "dpo", Version: "test", Seed: 1, ConfigHash: config, Inputs: map[string]string{}}
	for _, in := range inputs {
		m.Inputs[in] = "hash of " + in
	}
	return m
}

func TestStageIsDoneOnlyForTheSameWork(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "runs", "x", "dpo")
	s := open(t, dir, work("c1", "data"))
	if s.Done() || s.Resumes() {
		t.Fatal("a new stage is done or resumes")
	}
	if m, err := ReadManifest(dir); err != nil || m.Outcome != Running || m.Started.IsZero() || m.Go == "" {
		t.Fatalf("manifest of a running stage: %+v, %v", m, err)
	}
	if err := s.Finish(Done, map[string]any{"margin": 0.5}); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		t.Fatal(err)
	}

	s = open(t, dir, work("c1", "data"))
	if !s.Done() {
		t.Error("the same work is not done")
	}
	if got := s.Manifest().Results["margin"]; got != 0.5 {
		t.Errorf("results of a done stage: %v", got)
	}
	s.Close()
	wantContent(t, filepath.Join(dir, manifestName), string(before))

	for name, m := range map[string]Manifest{
		"config":       work("c2", "data"),
		"inputs":       work("c1", "data", "more"),
		"fewer inputs": work("c1"),
	} {
		s := open(t, dir, m)
		if s.Done() || s.Resumes() {
			t.Errorf("other %s: done %v, resumes %v", name, s.Done(), s.Resumes())
		}
		if s.MovedAside() == "" {
			t.Errorf("other %s: the earlier directory was not moved aside", name)
		}
		if err := s.Finish(Done, nil); err != nil {
			t.Fatal(err)
		}
	}
	wantContent(t, filepath.Join(dir+".old-1", manifestName), string(before))
}

func TestUnfinishedStageResumes(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, work("c", "data"))
	started := s.Manifest().Started
	if err := s.Checkpoints(2).Save(5, func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "x"), []byte("state"), 0o644)
	}); err != nil {
		t.Fatal(err)
	}
	half := []string{filepath.Join(dir, ".tmp-metrics.jsonl-12"), filepath.Join(dir, "adapter", ".tmp-adapter_model.safetensors-3")}
	users := filepath.Join(dir, ".tmp-notes")
	if err := os.Mkdir(filepath.Join(dir, "adapter"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(half, users) {
		if err := os.WriteFile(name, []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.Close() // what the end of a killed process does

	s = open(t, dir, work("c", "data"))
	for _, name := range half {
		if _, err := os.Stat(name); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	if _, err := os.Stat(users); err != nil {
		t.Error(err)
	}
	if !s.Resumes() || s.Done() || s.Manifest().Resumed != 1 || !s.Manifest().Started.Equal(started) {
		t.Fatalf("resumes %v, done %v, manifest %+v", s.Resumes(), s.Done(), s.Manifest())
	}
	if _, step, ok, err := s.Checkpoints(2).Latest(); err != nil || !ok || step != 5 {
		t.Fatalf("latest: step %d, %v, %v", step, ok, err)
	}
	cause := errors.New("stopped")
	if err := s.Fail(Interrupted(cause)); !errors.Is(err, cause) {
		t.Errorf("Fail hides its cause: %v", err)
	}
	if m, err := ReadManifest(dir); err != nil || m.Outcome != Stopped || m.Error != "stopped" || m.Ended.IsZero() {
		t.Errorf("manifest %+v, %v", m, err)
	}
	s = open(t, dir, work("c", "data"))
	if err := s.Fail(cause); !errors.Is(err, cause) {
		t.Error(err)
	}
	if m, err := ReadManifest(dir); err != nil || m.Outcome != Failed {
		t.Errorf("manifest %+v, %v", m, err)
	}
}

func TestStageRefusesWhatIsNotItsOwn(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.txt"), []byte("work of years"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStage(dir, work("c")); err == nil || !strings.Contains(err.Error(), "thesis.txt") {
		t.Errorf("a foreign directory: %v", err)
	}
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, manifestName), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStage(dir, work("c")); err == nil || !strings.Contains(err.Error(), "not a manifest") {
		t.Errorf("a broken manifest: %v", err)
	}
}

func TestStageIsHeldByOne(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, work("c"))
	if _, err := OpenStage(dir, work("c")); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second holder: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir, work("c"))
}
