package adapters

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plumb/internal/ops"
)

// edited saves an adapter for the first layer only and returns its folder with keys of the configuration replaced.
func edited(t *testing.T, a *Adapter, keys string) string {
	t.Helper()
	dir := t.TempDir()
	if err := a.Save(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, configFile)
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	for _, s := range []string{string(src), keys} {
		if err := json.Unmarshal([]byte(s), &m); err != nil {
			t.Fatal(err)
		}
	}
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestLoadSelectsAsPEFT: a file must hold the tensors of exactly the layers that its configuration selects.
func TestLoadSelectsAsPEFT(t *testing.T) {
	shapes := []Shape{
		{Path: "model.layers.0.self_attn.q_proj", In: 4, Out: 6}, {Path: "model.layers.0.mlp.up_proj", In: 4, Out: 8},
		{Path: "model.layers.1.self_attn.q_proj", In: 4, Out: 6},
	}
	a, err := New(Config{R: 2, Alpha: 4, Targets: []string{shapes[0].Path}}, shapes, 1)
	if err != nil {
		t.Fatal(err)
	}
	for keys, want := range map[string]string{
		`{}`:                      "",
		`{"target_modules":null}`: "",
		`{"target_modules":"model\\.layers\\.0\\..*q_proj"}`:                              "",
		`{"target_modules":"(?!x).*q_proj"}`:                                              "", // Go has no lookahead: the tensors decide
		`{"target_modules":["q_proj"]}`:                                                   "model.layers.1.self_attn.q_proj",
		`{"target_modules":"all-linear"}`:                                                 "up_proj",
		`{"target_modules":["up_proj"]}`:                                                  "does not target",
		`{"target_modules":".*layers\\.1.*"}`:                                             "does not target",
		`{"target_modules":["q_proj"],"layers_to_transform":[0]}`:                         "",
		`{"target_modules":["q_proj"],"layers_to_transform":0,"layers_pattern":"layers"}`: "",
		`{"target_modules":["q_proj"],"layers_to_transform":[1]}`:                         "does not target",
		`{"target_modules":["q_proj"],"exclude_modules":["layers.1.self_attn.q_proj"]}`:   "",
		`{"target_modules":["q_proj"],"exclude_modules":".*\\.1\\..*"}`:                   "",
		`{"target_modules":["q_proj"],"exclude_modules":["q_proj"]}`:                      "does not target",
		`{"alpha_pattern":{"(?!x)q":3}}`:                                                  "alpha_pattern",
		`{"init_lora_weights":"pissa_niter_4"}`:                                           "pissa_niter_4",
		`{"init_lora_weights":"gaussian"}`:                                                "",
		`{"lora_dropout":1.5}`:                                                            "lora_dropout",
		`{"modules_to_save":["score"]}`:                                                   "score.weight is missing",
	} {
		_, err := Load(edited(t, a, keys), shapes)
		if want == "" && err != nil {
			t.Errorf("%s: %v", keys, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want an error with %q", keys, err, want)
		}
	}
}

func TestLoadRefusesTensors(t *testing.T) {
	a := made(t, Defaults())
	ops.F32(a.Layers[1].LoRA.B)[3] = float32(math.NaN())
	if _, err := Load(edited(t, a, `{}`), linears); err == nil || !strings.Contains(err.Error(), "element 3 is NaN") {
		t.Errorf("NaN: %v", err)
	}
	if _, err := Load(edited(t, made(t, Defaults()).WithHead(5, 1, 1), `{}`), linears); err == nil || !strings.Contains(err.Error(), "hidden size is 4") {
		t.Errorf("a head for another hidden size: %v", err)
	}
	dir := edited(t, made(t, Defaults()), `{}`)
	if err := os.Truncate(filepath.Join(dir, weightsFile), 700); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir, linears); err == nil {
		t.Error("a truncated file is no error")
	}
}

func TestCloneSharesNothing(t *testing.T) {
	cfg := Defaults()
	cfg.RankPattern, cfg.AlphaPattern = map[string]int{"q_proj": 2}, map[string]float64{"q_proj": 3}
	a := made(t, cfg).WithHead(4, 1, 1)
	c := a.Clone()
	c.Config.Targets[0], c.Config.RankPattern["q_proj"], c.Config.AlphaPattern["q_proj"] = "x", 9, 9
	if a.Config.Targets[0] != AllLinear || a.Config.RankPattern["q_proj"] != 2 || a.Config.AlphaPattern["q_proj"] != 3 {
		t.Errorf("the clone shares its configuration: %+v", a.Config)
	}
	for i, p := range c.Params() {
		before := ops.F32(a.Params()[i].Param)[0]
		ops.F32(p.Param)[0] = before + 1
		if ops.F32(a.Params()[i].Param)[0] != before {
			t.Errorf("the clone shares %s", p.Name)
		}
	}
}

func TestValidateRefusesNaN(t *testing.T) {
	nan := math.NaN()
	for _, c := range []Config{{R: 1, Alpha: nan}, {R: 1, Alpha: math.Inf(1)}, {R: 1, Alpha: 1, Dropout: nan}, {R: 1, Alpha: 1, Dropout: -1}} {
		c.Targets = []string{AllLinear}
		if len(c.Validate()) != 1 {
			t.Errorf("%+v: %v", c, c.Validate())
		}
	}
	patterns := Config{R: 1, Alpha: 1, Targets: []string{AllLinear}, AlphaPattern: map[string]float64{"a": nan, "b": 0, "c": -1, "d": 2}}
	if f := patterns.Validate(); len(f) != 3 {
		t.Error(f)
	}
}
