package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"plumb/configs"
	"plumb/internal/testpaths"
)

// shown collects the command lines of a page: lines of four spaces or of a fence that begin with plumb.
func shown(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, line := range strings.Split(string(b), "\n") {
		s := strings.TrimPrefix(strings.TrimSpace(line), "$ ")
		s = strings.Replace(s, "go run ./cmd/plumb ", "plumb ", 1)
		if strings.HasPrefix(s, "plumb ") && (strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "$ ")) {
			list = append(list, s)
		}
	}
	return list
}

// words cuts a command line as a shell would, as far as the pages need it.
func words(line string) []string {
	var list []string
	var word strings.Builder
	quote := rune(0)
	open := false
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			quote, open = r, true
		case r == ' ':
			if word.Len() > 0 || open {
				list = append(list, word.String())
			}
			word.Reset()
			open = false
		default:
			word.WriteRune(r)
		}
	}
	if word.Len() > 0 || open {
		list = append(list, word.String())
	}
	return list
}

// fits reports what is wrong with a command line without running it: an unknown command, an unknown flag, a --set that no stage of
// the experiment knows.
func fits(args []string) string {
	app := newApp(os.Stdout, os.Stderr)
	args = reorder(app, args)
	commands, flags := app.Commands, []cli.Flag(nil)
	name := ""
	for len(args) > 0 {
		var next *cli.Command
		for _, c := range commands {
			if c.HasName(args[0]) {
				next = c
			}
		}
		if next == nil {
			break
		}
		name = strings.TrimSpace(name + " " + next.Name)
		commands, flags = next.Subcommands, next.Flags
		args = args[1:]
	}
	if name == "" {
		return "no such command"
	}
	known := map[string]cli.Flag{"help": nil, "h": nil}
	for _, f := range flags {
		for _, n := range f.Names() {
			known[n] = f
		}
	}
	var sets, rest []string
	for i := 0; i < len(args); i++ {
		if !strings.HasPrefix(args[i], "-") {
			rest = append(rest, args[i])
			continue
		}
		flag, value, inline := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		f, ok := known[flag]
		if !ok {
			return "no flag --" + flag + " in plumb " + name
		}
		if _, isBool := f.(*cli.BoolFlag); !isBool && f != nil && !inline {
			if i++; i == len(args) {
				return "--" + flag + " has no value"
			}
			value = args[i]
		}
		if flag == "set" {
			sets = append(sets, value)
		}
	}
	if name == "run" && len(rest) == 1 {
		if src, err := configs.FS.ReadFile(filepath.Base(rest[0])); err == nil {
			_, err := loadExperiment(rest[0], src, stageSets(sets), "", 0)
			if err != nil && strings.Contains(err.Error(), "unknown key") {
				return err.Error()
			}
		} else if strings.HasPrefix(rest[0], "configs/") {
			return "no such experiment: " + rest[0]
		}
	}
	return ""
}

func TestCommandsInThePagesExist(t *testing.T) {
	root := testpaths.Root(t)
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	pages = append(pages, filepath.Join(root, "README.md"))
	seen := 0
	for _, page := range pages {
		for _, line := range shown(t, page) {
			line, _, _ = strings.Cut(line, "   #")
			seen++
			if wrong := fits(words(line)[1:]); wrong != "" {
				t.Errorf("%s: %s: %s", filepath.Base(page), line, wrong)
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d command lines were seen: the test looks at nothing", seen)
	}
	for wrong, line := range map[string]string{
		"no such command":      "plumb dance",
		"no flag --fast":       "plumb run configs/tiny.yaml --fast",
		"unknown key":          "plumb run configs/tiny.yaml --set dpo.betta=1",
		"no such experiment":   "plumb run configs/absent.yaml",
		"no flag --set in plu": "plumb data synth --set a=b",
	} {
		if got := fits(words(line)[1:]); !strings.Contains(got, wrong) {
			t.Errorf("%s: %q, want %q", line, got, wrong)
		}
	}
}

// TestExamplesInHelpExist checks the examples of every --help in the same way.
func TestExamplesInHelpExist(t *testing.T) {
	seen := 0
	var check func(c *cli.Command)
	check = func(c *cli.Command) {
		_, examples, _ := strings.Cut(c.Description, "Examples:\n")
		for _, line := range strings.Split(examples, "\n") {
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			seen++
			if wrong := fits(words(line)[1:]); wrong != "" {
				t.Errorf("%s: %s", line, wrong)
			}
		}
		for _, s := range c.Subcommands {
			check(s)
		}
	}
	for _, c := range newApp(os.Stdout, os.Stderr).Commands {
		check(c)
	}
	if seen < 30 {
		t.Errorf("only %d examples were seen", seen)
	}
}

// TestPagesNameEveryKey holds the tables of the trainers' pages against the configurations.
func TestPagesNameEveryKey(t *testing.T) {
	root := testpaths.Root(t)
	for _, kind := range []string{"sft", "reward", "dpo", "ppo"} {
		page, err := os.ReadFile(filepath.Join(root, "docs", kind+".md"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := configs.Resolve(kinds[kind](&experiment{Seed: 42, Compute: "auto"}))
		if err != nil {
			t.Fatal(err)
		}
		node, err := configs.Parse(kind, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range node.Keys() {
			under := node.Get(key).Keys()
			if len(under) == 0 && !strings.Contains(string(page), "| `"+key+"` |") {
				t.Errorf("docs/%s.md does not name %s", kind, key)
			}
			for _, sub := range under {
				if !strings.Contains(string(page), "| `"+key+"."+sub+"` |") {
					t.Errorf("docs/%s.md does not name %s.%s", kind, key, sub)
				}
			}
		}
	}
}
