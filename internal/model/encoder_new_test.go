package model

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os/exec"
	"testing"

	"plumb/internal/ops"
	"plumb/internal/testpaths"
)

var smallShape = EncoderConfig{Hidden: 24, Layers: 2, Heads: 2, Intermediate: 32, MaxPositions: 96, InitRange: 0.3, Restart: true}

var smallPairs = [][2]string{{"one text", "one test"}, {"", "caf\u00e9 \u4f60"}, {"A much longer first text than the second.", "b"}, {"same", "same"}}

func newSmall(t *testing.T, seed uint64) *Encoder {
	t.Helper()
	e, err := NewRandomEncoder(smallShape, seed)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func scores(t *testing.T, e *Encoder) []float64 {
	t.Helper()
	s, err := e.Score(context.Background(), smallPairs, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNewEncoderIsSavedAndRead(t *testing.T) {
	e := newSmall(t, 1)
	want := scores(t, e)
	dir := t.TempDir()
	if err := e.Save(dir); err != nil {
		t.Fatal(err)
	}
	back, err := OpenEncoder(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !back.Config.Restart || back.MaxLen != 96 {
		t.Errorf("read back with restart %v and %d tokens", back.Config.Restart, back.MaxLen)
	}
	for i, s := range scores(t, back) {
		if math.Abs(s-want[i]) > 1e-6 {
			t.Errorf("pair %d: %v as read back, %v before", i, s, want[i])
		}
	}
	if other := scores(t, newSmall(t, 2)); other[0] == want[0] {
		t.Error("two seeds gave one encoder")
	}
	if again := scores(t, newSmall(t, 1)); again[0] != want[0] {
		t.Error("one seed gave two encoders")
	}
	if _, err := NewRandomEncoder(EncoderConfig{Hidden: 25, Layers: 1, Heads: 2, Intermediate: 8, MaxPositions: 8}, 1); err == nil {
		t.Error("25 numbers were dealt to two heads")
	}
}

func TestSecondTextRestartsPositions(t *testing.T) {
	b := newSmall(t, 1).PairTree([][2]string{{"abc", "de"}, {"f", "gh"}})
	want := []int32{0, 1, 2, 3, 4, 1, 2, 3, 0, 1, 2, 1, 2, 3} // [CLS] a b c [SEP] d e [SEP], [CLS] f [SEP] g h [SEP]
	if fmt.Sprint(b.Pos) != fmt.Sprint(want) {
		t.Errorf("positions %v, want %v", b.Pos, want)
	}
}

// TestNewEncoderGradient holds the gradients of all weights against differences of the logits' sum.
func TestNewEncoderGradient(t *testing.T) {
	e := newSmall(t, 3)
	sum := func() float64 {
		total := 0.0
		for _, s := range scores(t, e) {
			total += s
		}
		return total
	}
	tree := e.PairTree(smallPairs)
	tape := ops.NewTape()
	logits := e.Logits(tape, tree, e.Forward(tape, tree, nil), nil)
	tape.Backward(logits, []float32{1, 1, 1, 1})
	params := e.Params()
	if want := 3 + 2 + 2*16 + 4; len(params) != want {
		t.Errorf("%d parameters, want %d", len(params), want)
	}
	for _, p := range params {
		data, grad := ops.F32(p.Param), ops.Grad(p.Param)
		best := 0
		for i, g := range grad {
			if math.Abs(float64(g)) > math.Abs(float64(grad[best])) {
				best = i
			}
		}
		const h = 2e-2
		old := data[best]
		data[best] = old + h
		up := sum()
		data[best] = old - h
		down := sum()
		data[best] = old
		if n := (up - down) / (2 * h); math.Abs(n-float64(grad[best])) > 0.02*math.Abs(n)+2e-3 {
			t.Errorf("%s[%d]: gradient %v, differences give %v", p.Name, best, grad[best], n)
		}
	}
}

const readInTransformers = `
import sys, json, torch
from transformers import BertForSequenceClassification, AutoTokenizer
dir, pairs = sys.argv[1], json.loads(sys.argv[2])
model, tok = BertForSequenceClassification.from_pretrained(dir).eval(), AutoTokenizer.from_pretrained(dir)
out = []
for a, b in pairs:
    enc = tok(a, b, return_tensors="pt")
    ids = enc["input_ids"]
    types = torch.zeros_like(ids)
    first = ids[0].tolist().index(tok.sep_token_id) + 1
    types[0, first:] = 1
    n = ids.shape[1]
    pos = torch.tensor([list(range(first)) + list(range(1, n - first + 1))])
    with torch.no_grad():
        out.append(model(input_ids=ids, token_type_ids=types, position_ids=pos).logits.item())
print(json.dumps(out))
`

func TestTransformersReadsNewEncoder(t *testing.T) {
	python := testpaths.Python(t)
	e := newSmall(t, 4)
	dir := t.TempDir()
	if err := e.Save(dir); err != nil {
		t.Fatal(err)
	}
	arg, err := json.Marshal(smallPairs)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", readInTransformers, dir, string(arg))
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, err.(*exec.ExitError).Stderr)
	}
	var got []float64
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	for i, want := range scores(t, e) {
		if math.Abs(got[i]-want) > 1e-4 {
			t.Errorf("pair %d: transformers gives %v, we %v", i, got[i], want)
		}
	}
}
