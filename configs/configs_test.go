package configs

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

type fault struct{ key, text string }

func (f fault) Error() string    { return f.key + ": " + f.text }
func (f fault) FaultKey() string { return f.key }

type lora struct {
	R       int                `yaml:"r"`
	Alpha   float64            `yaml:"alpha"`
	Targets []string           `yaml:"target_modules"`
	Ranks   map[string]int     `yaml:"rank_pattern,omitempty"`
	Extra   map[string]float64 `yaml:"extra,omitempty"`
}

func (l lora) Validate() []error {
	if l.R < 1 {
		return []error{fault{"r", fmt.Sprintf("%d, want 1 or more", l.R)}}
	}
	return nil
}

type options struct {
	LearningRate float64 `yaml:"learning_rate"`
	BatchSize    int     `yaml:"batch_size"`
	Seed         uint64  `yaml:"seed"`
}

func (o *options) Validate() []error {
	var errs []error
	if !(o.LearningRate > 0) {
		errs = append(errs, fault{"learning_rate", fmt.Sprintf("%v, want above 0", o.LearningRate)})
	}
	if o.BatchSize < 1 {
		errs = append(errs, fault{"batch_size", fmt.Sprintf("%d, want 1 or more", o.BatchSize)})
	}
	return errs
}

type level uint8

func (l *level) UnmarshalText(b []byte) error {
	switch string(b) {
	case "low":
		*l = 1
	case "high":
		*l = 2
	default:
		return errors.New("want low or high")
	}
	return nil
}

func (l level) MarshalText() ([]byte, error) { return []byte([]string{"none", "low", "high"}[l]), nil }

type config struct {
	Name    string         `yaml:"name"`
	Options options        `yaml:",inline"`
	LoRA    lora           `yaml:"lora"`
	Level   level          `yaml:"level"`
	Shuffle bool           `yaml:"shuffle"`
	Small   int8           `yaml:"small"`
	Wait    time.Duration  `yaml:"wait"`
	Target  *float64       `yaml:"target"`
	Parts   []lora         `yaml:"parts"`
	Free    any            `yaml:"free"`
	Stages  Node           `yaml:"stages,omitempty"`
	Hidden  int            `yaml:"-"`
	Nested  map[string]any `yaml:"nested,omitempty"`
}

func defaults() config {
	return config{
		Name:    "unnamed",
		Options: options{LearningRate: 1e-6, BatchSize: 8, Seed: 42},
		LoRA:    lora{R: 8, Alpha: 16, Targets: []string{"all-linear"}},
		Level:   1, Wait: time.Minute,
	}
}

func TestLoadFillsOverDefaults(t *testing.T) {
	src := `
# a comment
name: 'two words'
learning_rate: 1e-5      # a text to the YAML library, a number here
seed: 18446744073709551615
lora: {r: 4, target_modules: [q_proj, "v_proj"]}
level: high
shuffle: true
wait: 90s
target: .5
parts:
  - r: 2
  - {r: 3, rank_pattern: {a.b: 7}}
free: {x: [1, 2.5, text, true, ~, "7"]}
`
	c := defaults()
	if err := Load("t.yaml", []byte(src), nil, &c); err != nil {
		t.Fatal(err)
	}
	half := 0.5
	want := defaults()
	want.Name = "two words"
	want.Options.LearningRate, want.Options.Seed = 1e-5, math.MaxUint64
	want.LoRA = lora{R: 4, Alpha: 16, Targets: []string{"q_proj", "v_proj"}}
	want.Level, want.Shuffle, want.Wait, want.Target = 2, true, 90*time.Second, &half
	want.Parts = []lora{{R: 2}, {R: 3, Ranks: map[string]int{"a.b": 7}}}
	want.Free = map[string]any{"x": []any{int64(1), 2.5, "text", true, nil, "7"}}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got\n%+v\nwant\n%+v", c, want)
	}
}

