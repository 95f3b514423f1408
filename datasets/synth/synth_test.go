package synth

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"

	"plumb/datasets"
	"plumb/datasets/synth/gold"
	"plumb/internal/run"
)

// world is the quickstart's draw, made once for the tests that only look at it.
var world = sync.OnceValues(func() (World, error) {
	cfg := Defaults()
	cfg.Seed = 1
	return Generate(cfg)
})

func drawn(t *testing.T) World {
	t.Helper()
	w, err := world()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func copied(rec datasets.Record) bool { return rec.Meta[MetaCopyOf] != "" }

func TestCounts(t *testing.T) {
	w, cfg := drawn(t), Defaults()
	own, copies, ids := 0, map[string]int{}, map[string]bool{}
	for _, rec := range w.Pairs {
		if ids[rec.ID] {
			t.Fatalf("%s occurs twice", rec.ID)
		}
		ids[rec.ID] = true
		if rec.Kind() != datasets.Preference || Text(rec.Chosen) == Text(rec.Rejected) {
			t.Fatalf("%s is not a pair: %+v", rec.ID, rec)
		}
		if copied(rec) {
			copies[rec.Meta[MetaKind]]++
		} else {
			own++
		}
	}
	if own < 5000 || own != cfg.Pairs {
		t.Errorf("%d pairs, want %d and at least 5000", own, cfg.Pairs)
	}
	if copies["exact"] != cfg.ExactCopies || copies["case"]+copies["slip"]+copies["order"]+copies["turned"] != cfg.NearCopies {
		t.Errorf("copies planted: %v", copies)
	}
	for _, kind := range nearKinds {
		if copies[kind] < cfg.NearCopies/5 {
			t.Errorf("only %d copies of kind %s", copies[kind], kind)
		}
	}
	if len(w.Demonstrations) != cfg.Demonstrations || len(w.HeldOut) != cfg.HeldOut || cfg.HeldOut < 500 {
		t.Errorf("%d demonstrations, %d held out", len(w.Demonstrations), len(w.HeldOut))
	}
	for _, rec := range w.Demonstrations {
		if rec.Kind() != datasets.Instruction {
			t.Fatalf("%s is no demonstration: %+v", rec.ID, rec)
		}
	}
}

func TestLabelsFollowTheSigmoid(t *testing.T) {
	cfg := Config{Seed: 3, Demonstrations: 1, Pairs: maxRecords, HeldOut: 1, Tau: Defaults().Tau}
	w, err := Generate(cfg)
	if err != nil {
		t.Fatal(err)
	}
	// In each band of |difference|, the share of labels that agree with gold must be the mean sigmoid, within four
	// standard errors.
	const bands = 8
	var n, agree, want, vari [bands]float64
	for _, rec := range w.Pairs {
		p := Text(rec.Prompt)
		d := gold.Score(p, Text(rec.Chosen)) - gold.Score(p, Text(rec.Rejected))
		if d == 0 {
			continue
		}
		b := min(int(math.Abs(d)*10), bands-1)
		s := 1 / (1 + math.Exp(-math.Abs(d)/cfg.Tau))
		n[b]++
		want[b] += s
		vari[b] += s * (1 - s)
		if d > 0 {
			agree[b]++
		}
	}
	for b := range bands {
		if n[b] < 200 {
			t.Fatalf("band %d holds only %v pairs", b, n[b])
		}
		if math.Abs(agree[b]-want[b]) > 4*math.Sqrt(vari[b]) {
			t.Errorf("band %d: %.0f of %.0f labels agree with gold, %.1f expected", b, agree[b], n[b], want[b])
		}
	}
}

func TestShuffledLabelsSayNothing(t *testing.T) {
	w, err := Generate(Config{Seed: 4, Demonstrations: 1, Pairs: 10000, HeldOut: 1, Tau: 0.05, ShuffleLabels: true})
	if err != nil {
		t.Fatal(err)
	}
	n, agree := 0.0, 0.0
	for _, rec := range w.Pairs {
		p := Text(rec.Prompt)
		switch d := gold.Score(p, Text(rec.Chosen)) - gold.Score(p, Text(rec.Rejected)); {
		case d > 0:
			n, agree = n+1, agree+1
		case d < 0:
			n++
		}
	}
	if math.Abs(agree/n-0.5) > 4*0.5/math.Sqrt(n) {
		t.Errorf("%.3f of %.0f shuffled labels agree with gold", agree/n, n)
	}
}

func TestWorldIsAsPromised(t *testing.T) {
	for seed := range uint64(4) {
		cfg := Defaults()
		cfg.Seed = seed
		w, err := Generate(cfg)
		if err != nil {
			t.Fatal(err)
		}
		s := w.Stats
		t.Logf("seed %d\n%s", seed, s)
		if s.Possible < 100_000 {
			t.Errorf("%d prompts possible", s.Possible)
		}
		if s.BestAccuracy < 0.80 || s.BestAccuracy > 0.85 {
			t.Errorf("best accuracy %.3f, want .80 to .85", s.BestAccuracy)
		}
		if s.FallingShare >= 0.01 || s.FallingShare == 0 {
			t.Errorf("style falls in %.4f of the pairs, want under .01 and some", s.FallingShare)
		}
		if s.DemonstrationGold < 0.3 || s.DemonstrationGold > 0.6 {
			t.Errorf("demonstrations score %.3f, want .3 to .6", s.DemonstrationGold)
		}
		if s.ConstantGold > s.DemonstrationGold+0.05 {
			t.Errorf("%q scores %.3f, the demonstrations %.3f", s.Constant, s.ConstantGold, s.DemonstrationGold)
		}
	}
}

// Many samples of a clerk score as the demonstrations do: the mixture, not a lucky draw, lies in the range.
func TestClerksScoreInRange(t *testing.T) {
	rng := run.Rand(9, "test")
	sum, n := 0.0, 20000
	var commonest [8]int
	for range n {
		r := gold.Request{Name: rng.IntN(len(gold.Names)), Count: rng.IntN(8), Colour: rng.IntN(len(gold.Colours)), Item: rng.IntN(len(gold.Items)), Opener: rng.IntN(len(gold.Openers))}
		answer := reply(rng, r)
		sum += r.Judge(answer).Reward()
		commonest[min(strings.Count(answer, "!"), 7)]++
		if len(answer) > 64 {
			t.Fatalf("a reply of %d bytes: %q", len(answer), answer)
		}
	}
	if mean := sum / float64(n); mean < 0.4 || mean > 0.57 {
		t.Errorf("clerks score %.3f in the mean", mean)
	}
	for marks := range 5 {
		if commonest[marks] == 0 {
			t.Errorf("no reply of %d has %d marks: a model could not imagine it", n, marks)
		}
	}
}

func TestHeldOutOrdersAreNew(t *testing.T) {
	w := drawn(t)
	trained := map[[4]int]string{}
	words := [4]map[int]bool{{}, {}, {}, {}}
	for _, rec := range append(append([]datasets.Record{}, w.Demonstrations...), w.Pairs...) {
		if copied(rec) && rec.Meta[MetaKind] != "exact" {
			continue
		}
		r, ok := gold.Parse(Text(rec.Prompt))
		if !ok {
			t.Fatalf("%s: prompt %q is not of the language", rec.ID, Text(rec.Prompt))
		}
		trained[order(r)] = rec.ID
		for slot, v := range order(r) {
			words[slot][v] = true
		}
	}
	for _, rec := range w.HeldOut {
		r, ok := gold.Parse(Text(rec.Prompt))
		if !ok {
			t.Fatalf("%s: prompt %q is not of the language", rec.ID, Text(rec.Prompt))
		}
		if id := trained[order(r)]; id != "" {
			t.Errorf("%s places the order of %s", rec.ID, id)
		}
		for slot, v := range order(r) {
			if !words[slot][v] {
				t.Errorf("%s uses a word that training never showed (slot %d): recombined, not new, was promised", rec.ID, slot)
			}
		}
	}
}

func TestOnlyCopiesAreNear(t *testing.T) {
	w := drawn(t)
	var near [6]map[gold.Request]string
	for i := range near {
		near[i] = map[gold.Request]string{}
	}
	originals := map[string]datasets.Record{}
	for _, rec := range append(append([]datasets.Record{}, w.Pairs...), w.HeldOut...) {
		if copied(rec) {
			continue
		}
		originals[rec.ID] = rec
		r, _ := gold.Parse(Text(rec.Prompt))
		for i := range near {
			if id := near[i][blank(r, i)]; id != "" {
				t.Errorf("%s and %s differ in one word", id, rec.ID)
			}
			near[i][blank(r, i)] = rec.ID
		}
	}
	for _, rec := range w.Pairs {
		if !copied(rec) {
			continue
		}
		was, ok := originals[rec.Meta[MetaCopyOf]]
		if !ok {
			t.Fatalf("%s repeats %q, which does not exist", rec.ID, rec.Meta[MetaCopyOf])
		}
		if exact := rec.ContentHash() == was.ContentHash(); exact != (rec.Meta[MetaKind] == "exact") {
			t.Errorf("%s: planted as %s, equal to its original: %v", rec.ID, rec.Meta[MetaKind], exact)
		}
		if a, b := letters(Text(rec.Prompt)), letters(Text(was.Prompt)); a != b {
			t.Errorf("%s: %q does not hold the letters of %q", rec.ID, Text(rec.Prompt), Text(was.Prompt))
		}
	}
}

// letters counts the letters and digits of a text without regard to case: what every kind of copy keeps.
func letters(s string) (n [256]int) {
	for _, c := range []byte(strings.ToLower(s)) {
		if letter(c) || c >= '0' && c <= '9' {
			n[c]++
		}
	}
	return n
}

func TestGenerateIsDeterministic(t *testing.T) {
	cfg := Config{Seed: 5, Demonstrations: 50, Pairs: 60, HeldOut: 20, Tau: 0.1, ExactCopies: 5, NearCopies: 9}
	a, err := Generate(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Generate(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) {
		t.Error("the same seed drew two worlds")
	}
	cfg.Seed++
	c, err := Generate(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if reflect.DeepEqual(a.Pairs, c.Pairs) || reflect.DeepEqual(a.HeldOut, c.HeldOut) || reflect.DeepEqual(a.Demonstrations, c.Demonstrations) {
		t.Error("two seeds drew the same records")
	}
	// The parts have streams of their own: more demonstrations leave the pairs as they are.
	cfg.Demonstrations = 70
	d, err := Generate(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c.Pairs, d.Pairs) || !reflect.DeepEqual(c.HeldOut, d.HeldOut) {
		t.Error("the number of demonstrations changed the pairs")
	}
}

func TestConfigFaultsComeTogether(t *testing.T) {
	if faults := Defaults().Validate(); len(faults) > 0 {
		t.Fatal(faults)
	}
	bad := Config{Demonstrations: 0, Pairs: 10, HeldOut: maxRecords + 1, Tau: math.NaN(), ExactCopies: 6, NearCopies: 6}
	keys := map[string]bool{}
	for _, err := range bad.Validate() {
		var f *run.Fault
		if !errors.As(err, &f) {
			t.Fatalf("%v is not a fault with a key", err)
		}
		keys[f.FaultKey()] = true
	}
	for _, key := range []string{"demonstrations", "held_out", "tau", "near_copies"} {
		if !keys[key] {
			t.Errorf("no fault for %s among %v", key, keys)
		}
	}
	if _, err := Generate(bad); err == nil {
		t.Error("a bad config drew a world")
	}
}

func TestCommonest(t *testing.T) {
	got := Commonest([]string{"b", "a", "c", "b", "a"}, 2)
	if !reflect.DeepEqual(got, []string{"a", "b"}) {
		t.Errorf("got %v", got)
	}
}
