package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"plumb/internal/run"
	"plumb/internal/testpaths"
)

func numerics(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(testpaths.Root(t), "docs", "NUMERICS.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestNumericsNamesWhatExists holds the functions that docs/NUMERICS.md names against the source.
func TestNumericsNamesWhatExists(t *testing.T) {
	known := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^(?:func (?:\(\w* ?\*?(\w+)(?:\[\w+\])?\) )?|type |var )(\w+)`)
	root := testpaths.Root(t)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return err
		}
		b, err := os.ReadFile(p)
		for _, m := range declared.FindAllStringSubmatch(string(b), -1) {
			known[m[2]] = true
			known[m[1]+"."+m[2]] = true
			known[filepath.Base(filepath.Dir(p))+"."+m[2]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:[A-Za-z]+\\.)?[A-Z][A-Za-z]+|[a-z]+\\.[a-zA-Z]+)`")
	seen := 0
	for _, m := range named.FindAllStringSubmatch(numerics(t), -1) {
		name := m[1]
		if strings.HasSuffix(name, ".jsonl") || strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".weight") || strings.HasSuffix(name, ".cache") ||
			strings.HasPrefix(name, "lora.") || name == "Oracle" {
			continue
		}
		if seen++; !known[name] {
			t.Errorf("docs/NUMERICS.md names %s, which is not there", name)
		}
	}
	if seen < 60 {
		t.Errorf("only %d names were seen: the test looks at nothing", seen)
	}
}

// wantMetricsDocumented holds every figure that the stages of a run logged against docs/NUMERICS.md.
func wantMetricsDocumented(t *testing.T, dir string, stages ...string) {
	t.Helper()
	page := numerics(t)
	for _, stage := range stages {
		entries, err := run.ReadMetrics(filepath.Join(dir, stage))
		if err != nil || len(entries) == 0 {
			t.Fatalf("%s: %d entries, %v", stage, len(entries), err)
		}
		for _, e := range entries {
			for name := range e.Fields {
				last := name[strings.LastIndex(name, "/")+1:]
				if !strings.Contains(page, "`"+name+"`") && !strings.Contains(page, "`"+strings.TrimPrefix(name, "eval_")+"`") &&
					!(strings.HasPrefix(name, "eval_objective/") && strings.Contains(page, "`"+last+"`")) {
					t.Errorf("docs/NUMERICS.md does not explain %s of %s", name, stage)
				}
			}
		}
	}
}
