package dedup

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"plumb/datasets"
)

func pairOf(id, prompt, chosen, rejected string) datasets.Record {
	return datasets.Record{ID: id, Prompt: datasets.Text(prompt), Chosen: datasets.Text(chosen), Rejected: datasets.Text(rejected),
		Source: datasets.Provenance{File: "p.jsonl"}}
}

const (
	bake   = "How long do I bake a loaf of sourdough bread in a gas oven at home?"
	bake2  = "How long do I bake a loaf of sourdough bread in a gas oven at home ??"
	bake3  = "How long do I bake a loaf of sourdough braed in a gas oven at home?"
	forty  = "About forty minutes with the lid on, then another few minutes without it."
	thumb  = "Tap the bottom of the loaf with your thumb and listen for a hollow sound."
	never  = "Nobody should eat bread, it is only flour and water and much too salty."
	purple = "The oven is purple and therefore the loaf is a kind of violin concerto."
)

func contradictory() []datasets.Record {
	return []datasets.Record{
		pairOf("good1", bake, forty, never),
		pairOf("good2", bake2, forty, thumb),
		pairOf("flip", bake, never, forty),
		pairOf("again", bake, forty, never), // exact copy of good1: a second vote
		pairOf("c1", "Name a colour for the wall of a small and rather dark corridor.", "Perhaps white.", "Perhaps green, as leaves."),
		pairOf("c2", "Name a colour for the wall of a small and rather dark corridor.", "Perhaps green, as leaves.", "Take an old blue."),
		pairOf("c3", "Name a colour for the wall of a small and rather dark corridor.", "Take an old blue.", "Perhaps white."),
		pairOf("tie", "Say hello to everyone in the room.", "Hello everyone!", "hello, everyone"),
		pairOf("near", bake3, purple, strings.Replace(purple, "violin", "vioilin", 1)),
	}
}

func ids(list []datasets.Record) []string {
	var out []string
	for _, r := range list {
		out = append(out, r.ID)
	}
	return out
}

func TestContradictionsAreReported(t *testing.T) {
	cfg := Defaults()
	cfg.Preference.MergePrompts = true
	out, _, rep := runAll(t, cfg, contradictory(), Tools{})
	p := rep.Preference
	if p.Flipped != 1 || p.Cycles != 1 || p.Ties != 1 || p.NearTies != 1 || p.Merged != 1 || p.Dropped != 0 {
		t.Errorf("got %+v", *p)
	}
	if want := []string{"good1", "good2", "flip", "c1", "c2", "c3", "tie", "near"}; !slices.Equal(ids(out), want) {
		t.Errorf("kept %v, want %v", ids(out), want)
	}
	if out[0].Copies != 2 {
		t.Errorf("the kept copy stands for %d records, want 2", out[0].Copies)
	}
	near := out[len(out)-1]
	if MessageText(near.Prompt) != bake || near.Meta["prompt_merged_with"] != "good1" {
		t.Errorf("the near-equal prompt was not merged: %+v", near)
	}
}

func TestPreferencePolicies(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*PreferenceConfig)
		gone []string
	}{
		{"majority", func(p *PreferenceConfig) { p.Flipped, p.Cycles = "majority", "majority" }, []string{"flip", "c1", "c2", "c3"}},
		{"drop flips", func(p *PreferenceConfig) { p.Flipped = "drop" }, []string{"good1", "flip"}},
		{"drop ties", func(p *PreferenceConfig) { p.Ties, p.NearTies = "drop", "drop" }, []string{"tie", "near"}},
	} {
		cfg := Defaults()
		c.set(&cfg.Preference)
		out, ledger, _ := runAll(t, cfg, contradictory(), Tools{})
		kept := ids(out)
		for _, r := range contradictory() {
			if want := !slices.Contains(append(c.gone, "again"), r.ID); slices.Contains(kept, r.ID) != want {
				t.Errorf("%s: %s kept: %v, want %v", c.name, r.ID, !want, want)
			}
		}
		var back sink
		if err := Undo(context.Background(), &recordReader{recs: out}, bytes.NewReader(ledger), &back); err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if len(back.records) != len(contradictory()) {
			t.Errorf("%s: %d records restored", c.name, len(back.records))
		}
	}
}

