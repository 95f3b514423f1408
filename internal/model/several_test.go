package model

import (
	"slices"
	"sync"
	"testing"

	"plumb/adapters"
	"plumb/internal/batch"
	"plumb/internal/ops"
	"plumb/internal/testpaths"
)

// TestSeveralAdaptersOnOneBase: adapters are values. Whatever order they are used in, one after the other or at the same time, each
// gives the bits that it gives alone, and so does the bare base.
func TestSeveralAdaptersOnOneBase(t *testing.T) {
	b, err := Open(testpaths.Oracle(t, "llama", "model"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	list := []*adapters.Adapter{nil}
	for _, name := range []string{"lora", "second", "rslora", "pattern"} {
		a, err := adapters.Load(testpaths.Oracle(t, "llama", "adapters", name), b.Model.Linears())
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, a)
	}
	ids := []int32{5, 6, 7, 200, 9, 30, 31, 5}
	logits := func(a *adapters.Adapter) []float32 {
		tr := &batch.Tree{}
		tr.Add(-1, ids, 0)
		return b.Model.Logits(b.Model.Forward(nil, tr, a), all(len(ids)))
	}
	var want [][]float32
	for i, a := range list {
		want = append(want, slices.Clone(logits(a)))
		for j := range i {
			if slices.Equal(want[i], want[j]) {
				t.Fatalf("adapters %d and %d give the same logits: the test compares nothing", i, j)
			}
		}
	}
	// A pass that trains one of them leaves the others as they are.
	list[1].SetTrainable(true)
	tr, tape := &batch.Tree{}, ops.NewTape()
	tr.Add(-1, ids, 0)
	h := b.Model.Forward(tape, tr, list[1])
	tape.Backward(h, slices.Repeat([]float32{1}, len(ops.F32(h))))
	for i := range list {
		at := len(list) - 1 - i
		if !slices.Equal(logits(list[at]), want[at]) {
			t.Errorf("adapter %d gives other logits after the others", at)
		}
	}
	var wait sync.WaitGroup
	got := make([][]float32, 4*len(list))
	for k := range got {
		wait.Add(1)
		go func() {
			defer wait.Done()
			got[k] = slices.Clone(logits(list[k%len(list)]))
		}()
	}
	wait.Wait()
	for k, g := range got {
		if !slices.Equal(g, want[k%len(list)]) {
			t.Errorf("adapter %d gives other logits beside the others", k%len(list))
		}
	}
}
