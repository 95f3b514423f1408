package adapters

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"plumb/internal/ops"
	"plumb/internal/run"
	"plumb/internal/weights"

	"github.com/nlpodyssey/spago/nn"
)

const (
	configFile  = "adapter_config.json"
	weightsFile = "adapter_model.safetensors"
	prefix      = "base_model.model."
)

// Save writes a in PEFT's format: adapter_config.json (sorted keys) and adapter_model.safetensors (f32).
// The files appear whole or not at all, and equal adapters give equal bytes.
func (a *Adapter) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var named []weights.Named
	for _, p := range a.Params() {
		named = append(named, weights.Named{Name: prefix + p.Name, Shape: p.Shape(), F32: ops.F32(p.Param)})
	}
	if err := weights.WriteSafetensors(filepath.Join(dir, weightsFile), named, map[string]string{"format": "pt"}); err != nil {
		return err
	}
	cfg, err := json.MarshalIndent(a.peftConfig(), "", "  ")
	if err != nil {
		return err
	}
	return run.WriteFile(filepath.Join(dir, configFile), func(w io.Writer) error {
		_, err := w.Write(append(cfg, '\n'))
		return err
	})
}

// peftConfig returns what PEFT's LoraConfig reads; encoding/json sorts a map's keys.
func (a *Adapter) peftConfig() map[string]any {
	fanInFanOut := false
	var paths []string
	for _, l := range a.Layers {
		paths = append(paths, l.Shape.Path)
		fanInFanOut = fanInFanOut || l.Shape.FanInFanOut
	}
	slices.Sort(paths)
	m := map[string]any{
		"peft_type": "LORA", "task_type": a.TaskType, "base_model_name_or_path": a.BaseModel,
		"r": a.Config.R, "lora_alpha": number(a.Config.Alpha), "lora_dropout": a.Config.Dropout,
		"use_rslora": a.Config.RSLoRA, "target_modules": paths, "bias": "none",
		"fan_in_fan_out": fanInFanOut, "inference_mode": true, "init_lora_weights": true,
		"modules_to_save": nil, "layers_to_transform": nil, "layers_pattern": nil, "revision": nil,
		"use_dora": false, "rank_pattern": orEmpty(a.Config.RankPattern), "alpha_pattern": orEmpty(a.Config.AlphaPattern),
	}
	if a.Head != nil {
		m["modules_to_save"] = []string{"classifier", "score"}
	}
	return m
}

