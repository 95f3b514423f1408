package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
)

const module = "plumb"

// allowed says what of the project each package may import, by paths below the module. "a/..." covers a and all below it.
// A package that is not listed may import nothing and be imported by nobody: list it first.
var allowed = map[string][]string{
	// The leaves. run may be imported by all and so imports nothing.
	"internal/run":             {},
	"internal/kernels":         {},
	"internal/batch":           {},
	"internal/tokenizer":       {"internal/tokenizer/..."},
	"internal/tokenizer/jinja": {},
	"configs":                  {},
	"datasets":                 {},
	"datasets/parquet":         {"datasets"},
	// The known reward sees strings only; what draws data from it knows records.
	"datasets/synth/gold": {},
	"datasets/synth":      {"datasets", "datasets/synth/gold", "internal/run"},

	// The engine, each layer on those before it.
	"internal/weights": {"internal/kernels", "internal/run"},
	"internal/hub":     {"internal/run"},
	"internal/ops":     {"internal/kernels", "internal/batch", "internal/run"},
	"adapters":         {"internal/weights", "internal/ops", "internal/kernels", "internal/run"},
	"internal/model": {"adapters", "internal/ops", "internal/kernels", "internal/weights", "internal/batch", "internal/tokenizer",
		"internal/run"},
	"internal/encode": {"datasets", "internal/tokenizer", "internal/batch", "internal/run"},
	"internal/train":  {"internal/kernels", "internal/batch", "internal/weights", "internal/ops", "adapters", "internal/run"},

	// Trainers know the engine and the records, never each other: an interface declared by its user joins them.
	"sft":                trainer,
	"reward":             trainer,
	"dpo":                trainer,
	"ppo":                trainer,
	"dedup":              {"datasets", "adapters", "internal/..."},
	"dedup/plant":        {},
	"dedup/crossencoder": {"dedup", "datasets", "adapters", "internal/..."},
	"dedup/qdranttest":   {"dedup/..."},
	"clean":              {"datasets", "adapters", "dedup", "internal/..."},

	"compare":   {"datasets", "datasets/synth/gold", "adapters", "internal/..."},
	"cmd/plumb": {"..."},

	"internal/rules":      {},
	"internal/testpaths":  {},
	"internal/oracletest": {"adapters", "internal/model", "internal/ops", "internal/run", "internal/weights"},
	"bench":               {"..."},
	"bench/...":           {"..."},
}

var trainer = []string{"datasets", "adapters", "internal/..."}

// onlyTests are packages that nothing but tests may import.
var onlyTests = []string{"internal/testpaths", "internal/oracletest", "dedup/qdranttest"}

// outside names modules that only some files may import, relative to the module's root.
var outside = map[string][]string{
	"github.com/qdrant/go-client": {"dedup/qdrant.go", "dedup/qdranttest/"},
	"github.com/urfave/cli":       {"cmd/plumb/"},
}

// goldUsers are who may call the known reward: what makes data from it, what reports it, and the one control. Nothing that
// trains, tunes or chooses a checkpoint.
var goldUsers = []string{"datasets/synth/", "compare/", "cmd/plumb/gold.go"}

