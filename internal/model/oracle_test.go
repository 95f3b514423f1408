package model

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"plumb/adapters"
	"plumb/internal/batch"
	"plumb/internal/ops"
	"plumb/internal/testpaths"
	"plumb/internal/weights"
)

// The goldens are described in testdata/oracle/README.md.

type greedyCase struct {
	Prompt       []int32 `json:"prompt"`
	Continuation []int32 `json:"continuation"`
}

type oracleCase struct {
	Sequences [][]int32    `json:"sequences"`
	Greedy    []greedyCase `json:"greedy"`
	Types     [][]int32    `json:"token_type_ids"`
}

func load(t *testing.T, into any, elem ...string) {
	t.Helper()
	b, err := os.ReadFile(testpaths.Oracle(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

func golden(t *testing.T, name string, elem ...string) []float32 {
	t.Helper()
	s, err := weights.Open(testpaths.Oracle(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	x, err := s.Take(name)
	if err != nil {
		t.Fatal(err)
	}
	return x.Float32()
}

// near returns the largest difference.
func near(t *testing.T, what string, got, want []float32, tol float64) float64 {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	worst := 0.0
	for i := range got {
		d := math.Abs(float64(got[i]) - float64(want[i]))
		if !(d <= worst) { // NaN counts as the worst
			worst = d
		}
	}
	if !(worst <= tol) {
		t.Errorf("%s: differs by %.2g, allowed %.2g", what, worst, tol)
	}
	return worst
}

func all(n int) []int {
	rows := make([]int, n)
	for i := range rows {
		rows[i] = i
	}
	return rows
}

func decoders() []string { return []string{"llama", "llama3", "qwen2", "gpt2"} }

func TestLogitsEqualTransformers(t *testing.T) {
	for _, name := range decoders() {
		t.Run(name, func(t *testing.T) {
			var c oracleCase
			load(t, &c, name, "case.json")
			b, err := Open(testpaths.Oracle(t, name, "model"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			worst := 0.0
			for i, ids := range c.Sequences {
				tr := &batch.Tree{}
				tr.Add(-1, ids, 0)
				h := b.Model.Forward(nil, tr, nil)
				near(t, fmt.Sprintf("hidden %d", i), ops.F32(h), golden(t, fmt.Sprintf("hidden.%d", i), name, "logits.safetensors"), 1e-4)
				worst = max(worst, near(t, fmt.Sprintf("logits %d", i), b.Model.Logits(h, all(len(ids))), golden(t, fmt.Sprintf("logits.%d", i), name, "logits.safetensors"), 1e-4))
			}
			checkGreedy(t, b.Model, nil, c.Greedy)
			t.Logf("largest difference of a logit %.2g; greedy tokens equal: %d", worst, greedyTokens(c.Greedy))
		})
	}
}

func greedyTokens(cases []greedyCase) (n int) {
	for _, g := range cases {
		n += len(g.Continuation)
	}
	return n
}

func checkGreedy(t *testing.T, m *Model, a *adapters.Adapter, cases []greedyCase) {
	t.Helper()
	for i, g := range cases {
		out, err := m.Generate(context.Background(), []GenPrompt{{Tokens: g.Prompt}}, a, GenOptions{MaxNew: len(g.Continuation)})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(out[0][0].Tokens, g.Continuation) {
			t.Errorf("greedy %d: %v, transformers %v", i, out[0][0].Tokens, g.Continuation)
		}
	}
}

func TestAdaptersEqualPEFT(t *testing.T) {
	for _, name := range decoders() {
		b, err := Open(testpaths.Oracle(t, name, "model"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		var c oracleCase
		load(t, &c, name, "case.json")
		var greedy map[string][]greedyCase
		load(t, &greedy, name, "adapters.json")
		dirs, err := os.ReadDir(testpaths.Oracle(t, name, "adapters"))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range dirs {
			t.Run(name+"/"+d.Name(), func(t *testing.T) {
				dir := testpaths.Oracle(t, name, "adapters", d.Name())
				a, err := adapters.Load(dir, b.Model.Linears())
				if err != nil {
					t.Fatal(err)
				}
				worst := compareAdapter(t, b.Model, a, c, name, d.Name())
				checkGreedy(t, b.Model, a, greedy[d.Name()])
				// What we write again, we read the same.
				again := t.TempDir()
				if err := a.Save(again); err != nil {
					t.Fatal(err)
				}
				back, err := adapters.Load(again, b.Model.Linears())
				if err != nil {
					t.Fatal(err)
				}
				worst = max(worst, compareAdapter(t, b.Model, back, c, name, d.Name()))
				t.Logf("largest difference of a logit or score %.2g; greedy tokens equal: %d", worst, greedyTokens(greedy[d.Name()]))
			})
		}
	}
}

func compareAdapter(t *testing.T, m *Model, a *adapters.Adapter, c oracleCase, name, adapter string) (worst float64) {
	t.Helper()
	set, err := weights.Open(testpaths.Oracle(t, name, "adapters.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	found := 0
	for i, ids := range c.Sequences {
		key := fmt.Sprintf("%s.logits.%d", adapter, i)
		if !set.Has(key) {
			continue
		}
		found++
		want := golden(t, key, name, "adapters.safetensors")
		tr := &batch.Tree{}
		tr.Add(-1, ids, 0)
		h := m.Forward(nil, tr, a)
		if a.Head != nil {
			x := ops.Gather(nil, h, []int{len(ids) - 1})
			worst = max(worst, near(t, key, ops.F32(ops.Project(nil, x, a.Head, nil)), want, 1e-4))
			continue
		}
		worst = max(worst, near(t, key, m.Logits(h, all(len(ids))), want, 1e-4))
	}
	if found == 0 {
		t.Fatalf("no golden for adapter %s", adapter)
	}
	return worst
}

func TestEncodersEqualTransformers(t *testing.T) {
	for _, name := range []string{"bert", "roberta"} {
		t.Run(name, func(t *testing.T) {
			var c oracleCase
			load(t, &c, name, "case.json")
			e, err := loadEncoder(testpaths.Oracle(t, name, "model"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			tr := &batch.Tree{}
			for i, ids := range c.Sequences {
				tr.Add(-1, ids, 0)
				tr.Types = append(tr.Types, c.Types[i]...)
			}
			h := e.Forward(nil, tr, nil)
			x := ops.Gather(nil, h, Firsts(tr))
			score := ops.F32(e.Out.Apply(nil, ops.Tanh(nil, e.Dense.Apply(nil, x, nil)), nil))
			d, worst := e.Config.Hidden, 0.0
			for i, s := range tr.Segs {
				file := []string{name, "outputs.safetensors"}
				near(t, "hidden", ops.F32(h)[s.Start*d:(s.Start+s.Len)*d], golden(t, fmt.Sprintf("hidden.%d", i), file...), 1e-4)
				near(t, "mean", e.poolRows(s, ops.F32(h)), golden(t, fmt.Sprintf("mean.%d", i), file...), 1e-4)
				worst = max(worst, near(t, "score", score[i:i+1], golden(t, fmt.Sprintf("score.%d", i), file...), 1e-4))
			}
			t.Logf("largest difference of a score %.2g", worst)
		})
	}
}

func TestSmolLM2EqualsTransformers(t *testing.T) {
	b, err := Open(testpaths.SmolLM2(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Text     string       `json:"text"`
		Sequence []int32      `json:"sequence"`
		Rows     []int        `json:"rows"`
		Columns  []int        `json:"columns"`
		Greedy   []greedyCase `json:"greedy"`
	}
	load(t, &c, "smollm2", "case.json")
	if got := b.Tokenizer.Encode(c.Text, false); !slices.Equal(got, c.Sequence) {
		t.Errorf("ids %v, want %v", got, c.Sequence)
	}
	tr := &batch.Tree{}
	tr.Add(-1, c.Sequence, 0)
	l := b.Model.Logits(b.Model.Forward(nil, tr, nil), c.Rows)
	want := golden(t, "logits", "smollm2", "logits.safetensors")
	lse := golden(t, "logsumexp", "smollm2", "logits.safetensors")
	v, worst := b.Model.Config.Vocab, 0.0
	for i := range c.Rows {
		row := l[i*v : (i+1)*v]
		got := make([]float32, len(c.Columns))
		for j, col := range c.Columns {
			got[j] = row[col]
		}
		worst = max(worst, near(t, fmt.Sprintf("row %d", c.Rows[i]), got, want[i*len(got):(i+1)*len(got)], 1e-3))
		near(t, "logsumexp", []float32{float32(ops.LogSumExpRow(row))}, lse[i:i+1], 1e-3)
	}
	t.Logf("largest difference of a logit %.2g, over %d rows", worst, len(c.Rows))
	if testing.Short() {
		return
	}
	checkGreedy(t, b.Model, nil, c.Greedy)
	t.Logf("greedy tokens equal: %d", greedyTokens(c.Greedy))
}

func TestOpenRefuses(t *testing.T) {
	src := testpaths.Oracle(t, "llama", "model")
	cfg, err := os.ReadFile(filepath.Join(src, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	edit := func(key string, v any) []byte {
		var m map[string]any
		if err := json.Unmarshal(cfg, &m); err != nil {
			t.Fatal(err)
		}
		if v == nil {
			delete(m, key)
		} else {
			m[key] = v
		}
		b, _ := json.Marshal(m)
		return b
	}
	for name, c := range map[string]struct {
		key string
		v   any
	}{
		"unknown architecture": {"model_type", "mamba"},
		"no architecture":      {"model_type", nil},
		"too many layers":      {"num_hidden_layers", 3},
		"a layer too few":      {"num_hidden_layers", 1},
		"wrong width":          {"intermediate_size", 40},
		"not a number":         {"hidden_size", "wide"},
		"zero heads":           {"num_attention_heads", 0},
		"negative":             {"vocab_size", -5},
		"huge":                 {"hidden_size", 1 << 40},
		"heads do not divide":  {"num_key_value_heads", 3},
		"activation":           {"hidden_act", "relu"},
		"rope":                 {"rope_parameters", map[string]any{"rope_type": "yarn", "factor": 2}},
		"untied without head":  {"tie_word_embeddings", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(src)); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "config.json"), edit(c.key, c.v), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(dir, Options{}); err == nil {
				t.Fatal("no error")
			} else {
				t.Log(err)
			}
		})
	}
	if _, err := Open(filepath.Join(t.TempDir(), "nowhere"), Options{}); err == nil {
		t.Fatal("a missing folder is no error")
	}
}