func orEmpty[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

// number keeps an integer an integer, as PEFT's own files do.
func number(f float64) any {
	if f == float64(int64(f)) {
		return int64(f)
	}
	return f
}

// fileConfig is what Load reads of adapter_config.json. Any key that would change the forward pass
// and is not understood is refused by name.
type fileConfig struct {
	PeftType     string             `json:"peft_type"`
	TaskType     string             `json:"task_type"`
	BaseModel    string             `json:"base_model_name_or_path"`
	R            int                `json:"r"`
	Alpha        float64            `json:"lora_alpha"`
	Dropout      float64            `json:"lora_dropout"`
	RSLoRA       bool               `json:"use_rslora"`
	RankPattern  map[string]int     `json:"rank_pattern"`
	AlphaPattern map[string]float64 `json:"alpha_pattern"`
	Bias         string             `json:"bias"`
	sel          selection
	head         bool // modules_to_save names a score head
}

// refused names the keys of other kinds of adapter that Plumb does not compute; each must be absent, null,
// false or empty.
var refused = []string{
	"use_dora", "use_qalora", "lora_bias", "layer_replication", "target_parameters",
	"trainable_token_indices", "alora_invocation_tokens", "use_bdlora", "arrow_config",
	"velora_config", "monteclora_config",
}

// Load reads an adapter that PEFT or Save wrote for a model with the given linear layers. Every tensor
// of the file must belong to one of them, with matching shapes.
func Load(dir string, linears []Shape) (*Adapter, error) {
	fc, err := readConfig(filepath.Join(dir, configFile))
	if err != nil {
		return nil, err
	}
	a := &Adapter{BaseModel: fc.BaseModel, TaskType: fc.TaskType, Config: Config{
		R: fc.R, Alpha: fc.Alpha, Dropout: fc.Dropout, RSLoRA: fc.RSLoRA,
		RankPattern: fc.RankPattern, AlphaPattern: fc.AlphaPattern,
	}}
	set, err := weights.Open(filepath.Join(dir, weightsFile))
	if err != nil {
		return nil, err
	}
	defer set.Close()
	for _, s := range linears {
		an, bn := prefix+s.Path+".lora_A.weight", prefix+s.Path+".lora_B.weight"
		has := set.Has(an) || set.Has(bn)
		if !fc.sel.any && has != fc.sel.wants(s.Path) {
			if has {
				return nil, fmt.Errorf("%s: it holds %s, which %s does not target", dir, an, configFile)
			}
			return nil, fmt.Errorf("%s: %s targets %s, and %s is missing", dir, configFile, s.Path, an)
		}
		if !has {
			continue
		}
		wa, err := take(set, an, -1, s.In)
		if err != nil {
			return nil, err
		}
		r := wa.Shape()[0]
		if want := lookup(fc.RankPattern, s.Path, fc.R); r != want {
			return nil, fmt.Errorf("%s: %s has rank %d, %s says %d", dir, an, r, configFile, want)
		}
		wb, err := take(set, bn, s.Out, r)
		if err != nil {
			return nil, err
		}
		a.Config.Targets = append(a.Config.Targets, s.Path)
		a.add(s, wa, wb)
	}
	for _, name := range []string{"score.weight", "classifier.weight"} {
		if set.Has(prefix + name) {
			if a.Head != nil {
				return nil, fmt.Errorf("%s: it holds both score.weight and classifier.weight", dir)
			}
			if a.Head, err = take(set, prefix+name, 1, -1); err != nil {
				return nil, err
			}
		}
	}
	if a.Head == nil && fc.head {
		return nil, fmt.Errorf("%s: modules_to_save names a score head, and %sscore.weight is missing", dir, prefix)
	}
	if a.Head != nil && len(linears) > 0 { // a model's first linear layer reads the hidden state, as a head does
		if n := a.Head.Shape()[1]; n != linears[0].In {
			return nil, fmt.Errorf("%s: the score head has %d columns, the base model's hidden size is %d", dir, n, linears[0].In)
		}
	}
	if err := set.Unused(); err != nil {
		return nil, fmt.Errorf("%s: not for this base model: %w", dir, err)
	}
	if len(a.Layers) == 0 && a.Head == nil {
		return nil, fmt.Errorf("%s: no LoRA tensor for any of the %d linear layers of the base model", dir, len(linears))
	}
	return a, nil
}

// take reads a (rows, cols) tensor as a parameter; -1 takes what the file has.
func take(set *weights.Set, name string, rows, cols int) (*nn.Param, error) {
	shape := set.Shape(name)
	want := []int{rows, cols}
	if len(shape) == 2 {
		for i, d := range want {
			if d < 0 {
				want[i] = shape[i]
			}
		}
	}
	t, err := set.Take(name, want...)
	if err != nil {
		return nil, err
	}
	data := t.Float32()
	for i, v := range data {
		if v-v != 0 { // NaN or infinite
			return nil, fmt.Errorf("%s: element %d is %v", name, i, v)
		}
	}
	return ops.NewParam(want[0], want[1], data), nil
}

func readConfig(path string) (*fileConfig, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(src, &raw); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	fc := &fileConfig{R: 8, Alpha: 8, Bias: "none"}
	if err := json.Unmarshal(src, fc); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var errs []error
	if fc.PeftType != "LORA" {
		errs = append(errs, fmt.Errorf("%s: peft_type %q: only LORA is supported", path, fc.PeftType))
	}
	if fc.Bias != "none" {
		errs = append(errs, fmt.Errorf("%s: bias %q: only none is supported", path, fc.Bias))
	}
	if fc.R < 1 {
		errs = append(errs, fmt.Errorf("%s: r %d: want at least 1", path, fc.R))
	}
	for _, k := range refused {
		switch v := string(bytes.TrimSpace(raw[k])); v {
		case "", "null", "false", "[]", "{}":
		default:
			errs = append(errs, fmt.Errorf("%s: %s %s is not supported", path, k, v))
		}
	}
	var extra []string
	if v := raw["modules_to_save"]; v != nil {
		if err := json.Unmarshal(v, &extra); err != nil {
			errs = append(errs, fmt.Errorf("%s: modules_to_save: %w", path, err))
		}
	}
	for _, m := range extra {
		if m != "score" && m != "classifier" {
			errs = append(errs, fmt.Errorf("%s: modules_to_save %q: only a score head is supported", path, m))
		}
	}
	fc.head = len(extra) > 0
	if fc.sel, err = readSelection(raw); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", path, err))
	}
	if fc.Dropout < 0 || fc.Dropout >= 1 {
		errs = append(errs, fmt.Errorf("%s: lora_dropout %v: want a probability in [0, 1)", path, fc.Dropout))
	}
	var init string // these initialisations change the base's own weights
	if json.Unmarshal(raw["init_lora_weights"], &init) == nil {
		for _, k := range []string{"pissa", "olora", "loftq", "corda", "lora_ga"} {
			if strings.HasPrefix(strings.ToLower(init), k) {
				errs = append(errs, fmt.Errorf("%s: init_lora_weights %q changes the base model's weights: convert the adapter to plain LoRA", path, init))
			}
		}
	}
	for _, k := range slices.Concat(slices.Sorted(maps.Keys(fc.RankPattern)), slices.Sorted(maps.Keys(fc.AlphaPattern))) {
		if _, err := pattern(k); err != nil {
			errs = append(errs, fmt.Errorf("%s: rank_pattern or alpha_pattern %q: %w", path, k, err))
		}
	}
	return fc, errors.Join(errs...)
}

// Merge adds s·B·A to row i of the layer's weight W (out, in): W += s·B·A. row has length in.
func (l *Layer) Merge(row []float32, i int) {
	a, b := ops.F32(l.LoRA.A), ops.F32(l.LoRA.B)
	r := l.LoRA.A.Shape()[0]
	in := len(row)
	for k := range r {
		f := l.LoRA.Scale * b[i*r+k]
		for j, v := range a[k*in : (k+1)*in] {
			row[j] += f * v
		}
	}
}

// Layer returns the update of the layer at path, nil if there is none.
func (a *Adapter) Layer(path string) *Layer {
	if a == nil {
		return nil
	}
	return a.index[strings.TrimSuffix(path, ".weight")]
}