// TestMajorityBreaksACycle gives one label of a circle more votes: the two that agree with the order stay.
func TestMajorityBreaksACycle(t *testing.T) {
	in := contradictory()[4:7]
	in[0].Copies = 5 // white over green, five votes
	cfg := Defaults()
	cfg.Preference.Cycles = "majority"
	out, _, rep := runAll(t, cfg, in, Tools{})
	// Net votes: white 5-1, green 1-5, blue 1-1. Kept are labels whose winner has more: white over green; not green over
	// blue (-4 against 0), not blue over white (0 against 4).
	if want := []string{"c1"}; !slices.Equal(ids(out), want) || rep.Preference.Dropped != 2 {
		t.Errorf("kept %v, dropped %d, want %v and 2", ids(out), rep.Preference.Dropped, want)
	}
}

func TestComponents(t *testing.T) {
	// 0 -> 1 -> 2 -> 0, 2 -> 3 -> 4 -> 3, 5 alone
	part := components([][]int{{1}, {2}, {0, 3}, {4}, {3}, nil})
	same := func(a, b int) bool { return part[a] == part[b] }
	if !same(0, 1) || !same(1, 2) || same(2, 3) || !same(3, 4) || same(5, 0) || same(5, 3) {
		t.Errorf("parts %v", part)
	}
}

func TestKeepPolicies(t *testing.T) {
	text := func(n int) string {
		s := "The old railway bridge near the harbor was painted green again by two patient men from the town, and the paint is still wet today."
		return s + strings.Repeat(" Mind the paint, please.", n)
	}
	record := func(id, file string, n int, meta map[string]string) datasets.Record {
		r := pairOf(id, "Tell me about the bridge that stands near the harbor of our town.", text(n), "No idea at all, I have never been there.")
		r.Source.File, r.Meta = file, meta
		return r
	}
	in := []datasets.Record{
		record("a", "web.jsonl", 0, map[string]string{"judge": "3", "time": "2024-01-02"}),
		record("b", "books.jsonl", 1, map[string]string{"judge": "9.5", "time": "2023-01-02"}),
		record("c", "own.jsonl", 0, map[string]string{"judge": "1", "time": "2025-01-02T03:04:05Z"}),
	}
	for _, c := range []struct {
		set  func(*KeepConfig)
		want string
	}{
		{func(k *KeepConfig) {}, "a"},
		{func(k *KeepConfig) { k.Policy = "longest" }, "b"},
		{func(k *KeepConfig) { k.Policy, k.Field = "best", "judge" }, "b"},
		{func(k *KeepConfig) { k.Policy, k.Field = "newest", "time" }, "c"},
		{func(k *KeepConfig) { k.Policy, k.Trusted = "trusted", []string{"books.*", "web.*"} }, "b"},
		{func(k *KeepConfig) { k.Protect = []string{"own.jsonl"} }, "c"},
		{func(k *KeepConfig) { k.Protect = []string{"own.jsonl", "web.jsonl"} }, "ac"},
		{func(k *KeepConfig) { k.N = 2 }, "ab"},
		{func(k *KeepConfig) { k.Policy = "none" }, ""},
		{func(k *KeepConfig) { k.Policy, k.Protect = "none", []string{"web.jsonl"} }, "a"},
	} {
		cfg := Defaults()
		c.set(&cfg.Keep)
		out, ledger, _ := runAll(t, cfg, in, Tools{})
		if got := strings.Join(ids(out), ""); got != c.want {
			t.Errorf("%+v: kept %q, want %q", cfg.Keep, got, c.want)
		}
		var back sink
		if err := Undo(context.Background(), &recordReader{recs: out}, bytes.NewReader(ledger), &back); err != nil || strings.Join(ids(back.records), "") != "abc" {
			t.Errorf("%+v: undo gave %v, %v", cfg.Keep, ids(back.records), err)
		}
	}
	cfg := Defaults()
	cfg.Keep.Policy, cfg.Keep.Field = "best", "time"
	if _, err := Run(context.Background(), cfg, Records(in), &sink{}, Tools{}); err == nil || !strings.Contains(err.Error(), "expected a number") {
		t.Errorf("a score that is no number: %v", err)
	}
}

