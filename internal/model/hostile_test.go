package model

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"plumb/internal/batch"
	"plumb/internal/ops"
	"plumb/internal/weights"
)

func TestParseConfigRefuses(t *testing.T) {
	llama := `{"model_type":"llama","hidden_size":8,"num_hidden_layers":%d,"num_attention_heads":2,"intermediate_size":8,"vocab_size":9%s}`
	for _, c := range []struct{ src, want string }{
		{fmt.Sprintf(llama, 1, ""), ""},
		{fmt.Sprintf(llama, 1<<24, ""), "num_hidden_layers"},
		{fmt.Sprintf(llama, 1, `,"rope_theta":0`), "rope_theta"},
		{fmt.Sprintf(llama, 1, `,"rms_norm_eps":-1`), "eps"},
		{`{"model_type":"gpt2","n_embd":10,"n_layer":1,"n_head":4,"vocab_size":9}`, "n_head"},
	} {
		_, err := ParseConfig([]byte(c.src))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want an error with %q", c.src, err, c.want)
		}
	}
}

// TestMissingVectorTakesNoMemory: a shape that no file could hold is an error, not an allocation.
func TestMissingVectorTakesNoMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := weights.WriteSafetensors(path, []weights.Named{{Name: "x", Shape: []int{1}, F32: []float32{1}}}, nil); err != nil {
		t.Fatal(err)
	}
	set, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	s := Options{}.source(set)
	c := Config{Type: "llama", Hidden: 1 << 24, Layers: 1, Heads: 1 << 24, KVHeads: 1, HeadDim: 1 << 24, Intermediate: 2, Vocab: 3,
		MaxPositions: 4, RopeTheta: 1, Tied: true, AttnBias: true}
	build(c, s)
	if err := s.finish(); err == nil {
		t.Fatal("no error")
	}
}

func TestGenerateRefusesNaN(t *testing.T) {
	m, a := tiny(t)
	prompt := []GenPrompt{{Tokens: []int32{3}}}
	for _, opt := range []GenOptions{{Temperature: math.NaN()}, {Temperature: 1e-300}, {Temperature: math.Inf(1)}, {TopP: math.NaN()}} {
		opt.MaxNew = 2
		if _, err := m.Generate(context.Background(), prompt, nil, opt); err == nil {
			t.Errorf("%+v: no error", opt)
		}
	}
	ops.F32(a.Layers[0].LoRA.B)[0] = float32(math.NaN())
	for _, temp := range []float64{0, 1} {
		if _, err := m.Generate(context.Background(), prompt, a, GenOptions{MaxNew: 2, Temperature: temp}); err == nil || !strings.Contains(err.Error(), "not finite") {
			t.Errorf("NaN at temperature %v: %v", temp, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	opt := GenOptions{MaxNew: 100, OnToken: func(int, int, int32) { cancel() }}
	if _, err := m.Generate(ctx, prompt, nil, opt); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}

// TestShapesOfAttention covers head ratios, a head size that is not hidden/heads, windows and prompts of one
// token: sampling must equal training bit for bit, also with several users of one model at a time.
func TestShapesOfAttention(t *testing.T) {
	for _, s := range []struct{ heads, kv, dim, window int }{{4, 4, 8, 0}, {4, 1, 16, 0}, {6, 3, 4, 3}, {1, 1, 2, 1}} {
		c := tinyConfig()
		c.Heads, c.KVHeads, c.HeadDim, c.Window = s.heads, s.kv, s.dim, s.window
		m, err := NewRandom(c, 1)
		if err != nil {
			t.Fatal(err)
		}
		a := nonZero(t, m, 2)
		var wait sync.WaitGroup
		for g := range 3 {
			wait.Go(func() {
				prompt := tokens(uint64(g), 1+30*g)
				out, err := m.Generate(context.Background(), []GenPrompt{{Tokens: prompt, N: 2}}, a, GenOptions{MaxNew: 9, Temperature: 1})
				if err != nil {
					t.Error(err)
					return
				}
				b := &batch.Tree{}
				root := b.Add(-1, prompt, 0)
				var targets []batch.Target
				var want []float32
				for _, c := range out[0] {
					_, ts := b.AddCompletion(root, c.Tokens, 0)
					targets, want = append(targets, ts...), append(want, c.LogProbs...)
				}
				if got := ops.F32(m.LogProbs(nil, m.Forward(nil, b, a), targets, 1, nil)); !slices.Equal(got, want) {
					t.Errorf("%+v, prompt of %d: sampling and training differ", s, len(prompt))
				}
			})
		}
		wait.Wait()
	}
}