func TestPrecedence(t *testing.T) {
	c := defaults()
	sets := []string{"batch_size=3", "lora.alpha=1", "lora.alpha=2", "name=", "lora.target_modules=[k_proj]", "lora.rank_pattern.x=5"}
	if err := Load("t.yaml", []byte("batch_size: 2\nlora:\n  r: 5\n"), sets, &c); err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Name, want.Options.BatchSize = "", 3
	want.LoRA = lora{R: 5, Alpha: 2, Targets: []string{"k_proj"}, Ranks: map[string]int{"x": 5}}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got\n%+v\nwant\n%+v", c, want)
	}
	for _, empty := range []string{"", "# nothing\n", "---\n", "lora:\n"} {
		c := defaults()
		if err := Load("t.yaml", []byte(empty), nil, &c); err != nil || !reflect.DeepEqual(c, defaults()) {
			t.Errorf("%q: %v, %+v", empty, err, c)
		}
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	src := `name: [a]
batch_size: 1.5
learning_rate: fast
lora:
  rr: 8
  alpha: "16"
  target_modules: q_proj
batch_size: 2
shuffle: yes
small: 200
seed: -1
level: middle
wait: 5
target: {a: 1}
lerning_rate: 1
target_modules: [a]
parts:
  - r: 0
  - 7
entirely_else: 1
`
	c := defaults()
	err := Load("x.yaml", []byte(src), []string{"lora.r=0", "batchsize=2", "nonsense", "shuffle=1", "name=[", "parts[0]=1"}, &c)
	want := `x.yaml:1: name: found a list, want a text
x.yaml:2: batch_size: found 1.5, want an integer
x.yaml:3: learning_rate: found fast, want a number
x.yaml:5: lora.rr: unknown key; the nearest is r
x.yaml:6: lora.alpha: found "16", want a number
x.yaml:7: lora.target_modules: found q_proj, want a list, [a, b]
x.yaml:8: batch_size: duplicate key, first on line 2
x.yaml:10: small: found 200, want an integer that fits in 8 bits
x.yaml:11: seed: found -1, want an integer of 0 or more
x.yaml:12: level: middle: want low or high
x.yaml:13: wait: found 5, want a duration such as 90s or 1h30m
x.yaml:14: target: found a mapping, want a number
x.yaml:15: lerning_rate: unknown key; the nearest is learning_rate
x.yaml:16: target_modules: unknown key; there is lora.target_modules
x.yaml:18: parts[0].r: 0, want 1 or more
x.yaml:19: parts[1]: found 7, want keys with values
x.yaml:20: entirely_else: unknown key`
	sets := []string{
		"--set nonsense: want key=value",
		"--set name=[: name: sequence end token ']' not found",
		"--set shuffle=1: shuffle: found 1, want true or false",
		"--set lora.r=0: lora.r: 0, want 1 or more",
		"--set batchsize=2: batchsize: unknown key; the nearest is batch_size",
		"--set parts[0]=1: a list is set as a whole: key=[a, b]",
	}
	var faults *Faults
	if !errors.As(err, &faults) {
		t.Fatalf("error %v", err)
	}
	got := err.Error()
	if !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, s := range sets {
		if !strings.Contains(got, s) {
			t.Errorf("missing: %s\nin\n%s", s, got)
		}
	}
}

func TestValuesWithFaultsKeepTheirDefaults(t *testing.T) {
	c := defaults()
	err := Load("x.yaml", []byte("batch_size: 1.5\nseed: 7\n"), nil, &c)
	if err == nil || c.Options.BatchSize != 8 || c.Options.Seed != 7 {
		t.Errorf("error %v, config %+v", err, c.Options)
	}
}