// TestClustersDoNotChain makes a chain of texts, each alike its neighbours: the ends are unlike, and both stay.
func TestClustersDoNotChain(t *testing.T) {
	words := strings.Fields("alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar papa quebec romeo sierra tango " +
		"uniform victor whiskey xray yankee zulu amber bronze copper dust ember flint grape hazel ivory jade")
	var in []datasets.Record
	for i := 0; i+20 <= len(words); i++ {
		in = append(in, pairOf(fmt.Sprint(i), strings.Join(words[i:i+20], " "), "x", "y"))
	}
	cfg := Defaults()
	cfg.Key, cfg.Verifier.Kind, cfg.Preference.Enabled = KeyPrompt, "none", false
	out, ledger, rep := runAll(t, cfg, in, Tools{})
	if rep.Removed == 0 || len(out) < 3 {
		t.Fatalf("%d of %d stay: %v", len(out), len(in), ids(out))
	}
	text := map[string]string{}
	for _, r := range in {
		text[r.ID] = MessageText(r.Prompt)
	}
	_, err := ReadLedger(bytes.NewReader(ledger), func(r *LedgerRow) error {
		if r.Action != ActionRemove {
			return nil
		}
		if r.Stage == string(TierMinHash) {
			w := newLexer(cfg.MinHash)
			a, b := w.set(nil, text[r.Ref.ID]), w.set(nil, text[r.Kept.ID])
			if j := jaccard(a, b); j < cfg.MinHash.Threshold || j != r.Score {
				t.Errorf("%s was removed for %s with Jaccard %v, the ledger says %v", r.Ref.ID, r.Kept.ID, j, r.Score)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLeakageCertificate(t *testing.T) {
	in := contradictory()
	tests := []datasets.Record{
		{ID: "t1", Prompt: datasets.Text(bake), Source: datasets.Provenance{File: "bench.jsonl", Row: 1}},
		{ID: "t2", Prompt: datasets.Text("say HELLO to everyone in the room"), Source: datasets.Provenance{File: "bench.jsonl", Row: 2}},
		{ID: "t3", Prompt: datasets.Text("Nothing in the data is like this question about volcanoes."), Source: datasets.Provenance{File: "bench.jsonl", Row: 3}},
		{ID: "t4", Source: datasets.Provenance{File: "bench.jsonl", Row: 4}, Chosen: datasets.Text("no prompt")},
	}
	var cert bytes.Buffer
	out, ledger, rep := runAll(t, Defaults(), in, Tools{Against: Records(tests), Certificate: &cert})
	got := map[string]Tier{}
	for _, l := range rep.Certificate.Leaks {
		got[l.Train.ID+" "+l.Test.ID] = l.Tier
	}
	want := map[string]Tier{"good1 t1": TierExact, "flip t1": TierExact, "again t1": TierExact, "good2 t1": TierNormalised, "near t1": TierMinHash, "tie t2": TierNormalised}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("leaks %v, want %v", got, want)
	}
	c := rep.Certificate
	if c.Clean || c.TrainLeaked != 6 || c.TestLeaked != 2 || c.TestRecords != 4 || !slices.Equal(c.TestFiles, []string{"bench.jsonl"}) {
		t.Errorf("certificate %+v", *c)
	}
	if want := []string{"c1", "c2", "c3"}; !slices.Equal(ids(out), want) {
		t.Errorf("kept %v, want %v", ids(out), want)
	}
	var again Certificate
	if err := json.Unmarshal(cert.Bytes(), &again); err != nil || len(again.Leaks) != len(c.Leaks) {
		t.Errorf("the written certificate has %d leaks, %v", len(again.Leaks), err)
	}
	if !strings.Contains(string(ledger), `"stage":"against:minhash"`) || !strings.Contains(string(ledger), `"id":"t1"`) {
		t.Error("the ledger does not name the leaked test record")
	}
	cfg := Defaults()
	cfg.Against.Action = "report"
	if out, _, _ := runAll(t, cfg, in, Tools{Against: Records(tests)}); len(out) != 8 {
		t.Errorf("with action report %d records stay, want 8", len(out))
	}
	clean, err := Leakage(context.Background(), Defaults(), Records(in), Records(tests[2:]), Tools{})
	if err != nil || !clean.Clean {
		t.Errorf("a clean set: %+v, %v", clean, err)
	}
}

func TestGroupsHoldNearPrompts(t *testing.T) {
	cfg := Defaults()
	cfg.Key = KeyPrompt
	got, err := Groups(context.Background(), cfg, Records(contradictory()), Tools{})
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{0, 0, 0, 0, 4, 4, 4, 7, 0}; !slices.Equal(got, want) {
		t.Errorf("groups %v, want %v", got, want)
	}
}
