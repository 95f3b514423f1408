package testpaths

import (
	"os"
	"path/filepath"
	"testing"
)

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRootHoldsGoMod(t *testing.T) {
	if _, err := os.Stat(filepath.Join(Root(t), "go.mod")); err != nil {
		t.Fatal(err)
	}
}

func TestEnvironmentWins(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "hh", "a.jsonl"))
	write(t, filepath.Join(dir, "smollm2", "pkg", "m.gguf"))
	write(t, filepath.Join(dir, "minilm", "pkg", "model", "model.safetensors"))
	t.Setenv(EnvShared, dir)
	t.Setenv(EnvModels, dir)
	if got, want := Shared(t, "hh", "a.jsonl"), filepath.Join(dir, "hh", "a.jsonl"); got != want {
		t.Errorf("Shared = %s, want %s", got, want)
	}
	if got, want := SmolLM2(t), filepath.Join(dir, "smollm2", "pkg", "m.gguf"); got != want {
		t.Errorf("SmolLM2 = %s, want %s", got, want)
	}
	if got, want := MiniLM(t), filepath.Join(dir, "minilm", "pkg", "model"); got != want {
		t.Errorf("MiniLM = %s, want %s", got, want)
	}
}

func TestAbsentSkips(t *testing.T) {
	t.Setenv(EnvModels, "")
	t.Setenv(EnvPython, "")
	t.Setenv(EnvShared, t.TempDir())
	for name, use := range map[string]func(t *testing.T){
		"model":  func(t *testing.T) { SmolLM2(t) },
		"python": func(t *testing.T) { Python(t, "torch") },
		"shared": func(t *testing.T) { Shared(t, "nothing") },
	} {
		var inner *testing.T
		t.Run(name, func(t *testing.T) { inner = t; use(t); t.Error("was not skipped") })
		if !inner.Skipped() {
			t.Errorf("%s: not skipped", name)
		}
	}
}