func TestValidateFaultsFindTheirLine(t *testing.T) {
	c := defaults()
	c.Options.BatchSize = 0 // a default that is at fault has no line
	err := Load("x.yaml", []byte("# header\nname: a\n\nlearning_rate: -1\nlora:\n  r: 0\n"), nil, &c)
	want := "x.yaml:4: learning_rate: -1, want above 0\nx.yaml:6: lora.r: 0, want 1 or more\nx.yaml: batch_size: 0, want 1 or more"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestUnreadableSources(t *testing.T) {
	for src, want := range map[string]string{
		"a: [1,\nb: 2":      "x.yaml:1: sequence end token",
		"a:\n\tb: 1":        "x.yaml:2: found character '\t'",
		"- a\n- b":          "x.yaml:1: found a list, want keys",
		"text":              "x.yaml:1: found text, want keys",
		"a: 1\n---\nb: 2":   "x.yaml:3: a second document",
		"name: &x a":        "x.yaml:1: name: anchor is not supported",
		"name: !!str a":     "x.yaml:1: name: tag is not supported",
		"lora:\n  <<: {}":   "x.yaml:2: lora: merging with <<",
		"name: 'unfinished": "x.yaml:1: could not find end",
	} {
		c := defaults()
		err := Load("x.yaml", []byte(src), nil, &c)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s...", src, err, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	type numbers struct {
		F float64 `yaml:"f"`
		I int     `yaml:"i"`
	}
	for text, want := range map[string]float64{
		"1e-5": 1e-5, "1E6": 1e6, "-2": -2, "+4": 4, ".5": .5, "1.": 1, "010": 10, "0x10": 16, "1_000": 1000, ".inf": math.Inf(1), "-.inf": math.Inf(-1),
	} {
		var n numbers
		if err := Load("x", []byte("f: "+text), nil, &n); err != nil || n.F != want {
			t.Errorf("f: %s: %v, %v; want %v", text, n.F, err, want)
		}
	}
	for text, want := range map[string]int{"7": 7, "-7": -7, "010": 10, "0x10": 16, "1_000": 1000} {
		var n numbers
		if err := Load("x", []byte("i: "+text), nil, &n); err != nil || n.I != want {
			t.Errorf("i: %s: %v, %v; want %v", text, n.I, err, want)
		}
	}
	for _, text := range []string{"1.5", "1.0", "1e3", "99999999999999999999", "'1'", "true", "nan", "[1]", "", "~", "-"} {
		n := numbers{I: 3}
		if err := Load("x", []byte("i: "+text), nil, &n); err == nil || n.I != 3 {
			t.Errorf("i: %q was taken as %v", text, n.I)
		}
	}
	for _, text := range []string{"nan", "inf", "1e999", "'1'", "one", "1e"} {
		n := numbers{F: 3}
		if err := Load("x", []byte("f: "+text), nil, &n); err == nil || n.F != 3 {
			t.Errorf("f: %q was taken as %v", text, n.F)
		}
	}
}

func TestNodesKeepOrderLinesAndOverrides(t *testing.T) {
	src := "name: e\nstages:\n  zeta:\n    learning_rate: 2\n  alpha:\n  mid:\n    kind: dpo\n    batch_size: 0\n    lora: {r: 1, q: 2}\n"
	c := defaults()
	if err := Load("e.yaml", []byte(src), []string{"stages.alpha.batch_size=5", "stages.mid.seed=x"}, &c); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(c.Stages.Keys()); got != "[zeta alpha mid]" {
		t.Fatalf("keys %s", got)
	}
	stage := defaults()
	if err := c.Stages.Get("alpha").Decode(&stage); err != nil || stage.Options.BatchSize != 5 {
		t.Errorf("alpha: %v, %+v", err, stage.Options)
	}
	mid := c.Stages.Get("mid")
	if mid.Get("kind").Text() != "dpo" || mid.Get("none") != nil {
		t.Error("kind is not found, or none is")
	}
	stage = defaults()
	err := mid.Decode(&stage, "kind")
	want := "e.yaml:8: stages.mid.batch_size: 0, want 1 or more\n" +
		"e.yaml:9: stages.mid.lora.q: unknown key; the nearest is r\n" +
		"--set stages.mid.seed=x: stages.mid.seed: found x, want an integer of 0 or more"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	stage = defaults()
	if err := mid.Decode(&stage); err == nil || !strings.Contains(err.Error(), "e.yaml:7: stages.mid.kind: unknown key") {
		t.Errorf("kind is not skipped and known: %v", err)
	}
}

func TestResolveRoundTrips(t *testing.T) {
	half := 1e-7
	c := defaults()
	c.Name = "1e-5: yes # {"
	c.Target = &half
	c.LoRA.Ranks = map[string]int{"z": 1, "a.b": 2}
	c.Parts = []lora{{R: 1, Targets: []string{"null", "7", ""}}}
	c.Level = 2
	first, err := Resolve(&c)
	if err != nil {
		t.Fatal(err)
	}
	back := config{}
	if err := Load("resolved", first, nil, &back); err != nil {
		t.Fatalf("%v\n%s", err, first)
	}
	second, err := Resolve(&back)
	if err != nil {
		t.Fatal(err)
	}
	if string(first) != string(second) {
		t.Errorf("resolved, loaded and resolved again:\n%s\nfirst\n%s", second, first)
	}
	if back.Name != c.Name || *back.Target != half || back.LoRA.Ranks["a.b"] != 2 || back.Parts[0].Targets[1] != "7" || back.Wait != time.Minute {
		t.Errorf("got %+v", back)
	}
}

func TestLevenshtein(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"beta", "betta", 1}, {"flaw", "lawn", 2}} {
		if got := levenshtein(c.a, c.b); got != c.want {
			t.Errorf("levenshtein(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, s := range []string{"a: 1", "lora: {r: [", "? a\n: b", "a: &x [*x]", "\x00\xff", "%YAML 9\n---\n", "a: |\n  b\n c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		c := defaults()
		if err := Load("f", []byte(src), []string{src}, &c); err != nil && err.Error() == "" {
			t.Error("a fault without a text")
		}
	})
}
