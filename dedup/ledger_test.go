package dedup

import (
	"bytes"
	"context"
	"reflect"
	"strings"
	"testing"

	"plumb/datasets"
)

// TestEveryRemovalHasItsEvidence runs all stages against a test set, with policies that drop labels, and holds each row of the ledger to
// what it claims: the stage, its score, the record that stays, and a passage that both have.
func TestEveryRemovalHasItsEvidence(t *testing.T) {
	in := plantedSet(21, 1200)
	in = append(in, contradictory()...)
	in = append(in, pairOf("zh1", "请告诉我今天天气怎么样我想出门散步", "今天天气很好适合出门散步记得带上水和帽子", "不知道"),
		pairOf("zh2", "请告诉我今天天气怎么样我想出门散步", "今天天气很好适合出门散步记得带上水和帽子吧", "不知道"))
	tests := []datasets.Record{in[3], in[70]}
	cfg := Defaults()
	cfg.Preference.Flipped, cfg.Preference.Cycles, cfg.Preference.Ties, cfg.Preference.NearTies = "majority", "majority", "drop", "drop"
	cfg.MinHash.Threshold, cfg.Vectors.Threshold = 0.95, 0.7
	cfg.Verifier.Confirm = nil
	kept, ledger, rep := runAll(t, cfg, in, Tools{Against: Records(tests)})
	stays := map[string]bool{}
	for _, r := range kept {
		stays[r.ID] = true
	}
	stages := map[string]int{}
	removed := 0
	_, err := ReadLedger(bytes.NewReader(ledger), func(r *LedgerRow) error {
		if r.Action != ActionRemove {
			return nil
		}
		removed++
		stages[r.Stage]++
		own := in[r.Ref.Index]
		if !reflect.DeepEqual(*r.Record, own) || r.Ref.ID != own.ID || r.Ref.Row != own.Source.Row || r.Ref.File != own.Source.File {
			t.Fatalf("row %+v is not record %d as it was read", r, r.Ref.Index)
		}
		if stays[own.ID] || r.Score <= 0 || r.Score > 1 {
			t.Errorf("%s of %s: stays %v, score %v", r.Stage, own.ID, stays[own.ID], r.Score)
		}
		if r.Kept == nil {
			if strings.HasPrefix(r.Stage, "preference:") { // a tie or a circle has no record that stays for it
				return nil
			}
			t.Fatalf("%s of %s names no record that stays", r.Stage, own.ID)
		}
		other, key := in[r.Kept.Index], cfg.Key
		switch {
		case strings.HasPrefix(r.Stage, "against:"):
			other, key = tests[r.Kept.Index], cfg.Against.Key
		case !stays[other.ID]:
			t.Errorf("%s of %s: %s was kept for it, but is not in the output", r.Stage, own.ID, other.ID)
		}
		if r.Kept.ID != other.ID {
			t.Errorf("%s of %s: kept %+v, want %s", r.Stage, own.ID, r.Kept, other.ID)
		}
		mine, theirs := recordTexts(&own), recordTexts(&other)
		text, with := key.joined(&mine), key.joined(&theirs)
		if r.Span == nil || r.Span[0] < 0 || r.Span[0] >= r.Span[1] || r.Span[1] > len(text) {
			t.Errorf("%s of %s: span %v of %d bytes", r.Stage, own.ID, r.Span, len(text))
			return nil
		}
		// What begins and what ends the span is a passage of the other text too: its first and last word are.
		words := strings.Fields(Normalise(text[r.Span[0]:r.Span[1]]))
		for _, w := range []string{words[0], words[len(words)-1]} {
			if !strings.Contains(Normalise(with), w) && !strings.HasPrefix(own.ID, "zh") {
				t.Errorf("%s of %s: %q of its span is not in the record kept for it", r.Stage, own.ID, w)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if int64(removed) != rep.Removed {
		t.Errorf("%d rows for %d removals", removed, rep.Removed)
	}
	t.Logf("%d removals: %v", removed, stages)
	for _, s := range []string{"exact", "normalised", "minhash", "vectors", "against:exact", "preference:flipped", "preference:tie", "preference:near_tie", "preference:cycle"} {
		if stages[s] == 0 {
			t.Errorf("nothing was removed by %s: the test shows little", s)
		}
	}
	var back sink
	if err := Undo(context.Background(), &recordReader{recs: kept}, bytes.NewReader(ledger), &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back.records, in) {
		t.Error("what comes back is not what was read")
	}
}

func TestSharedSpan(t *testing.T) {
	for _, c := range []struct{ own, other, want string }{
		{"all of it", "all of it", "all of it"},
		{"Well, the quick brown fox jumps.", "A THE quick, brown fox jumped", "the quick brown fox"},
		{"one two", "two three", "two"},
		{"abcdefg", "xxcdefyy", "cdef"},
		{"今天天气很好适合出门", "昨天天气很好不适合出门", "天天气很好适合出门"},
		{"nothing here", "to see", ""},
		{"", "x", ""},
	} {
		got := ""
		if s := sharedSpan(c.own, c.other); s != nil {
			got = c.own[s[0]:s[1]]
		}
		if got != c.want {
			t.Errorf("%q with %q: %q, want %q", c.own, c.other, got, c.want)
		}
	}
}
