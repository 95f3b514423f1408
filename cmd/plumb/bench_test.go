package main

import (
	"encoding/json"
	"math"
	"testing"
)

// TestBench: every figure of a model is there, and the shares follow from the rates.
func TestBench(t *testing.T) {
	dir := t.TempDir()
	b := otherVocabulary(t, dir)
	var rep benchReport
	out := mustPlumb(t, "bench", "--model", b.Path, "--compute", "f32", "--rows", "24", "--seconds", "0.001", "--json")
	if err := json.Unmarshal([]byte(out), &rep); err != nil {
		t.Fatal(err)
	}
	m := rep.Model
	for name, v := range map[string]float64{"train": m.Train, "forward": m.Forward, "16": m.Generate16, "1": m.Generate1,
		"read": m.GigabytesRead, "bandwidth": m.Bandwidth, "peak": m.PeakGFLOPS} {
		if !(v > 0) || math.IsInf(v, 0) {
			t.Errorf("%s is %v", name, v)
		}
	}
	// the same tokens: a training pass does the products of a forward pass twice
	if r := m.TrainGFLOPS / m.Train / (m.ForwardGFLOPS / m.Forward); math.Abs(r-2) > 1e-9 {
		t.Errorf("a trained token takes %v times the operations of a read one, want 2", r)
	}
	if r := m.GigabytesRead / m.Generate1; math.Abs(r-float64(b.Model.Bytes())/1e9) > 1e-9 {
		t.Errorf("a token reads %v GB, the model has %d bytes", r, b.Model.Bytes())
	}
	mustPlumb(t, "bench", "--model", b.Path, "--rows", "8", "--seconds", "0.001")
}
