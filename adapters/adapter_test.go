package adapters

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"plumb/internal/ops"
)

var linears = []Shape{
	{Path: "model.layers.0.self_attn.q_proj", In: 4, Out: 6},
	{Path: "model.layers.0.mlp.up_proj", In: 4, Out: 8},
}

func made(t *testing.T, cfg Config) *Adapter {
	t.Helper()
	a, err := New(cfg, linears, 7)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestScaleByHand(t *testing.T) {
	q, up := linears[0].Path, linears[1].Path
	for _, c := range []struct {
		name  string
		cfg   Config
		q, up float32
	}{
		{"alpha/r", Config{R: 4, Alpha: 8, Targets: []string{AllLinear}}, 2, 2},
		{"alpha/sqrt r", Config{R: 4, Alpha: 8, RSLoRA: true, Targets: []string{AllLinear}}, 4, 4},
		{"patterns", Config{R: 4, Alpha: 8, Targets: []string{AllLinear}, RankPattern: map[string]int{"q_proj": 2},
			AlphaPattern: map[string]float64{`mlp\..*`: 1}}, 4, 0.25},
	} {
		a := made(t, c.cfg)
		if got := a.LoRA(q).Scale; got != c.q {
			t.Errorf("%s: q_proj %v, want %v", c.name, got, c.q)
		}
		if got := a.LoRA(up).Scale; got != c.up {
			t.Errorf("%s: up_proj %v, want %v", c.name, got, c.up)
		}
	}
}

func TestNewStartsAsTheBase(t *testing.T) {
	a := made(t, Defaults())
	l := a.LoRA(linears[0].Path)
	bound, largest := 1/math.Sqrt(4), 0.0
	for _, x := range ops.F32(l.A) {
		largest = max(largest, math.Abs(float64(x)))
	}
	if largest > bound || largest < bound/2 {
		t.Errorf("the largest of A is %v, want it below %v and near it", largest, bound)
	}
	for _, x := range ops.F32(l.B) {
		if x != 0 {
			t.Fatalf("B holds %v", x)
		}
	}
	cfg := Defaults()
	cfg.Targets = []string{"q_proj"}
	alone := made(t, cfg)
	if len(alone.Layers) != 1 || !slices.Equal(ops.F32(alone.Layers[0].LoRA.A), ops.F32(l.A)) {
		t.Error("a layer's first numbers depend on what else is adapted")
	}
	if _, err := New(Config{R: 1, Alpha: 1, Targets: []string{"q_proj", "gate"}}, linears, 7); err == nil || !strings.Contains(err.Error(), `"gate"`) {
		t.Errorf("a target that is not there: %v", err)
	}
	for _, bad := range []Config{{RankPattern: map[string]int{"q_proj": 2, "gate": 3}}, {AlphaPattern: map[string]float64{"q_proj": 2, "gate": 3}}} {
		bad.R, bad.Alpha, bad.Targets = 1, 1, []string{AllLinear}
		if _, err := New(bad, linears, 7); err == nil || !strings.Contains(err.Error(), `_pattern: "gate" matches none`) {
			t.Errorf("a pattern of nothing: %v", err)
		}
	}
}

// W += s B A with s = 2, A = (1 2 3 4), row 1 of B = (5): 10 20 30 40 more.
func TestMergeByHand(t *testing.T) {
	a := made(t, Config{R: 1, Alpha: 2, Targets: []string{"q_proj"}})
	l := a.Layer(linears[0].Path + ".weight")
	copy(ops.F32(l.LoRA.A), []float32{1, 2, 3, 4})
	ops.F32(l.LoRA.B)[1] = 5
	for i, want := range [][]float32{{1, 1, 1, 1}, {11, 21, 31, 41}} {
		row := []float32{1, 1, 1, 1}
		if l.Merge(row, i); !slices.Equal(row, want) {
			t.Errorf("row %d: %v, want %v", i, row, want)
		}
	}
}

func TestFilesComeBack(t *testing.T) {
	cfg := Config{R: 2, Alpha: 3, RSLoRA: true, Targets: []string{AllLinear}, RankPattern: map[string]int{"up_proj": 1}}
	a := made(t, cfg).WithHead(4, 0.5, 7)
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	if err := a.Save(one); err != nil {
		t.Fatal(err)
	}
	back, err := Load(one, linears)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range back.Params() {
		if want := a.Params()[i]; p.Name != want.Name || !slices.Equal(ops.F32(p.Param), ops.F32(want.Param)) {
			t.Errorf("%s differs from %s", p.Name, want.Name)
		}
	}
	for _, s := range linears {
		if back.LoRA(s.Path).Scale != a.LoRA(s.Path).Scale {
			t.Errorf("%s has another scale", s.Path)
		}
	}
	if back.TaskType != "SEQ_CLS" || back.Head == nil {
		t.Errorf("task type %s, head %v", back.TaskType, back.Head)
	}
	if err := back.Save(two); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{configFile, weightsFile} {
		x, _ := os.ReadFile(filepath.Join(one, name))
		y, err := os.ReadFile(filepath.Join(two, name))
		if err != nil || !bytes.Equal(x, y) {
			t.Errorf("%s is not the same after a round (%v)", name, err)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, c := range []struct {
		want   string
		change func(map[string]any)
	}{
		{"use_dora", func(m map[string]any) { m["use_dora"] = true }},
		{"peft_type", func(m map[string]any) { m["peft_type"] = "IA3" }},
		{"bias", func(m map[string]any) { m["bias"] = "all" }},
		{"modules_to_save", func(m map[string]any) { m["modules_to_save"] = []string{"embed_tokens"} }},
		{"has rank 8", func(m map[string]any) { m["r"] = 4 }},
	} {
		dir := t.TempDir()
		if err := made(t, Defaults()).Save(dir); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, configFile)
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(src, &m); err != nil {
			t.Fatal(err)
		}
		c.change(m)
		if src, err = json.Marshal(m); err == nil {
			err = os.WriteFile(path, src, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir, linears); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.want, err)
		}
	}
	dir := t.TempDir()
	if err := made(t, Defaults()).Save(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir, linears[:1]); err == nil || !strings.Contains(err.Error(), "not for this base model") {
		t.Errorf("a tensor of a layer that the base has not: %v", err)
	}
}
