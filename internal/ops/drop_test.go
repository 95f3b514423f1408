package ops

import (
	"testing"

	"plumb/internal/batch"
	"plumb/internal/kernels"

	"github.com/nlpodyssey/spago/nn"
)

// TestTwoPassesOnOneTape: each pass goes backward with its own masks.
func TestTwoPassesOnOneTape(t *testing.T) {
	l := &Linear{W: Weight{Param: NewParam(6, 8, nil)}}
	grads := func(together bool) []float32 {
		x, lora := param(1, 6, 8), &LoRA{A: param(4, 3, 8), B: param(5, 6, 3), Scale: 0.7, Dropout: 0.4, ID: 3}
		tape := NewTape()
		tape.Train = true
		for key := range uint64(2) {
			b := &batch.Tree{}
			b.Add(-1, make([]int32, 6), key)
			tape.Drop = Dropout{Seed: 1}.For(b)
			y := l.Apply(tape, leaf(tape, x), lora)
			tape.Seed(y, random(9, 36))
			if !together {
				tape.Run()
			}
		}
		tape.Run()
		var out []float32
		for _, p := range []*nn.Param{x, lora.A, lora.B} {
			out = append(out, Grad(p)...)
		}
		return out
	}
	one, two := grads(true), grads(false)
	for i := range one {
		if d := one[i] - two[i]; d > 1e-4 || d < -1e-4 {
			t.Fatalf("element %d: %v together, %v apart", i, one[i], two[i])
		}
	}
}

func TestNothingToCompute(t *testing.T) {
	w := &Weight{Param: param(2, 40, 4)}
	tape := NewTape()
	y := LogProbs(tape, leaf(tape, param(1, 3, 4)), w, nil, 1, nil, kernels.F32)
	tape.Backward(y, nil)
	b := &batch.Tree{}
	b.Add(b.Add(-1, nil, 0), nil, 0)
	h := Heads{Q: 2, KV: 1, Dim: 2, Scale: 1}
	if out := F32(Attention(nil, Const(nil, 0, 4), Const(nil, 0, 2), Const(nil, 0, 2), Plan(b), h, nil)); len(out) != 0 {
		t.Fatalf("%d values of an empty tree", len(out))
	}
}