type pkg struct {
	ImportPath   string
	Dir          string
	GoFiles      []string
	IgnoredGo    []string `json:"IgnoredGoFiles"`
	TestGoFiles  []string
	XTestGoFiles []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func list(t *testing.T) (root string, packages []pkg) {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatalf("go list -m: %v", err)
	}
	root = strings.TrimSpace(string(out))
	cmd := exec.Command("go", "list", "-e", "-json", "./...")
	cmd.Dir = root
	if out, err = cmd.Output(); err != nil {
		t.Fatalf("go list: %v", err)
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if len(packages) < 10 {
		t.Fatalf("go list found %d packages: the test looks at nothing", len(packages))
	}
	return root, packages
}

// local is an import path below the module, "" for any other.
func local(path string) string {
	if rest, ok := strings.CutPrefix(path, module+"/"); ok {
		return rest
	}
	return ""
}

func matches(patterns []string, path string) bool {
	for _, p := range patterns {
		if p == "..." || p == path {
			return true
		}
		if base, ok := strings.CutSuffix(p, "/..."); ok && (path == base || strings.HasPrefix(path, base+"/")) {
			return true
		}
	}
	return false
}

// rule finds the entry of a package: its own, or the nearest "above/...".
func rule(path string) ([]string, bool) {
	if r, ok := allowed[path]; ok {
		return r, true
	}
	for above := path; above != "."; above = filepath.Dir(above) {
		if r, ok := allowed[above+"/..."]; ok {
			return r, true
		}
	}
	return nil, false
}

// forbidden returns a sentence for each edge that the table does not have.
func forbidden(packages []pkg) []string {
	var bad []string
	for _, p := range packages {
		from := local(p.ImportPath)
		if from == "" {
			continue
		}
		may, ok := rule(from)
		if !ok {
			bad = append(bad, fmt.Sprintf("%s is not in the table", from))
			continue
		}
		for _, imp := range p.Imports {
			to := local(imp)
			if to == "" {
				continue
			}
			if !matches(may, to) {
				bad = append(bad, fmt.Sprintf("%s imports %s", from, to))
			}
			if slices.Contains(onlyTests, to) {
				bad = append(bad, fmt.Sprintf("%s imports %s, which is for tests", from, to))
			}
		}
		// Tests may use more, but a trainer's test must not reach another trainer through the back door.
		for _, imp := range slices.Concat(p.TestImports, p.XTestImports) {
			if to := local(imp); to != "" && slices.Contains(trainers, from) && slices.Contains(trainers, to) && to != from {
				bad = append(bad, fmt.Sprintf("a test of %s imports %s", from, to))
			}
		}
	}
	return bad
}

var trainers = []string{"sft", "reward", "dpo", "ppo"}

func TestImportsPointOneWay(t *testing.T) {
	_, packages := list(t)
	for _, s := range forbidden(packages) {
		t.Error(s)
	}
}

// TestTableIsOneWay checks the table itself: no package may come to import itself through others.
func TestTableIsOneWay(t *testing.T) {
	var visit func(path []string)
	visit = func(path []string) {
		last := path[len(path)-1]
		for to := range allowed {
			if strings.HasSuffix(to, "/...") || to == last || !matches(allowed[last], to) {
				continue
			}
			if slices.Contains(path, to) {
				t.Errorf("a circle: %s -> %s", strings.Join(path, " -> "), to)
				continue
			}
			visit(append(path[:len(path):len(path)], to))
		}
	}
	var names []string
	for p := range allowed {
		if p != "cmd/plumb" && !strings.HasPrefix(p, "bench") {
			names = append(names, p)
		}
	}
	sort.Strings(names)
	for _, p := range names {
		visit([]string{p})
	}
}

// importsOf lists the files of the module that import a path or anything below it.
func importsOf(t *testing.T, root string, packages []pkg, path string, tests bool) []string {
	t.Helper()
	var found []string
	for _, p := range packages {
		files := slices.Concat(p.GoFiles, p.IgnoredGo)
		if tests {
			files = slices.Concat(files, p.TestGoFiles, p.XTestGoFiles)
		}
		for _, name := range files {
			imports, err := fileImports(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			for _, imp := range imports {
				if imp == path || strings.HasPrefix(imp, path+"/") {
					rel, err := filepath.Rel(root, filepath.Join(p.Dir, name))
					if err != nil {
						t.Fatal(err)
					}
					found = append(found, filepath.ToSlash(rel))
				}
			}
		}
	}
	return found
}

func within(file string, places []string) bool {
	for _, p := range places {
		if file == p || strings.HasSuffix(p, "/") && strings.HasPrefix(file, p) {
			return true
		}
	}
	return false
}

func TestSomeModulesHaveOneDoor(t *testing.T) {
	root, packages := list(t)
	for path, doors := range outside {
		for _, file := range importsOf(t, root, packages, path, false) {
			if !within(file, doors) {
				t.Errorf("%s imports %s: only %s may", file, path, strings.Join(doors, ", "))
			}
		}
	}
}

func TestGoldIsNotForTraining(t *testing.T) {
	root, packages := list(t)
	users := importsOf(t, root, packages, module+"/datasets/synth/gold", false)
	if len(users) == 0 {
		t.Fatal("nothing imports the known reward: the test looks at nothing")
	}
	for _, file := range users {
		if !within(file, goldUsers) {
			t.Errorf("%s imports the known reward: only %s may", file, strings.Join(goldUsers, ", "))
		}
	}
}

// TestRulesCanFail breaks each rule on made-up packages.
func TestRulesCanFail(t *testing.T) {
	for _, c := range []struct {
		p    pkg
		want string
	}{
		{pkg{ImportPath: "plumb/dpo", Imports: []string{"plumb/reward"}}, "dpo imports reward"},
		{pkg{ImportPath: "plumb/internal/run", Imports: []string{"plumb/configs"}}, "internal/run imports configs"},
		{pkg{ImportPath: "plumb/ppo", Imports: []string{"plumb/datasets/synth/gold"}}, "ppo imports datasets/synth/gold"},
		{pkg{ImportPath: "plumb/datasets", Imports: []string{"plumb/internal/tokenizer"}}, "datasets imports internal/tokenizer"},
		{pkg{ImportPath: "plumb/ppo", TestImports: []string{"plumb/dpo"}}, "a test of ppo imports dpo"},
		{pkg{ImportPath: "plumb/compare", Imports: []string{"plumb/internal/testpaths"}}, "compare imports internal/testpaths, which is for tests"},
		{pkg{ImportPath: "plumb/ppo", Imports: []string{"plumb/internal/oracletest"}}, "ppo imports internal/oracletest, which is for tests"},
		{pkg{ImportPath: "plumb/surprise"}, "surprise is not in the table"},
	} {
		if got := forbidden([]pkg{c.p}); !slices.Contains(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.p, got, c.want)
		}
	}
	if within("compare2/x.go", goldUsers) || !within("compare/x.go", goldUsers) {
		t.Error("the places of gold are not folders")
	}
}
