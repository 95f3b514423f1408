package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"plumb/configs"
	"plumb/internal/run"
)

// asProgram makes the test binary behave as plumb itself, for tests that need a process of its own.
const asProgram = "PLUMB_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// plumb runs a command line in this process.
func plumb(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = realMain(t.Context(), args, &out, &errs)
	return out.String(), errs.String(), code
}

// mustPlumb runs a command line that has to succeed.
func mustPlumb(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, code := plumb(t, args...)
	if code != 0 {
		t.Fatalf("plumb %s: exit code %d\n%s", strings.Join(args, " "), code, errs)
	}
	return out
}

func put(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExitCodes(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		err  error
		want int
	}{
		{"nothing wrong", t.Context(), nil, 0},
		{"any error", t.Context(), errors.New("x"), 1},
		{"usage", t.Context(), fmt.Errorf("around: %w", run.Usage(errors.New("x"))), 2},
		{"faults", t.Context(), fmt.Errorf("around: %w", &configs.Faults{List: []configs.Fault{{Msg: "x"}}}), 2},
		{"findings", t.Context(), run.Findings(errors.New("x")), 3},
		{"interrupted", t.Context(), run.Interrupted(context.Canceled), 130},
		{"cancelled by a signal", cancelled, fmt.Errorf("around: %w", context.Canceled), 130},
		{"cancelled otherwise", t.Context(), context.Canceled, 1},
	} {
		if got := exitCode(c.ctx, c.err); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestWrongUsageIsTwo(t *testing.T) {
	empty := put(t, filepath.Join(t.TempDir(), "empty.yaml"), "")
	for want, args := range map[string][]string{
		`unknown command "trian"`:        {"trian"},
		`unknown command "nothing"`:      {"data", "nothing"},
		"flag provided but not defined":  {"run", "x.yaml", "--fast"},
		"want one experiment file":       {"run"},
		"no such file":                   {"run", "absent.yaml"},
		"invalid value \"many\"":         {"run", empty, "--max-steps", "many"},
		`name: "", want`:                 {"run", empty},
		"want --out":                     {"data", "convert", "a.jsonl"},
		"want at least one file":         {"data", "convert", "--out", filepath.Join(t.TempDir(), "o.arrow")},
		"--only nope: the stages are":    {"run", "tiny", "--only", "nope"},
		`unknown arithmetic "fp16"`:      {"bench", "--compute", "fp16"},
		`arithmetic "half": want one of`: {"dedup", "a.arrow", "--compute", "half"},
		"--max-new 0":                    {"generate", "--model", "m", "--prompt", "x", "--max-new", "0"},
		"stages.synth.pairs: 0, want":    {"run", "tiny", "--set", "synth.pairs=0"},
		"unknown key; the nearest is kl": {"run", "tiny", "--set", "ppo.kl_coeff=1"},
	} {
		out, errs, code := plumb(t, args...)
		if code != exitUsage || !strings.Contains(errs, want) || out != "" {
			t.Errorf("plumb %s: exit code %d, stdout %q, stderr\n%swant code 2 and %q", strings.Join(args, " "), code, out, errs, want)
		}
	}
}

func TestFlagsMayFollowArguments(t *testing.T) {
	app := newApp(os.Stdout, os.Stderr)
	for in, want := range map[string]string{
		"run x.yaml --set a=b --json":         "run --set a=b --json x.yaml",
		"run --json x.yaml --out d":           "run --json --out d x.yaml",
		"run x.yaml --out=d":                  "run --out=d x.yaml",
		"data convert a --out o b":            "data convert --out o a b",
		"data convert -o o a":                 "data convert -o o a",
		"run -- --odd.yaml --json":            "run -- --odd.yaml --json",
		"dedup a.jsonl --out b --json c":      "dedup --out b --json a.jsonl c",
		"--version":                           "--version",
		"generate --prompt - --model m":       "generate --prompt - --model m",
		"run x.yaml --max-steps -1 --dry-run": "run --max-steps -1 --dry-run x.yaml",
	} {
		got := strings.Join(reorder(app, strings.Fields(in)), " ")
		if got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	var check func(path []string)
	seen := 0
	check = func(path []string) {
		out := mustPlumb(t, append(slices.Clone(path), "--help")...)
		if !strings.Contains(out, "Examples:") || !strings.Contains(out, "plumb "+path[0]) {
			t.Errorf("plumb %s --help has no example:\n%s", strings.Join(path, " "), out)
		}
		seen++
		app := newApp(os.Stdout, os.Stderr)
		c := app.Command(path[0])
		for _, name := range path[1:] {
			for _, s := range c.Subcommands {
				if s.HasName(name) {
					c = s
				}
			}
		}
		for _, s := range c.Subcommands {
			check(append(slices.Clone(path), s.Name))
		}
	}
	for _, c := range newApp(os.Stdout, os.Stderr).Commands {
		check([]string{c.Name})
	}
	if seen < 15 {
		t.Errorf("only %d commands were seen", seen)
	}
}
