package dedup

import (
	"context"
	"slices"
	"testing"

	"plumb/datasets"
)

const (
	celsius    = `[{"name":"weather","parameters":{"unit":"celsius"}}]`
	fahrenheit = `[{"name":"weather","parameters":{"unit":"fahrenheit"}}]`
)

func withTools(tools string, r datasets.Record) datasets.Record {
	r.Tools = tools
	return r
}

// TestRecordsWithOtherToolsStay: the same question with other tools is another question, at every stage and for the labels.
func TestRecordsWithOtherToolsStay(t *testing.T) {
	answer := "It is twenty degrees in Lisbon today, with a light wind from the sea and no clouds until the evening."
	slip := "It is twenty degrees in Lisbon today, with a light wind from the sea and no clouds untl the evening."
	ask, no := "What is the weather in Lisbon today, and shall I take a coat?", "I cannot tell."
	in := []datasets.Record{
		withTools(celsius, pairOf("a", ask, answer, no)),
		withTools(fahrenheit, pairOf("b", ask, answer, no)),
		pairOf("c", ask, answer, no),
		withTools(celsius, pairOf("a exact", ask, answer, no)),
		withTools(celsius, pairOf("a normalised", ask+" ", answer, no)),
		withTools(celsius, pairOf("a near", ask, slip, no)),
		withTools(fahrenheit, pairOf("b flipped for a", ask, no, answer)),
	}
	for name, set := range map[string]func(*Config){
		"all stages": func(*Config) {},
		"vectors":    func(c *Config) { c.MinHash.Enabled, c.Vectors.Threshold = false, 0.7 },
		"merging":    func(c *Config) { c.Preference.MergePrompts = true },
	} {
		cfg := Defaults()
		set(&cfg)
		out, ledger, rep := runAll(t, cfg, in, Tools{})
		var ids []string
		for _, r := range out {
			ids = append(ids, r.ID)
		}
		if want := []string{"a", "b", "c", "b flipped for a"}; !slices.Equal(ids, want) {
			t.Errorf("%s: %v stay, want %v\n%s", name, ids, want, ledger)
		}
		if p := rep.Preference; p.Prompts != 3 || p.Merged != 0 || p.Flipped != 1 {
			t.Errorf("%s: %d prompts, %d merged, %d flipped", name, p.Prompts, p.Merged, p.Flipped)
		}
	}
	// The answers alone are equal whatever the tools; with the prompt they are not.
	for key, stay := range map[Key]int{KeyChosen: 2, KeyPrompt: 3} {
		cfg := Defaults()
		cfg.Key = key
		if out, ledger, _ := runAll(t, cfg, in, Tools{}); len(out) != stay {
			t.Errorf("key %s: %d stay, want %d\n%s", key, len(out), stay, ledger)
		}
	}
	// But a test prompt leaks, and belongs to its group, with whatever tools.
	cert, err := Leakage(context.Background(), Defaults(), Records(in[:1]), Records(in[1:2]), Tools{})
	if err != nil || cert.TrainLeaked != 1 {
		t.Errorf("%d leaked, want 1, %v", cert.TrainLeaked, err)
	}
	groups, err := Groups(context.Background(), Defaults(), Records(in[:3]), Tools{})
	if err != nil || !slices.Equal(groups, []int{0, 0, 0}) {
		t.Errorf("groups %v, %v", groups, err)
	}
}

// TestToolsInAnotherOrder: the order of tools and of their keys makes no other tools, that of other lists does.
func TestToolsInAnotherOrder(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{`[{"name":"f","n":1.50},{"name":"g"}]`, `[ {"name": "g"}, {"n": 1.50, "name": "f"} ]`, true},
		{`{"name":"f","n":{"x":1,"y":2}}`, `{"n":{"y":2,"x":1},"name":"f"}`, true},
		{`[{"name":"f"},{"name":"g"}]`, `[{"name":"f"}]`, false},
		{`[{"name":"f"}]`, `[{"name":"f"},{"name":"f"}]`, false},
		{`[{"name":"f","enum":["a","b"]}]`, `[{"name":"f","enum":["b","a"]}]`, false},
		{`[{"n":9007199254740993}]`, `[{"n":9007199254740992}]`, false},
		{`f(x), g(x)`, `g(x), f(x)`, false},
		{`[{"name":"f"}] x`, `[{"name":"f"}]`, false},
		{celsius, fahrenheit, false},
	} {
		a, b := withTools(c.a, pairOf("a", "p", "c", "r")), withTools(c.b, pairOf("b", "p", "c", "r"))
		if same := settingOf(&a, KeyPair, true) == settingOf(&b, KeyPair, true); same != c.same {
			t.Errorf("%s and %s: the same %v", c.a, c.b, same)
		}
	}
}
