package dpo

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"plumb/internal/encode"
	"plumb/internal/model"
	"plumb/internal/oracletest"
	"plumb/internal/testpaths"
)

func TestRefCache(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reference.cache")
	open := func(id byte) *refCache {
		c, err := openRefCache(path, [32]byte{id})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	pair := encode.Pair{Prompt: []int32{1, 2}, Chosen: []int32{3}, Rejected: []int32{4, 5}}
	c := open(1)
	kc, kr := c.keys(pair, 1)
	if a, b := c.keys(encode.Pair{Prompt: []int32{1}, Chosen: []int32{2, 3}, Rejected: []int32{4, 5}}, 1); a == kc || b == kr {
		t.Error("the start of the completion is not part of the key")
	}
	if a, _ := c.keys(pair, 0.5); a == kc {
		t.Error("ld_alpha is not part of the key")
	}
	if a, _ := open(2).keys(pair, 1); a == kc {
		t.Error("the reference is not part of the key")
	}
	c.put(kc, -1.25)
	c.put(kr, math.Inf(-1))
	c.put(kc, 99) // known already
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	// A write that was cut short.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("half an entry, and then the process died")
	f.Close()
	c = open(1)
	if len(c.values) != 2 || c.values[kc] != -1.25 || !math.IsInf(c.values[kr], -1) {
		t.Errorf("read back %v", c.values)
	}
	other := cacheKey{7}
	c.put(other, 3)
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	if c = open(1); len(c.values) != 3 || c.values[other] != 3 {
		t.Errorf("after the repair %v", c.values)
	}
	c.close()
}

// A kept reference value is used: with a wrong one in the cache the loss changes.
func TestRefCacheIsUsed(t *testing.T) {
	base := oracletest.Base(t, testpaths.Oracle(t, "llama", "model"), model.Options{})
	enc := &encode.Encoder{Tok: base.Tokenizer, MaxLength: 64}
	set, err := encode.All(pairsOf(1), enc.Pair)
	if err != nil {
		t.Fatal(err)
	}
	cfg := smallConfig()
	tr := &trainer{cfg: cfg, objective: cfg.objective(), base: base.Model}
	if tr.cache, err = openRefCache(filepath.Join(t.TempDir(), "cache"), [32]byte{}); err != nil {
		t.Fatal(err)
	}
	defer tr.cache.close()
	kc, kr := tr.cache.keys(set.Items[0], 1)
	tr.cache.put(kc, -10)
	tr.cache.put(kr, -20)
	vals := make([]Pair, 1)
	tr.references(newPart(set.Items, []int{0}), set.Items, vals)
	if vals[0].RefChosen != -10 || vals[0].RefRejected != -20 {
		t.Errorf("%+v", vals[0])
	}
}

// The reference's passes over the next batch give what its own give, and what is known already is not computed again.
func TestComing(t *testing.T) {
	base := oracletest.Base(t, testpaths.Oracle(t, "llama", "model"), model.Options{})
	set, err := encode.All(pairsOf(9), (&encode.Encoder{Tok: base.Tokenizer, MaxLength: 64}).Pair)
	if err != nil {
		t.Fatal(err)
	}
	batch, next := []int{0, 1, 2}, []int{3, 4, 5, 6, 7}
	ahead, alone := trainerOf(t, base, smallConfig()), trainerOf(t, base, smallConfig())
	kc, kr := ahead.cache.keys(set.Items[4], 1)
	ahead.cache.put(kc, -10)
	ahead.cache.put(kr, -20)
	for _, p := range ahead.coming(set.Items, nil, next) {
		if slices.Contains(p.indices, 4) {
			t.Errorf("%v again", p.indices)
		}
	}
	ahead.step(set.Items, batch, next, 0, 1)
	entries := ahead.cache.fresh.Bytes()
	entries = entries[len(entries)-8*entrySize:]
	for _, i := range []int{3, 5, 6, 7} { // in the order of the batch, whatever the passes were
		for _, k := range keysOf(ahead, set.Items[i]) {
			if cacheKey(entries[:16]) != k {
				t.Errorf("the file has something else where pair %d should be", i)
			}
			entries = entries[entrySize:]
		}
	}
	alone.step(set.Items, batch, nil, 0, 1)
	if len(alone.cache.values) != 2*len(batch) {
		t.Errorf("%d sums without a next batch", len(alone.cache.values))
	}
	alone.step(set.Items, next, nil, 0, 1)
	if len(ahead.cache.values) != len(alone.cache.values) {
		t.Errorf("%d sums, want %d", len(ahead.cache.values), len(alone.cache.values))
	}
	for k, v := range alone.cache.values {
		if got := ahead.cache.values[k]; got != v && k != kc && k != kr {
			t.Errorf("%v ahead, %v in its own batch", got, v)
		}
	}
	if left := ahead.coming(set.Items, nil, append(next, 8)); len(left) != 1 || len(left[0].indices) != 1 || left[0].indices[0] != 8 {
		t.Errorf("still to do: %+v", left)
	}
}

func keysOf(t *trainer, p encode.Pair) []cacheKey {
	c, r := t.cache.keys(p, 1)
	return []cacheKey{c, r}
}
