package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"plumb/internal/testpaths"
)

// spoilt copies the goldens' Llama-style model into a folder and lets spoil change it.
func spoilt(t *testing.T, spoil func(t *testing.T, dir string)) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	if err := os.CopyFS(dir, os.DirFS(testpaths.Oracle(t, "llama", "model"))); err != nil {
		t.Fatal(err)
	}
	spoil(t, dir)
	return dir
}

// setJSON sets a key of a JSON file below dir.
func setJSON(file, key string, v any) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		path := filepath.Join(dir, file)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		m[key] = v
		if b, err = json.Marshal(m); err != nil {
			t.Fatal(err)
		}
		put(t, path, string(b))
	}
}

// header rewrites the header of model.safetensors.
func header(edit func(map[string]any)) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		path := filepath.Join(dir, "model.safetensors")
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		n := binary.LittleEndian.Uint64(b)
		var m map[string]any
		if err := json.Unmarshal(b[8:8+n], &m); err != nil {
			t.Fatal(err)
		}
		edit(m)
		h, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		put(t, path, string(bytes.Join([][]byte{binary.LittleEndian.AppendUint64(nil, uint64(len(h))), h, b[8+n:]}, nil)))
	}
}

// cutFile shortens a file to a share of it.
func cutFile(file string, share float64) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		path := filepath.Join(dir, file)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		put(t, path, string(b[:int(share*float64(len(b)))]))
	}
}

// wantRefused holds that a command ends with a code and says what is wrong in lines, not with a panic.
func wantRefused(t *testing.T, args []string, code int, wants ...string) {
	t.Helper()
	out, errs, got := plumb(t, args...)
	for _, want := range wants {
		if !strings.Contains(errs, want) {
			t.Errorf("plumb %s does not say %q:\n%s", strings.Join(args, " "), want, errs)
		}
	}
	if got != code || strings.Contains(errs, "goroutine ") || out != "" {
		t.Errorf("plumb %s: exit code %d, want %d, stdout %q\n%s", strings.Join(args, " "), got, code, out, errs)
	}
}

const key = "model.layers.1.mlp.up_proj.weight"

// TestBadModelsAreRefused opens models in every way in which they are broken, by the command line.
func TestBadModelsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*testing.T, string)
		want  string
	}{
		"missing tensor": {header(func(m map[string]any) { m["renamed"] = m[key]; delete(m, key) }), key},
		"extra tensor": {header(func(m map[string]any) {
			m["model.layers.2.mlp.up_proj.weight"] = map[string]any{"dtype": "F32", "shape": []int{0}, "data_offsets": []int{0, 0}}
		}), "model.layers.2.mlp.up_proj.weight"},
		"wrong shape": {header(func(m map[string]any) {
			m[key].(map[string]any)["shape"] = []int{32, 64}
		}), key},
		"offsets past the end": {header(func(m map[string]any) {
			m[key].(map[string]any)["data_offsets"] = []int{1 << 40, 1<<40 + 8192}
		}), "model.safetensors"},
		"truncated data":   {cutFile("model.safetensors", 0.9), "model.safetensors"},
		"truncated header": {cutFile("model.safetensors", 0.001), "model.safetensors"},
		"hostile header": {func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "model.safetensors"), "\xff\xff\xff\xff\xff\xff\xff\x7f{}")
		}, "model.safetensors"},
		"unknown architecture":   {setJSON("config.json", "model_type", "mamba"), `"mamba"`},
		"wrong width":            {setJSON("config.json", "intermediate_size", 48), "mlp"},
		"a layer too many":       {setJSON("config.json", "num_hidden_layers", 3), "model.layers.2."},
		"a layer too few":        {setJSON("config.json", "num_hidden_layers", 1), "model.layers.1."},
		"unsupported rope":       {setJSON("config.json", "rope_parameters", map[string]any{"rope_type": "yarn", "factor": 2}), "yarn"},
		"unsupported activation": {setJSON("config.json", "hidden_act", "relu"), "relu"},
		"unsupported tokenizer":  {setJSON("tokenizer.json", "normalizer", map[string]any{"type": "Precompiled"}), `type "Precompiled"`},
		"unsupported vocabulary": {setJSON("tokenizer.json", "model", map[string]any{"type": "Unigram"}), `type "Unigram"`},
		"no tokenizer":           {func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "tokenizer.json")) }, "tokenizer.json"},
		"no weights":             {func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "model.safetensors")) }, "safetensors"},
		"config is not JSON":     {cutFile("config.json", 0.5), "config.json"},
	} {
		t.Run(name, func(t *testing.T) {
			wantRefused(t, []string{"generate", "--model", spoilt(t, c.spoil), "--prompt", "x"}, exitFailed, c.want)
		})
	}
	gguf, err := os.ReadFile(testpaths.Oracle(t, "gguf", "llama.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"cut.gguf": gguf[:len(gguf)*9/10], "head.gguf": gguf[:40], "hostile.gguf": []byte("GGUF\x03\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\x3f\x00\x00\x00\x00\x00\x00\x00\x00")} {
		wantRefused(t, []string{"generate", "--model", put(t, filepath.Join(t.TempDir(), name), string(b)), "--prompt", "x"}, exitFailed, name, "truncated")
	}
}

// TestBadDataIsRefused trains on pairs of which none is left.
func TestBadDataIsRefused(t *testing.T) {
	model := testpaths.Oracle(t, "llama", "model")
	pair := func(prompt, chosen, rejected string) string {
		return fmt.Sprintf(`{"prompt": %q, "chosen": %q, "rejected": %q}`+"\n", prompt, chosen, rejected)
	}
	for name, c := range map[string]struct{ data, want string }{
		"empty":    {"", "holds no records"},
		"too long": {strings.Repeat(pair("p", strings.Repeat("long ", 40), strings.Repeat("far too long ", 40)), 2), "max_length 16"},
		"equal":    {pair("p", "same", "same"), "chosen equals rejected"},
	} {
		data := put(t, filepath.Join(t.TempDir(), "pairs.jsonl"), c.data)
		for _, kind := range []string{"reward", "dpo"} {
			if kind == "dpo" && name == "too long" {
				continue // dpo cuts answers, and drops a pair only when its prompt leaves no room
			}
			config := put(t, filepath.Join(t.TempDir(), kind+".yaml"), fmt.Sprintf("model: %s\ndata: %s\nmax_length: 16\nlora: {r: 2}\n", model, data))
			out := filepath.Join(t.TempDir(), "out")
			wantRefused(t, []string{kind, config, "--out", out}, exitFailed, c.want)
			if _, err := os.Stat(filepath.Join(out, "adapter")); err == nil {
				t.Errorf("%s on %s data wrote an adapter", kind, name)
			}
		}
	}
	data := put(t, filepath.Join(t.TempDir(), "pairs.jsonl"), pair(strings.Repeat("a long prompt ", 9), "a", "b"))
	config := put(t, filepath.Join(t.TempDir(), "dpo.yaml"), fmt.Sprintf("model: %s\ndata: %s\nmax_length: 16\n", model, data))
	wantRefused(t, []string{"dpo", config, "--out", filepath.Join(t.TempDir(), "out")}, exitFailed, "fills max_length 16")
}

// TestNaNStopsTheRun drives a training until its loss is not finite: the step and the last good checkpoint are named, and what was
// saved before stays as it was.
func TestNaNStopsTheRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	args := tiny(dir, "--set", "dpo.save_steps=2", "--set", "dpo.max_grad_norm=0", "--set", "dpo.lora.dropout=0")
	mustPlumb(t, append(args, "--max-steps", "2", "--only", "synth")...)
	for _, stage := range []string{"verifier", "dedup", "sft"} {
		mustPlumb(t, append(args, "--only", stage)...)
	}
	// The rate rises from step to step: fine at first, out of range later.
	bad := append(args, "--set", "dpo.learning_rate=1e38", "--set", "dpo.lr_scheduler=constant", "--set", "dpo.save_steps=1", "--only", "dpo")
	_, errs, code := plumb(t, bad...)
	said := regexp.MustCompile(`step (\d+): .*(NaN|Inf|not finite).*`).FindStringSubmatch(errs)
	if code != exitFailed || said == nil || !strings.Contains(errs, "step-0000000") {
		t.Fatalf("exit code %d:\n%s", code, errs)
	}
	if _, err := os.Stat(filepath.Join(dir, "dpo", "adapter")); err == nil {
		t.Error("an adapter was written")
	}
	saved := func() map[string]string {
		out := map[string]string{}
		names, _ := filepath.Glob(filepath.Join(dir, "dpo", "checkpoints", "*", "*"))
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				continue // a folder
			}
			out[name] = string(b)
		}
		return out
	}
	before := saved()
	if len(before) == 0 {
		t.Fatal("no checkpoint to keep")
	}
	if _, _, code := plumb(t, bad...); code != exitFailed {
		t.Errorf("a second run ends with %d", code)
	}
	after := saved()
	for name, b := range before {
		if after[name] != b {
			t.Errorf("%s was overwritten", name)
		}
	}
}

// TestNaNStopsEveryTrainer: the others stop likewise, PPO in the middle of an update's epochs.
func TestNaNStopsEveryTrainer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	args := tiny(dir)
	for _, stage := range []string{"synth", "verifier", "dedup", "sft", "reward"} {
		mustPlumb(t, append(args, "--only", stage)...)
	}
	for _, stage := range []string{"ppo", "reward", "sft"} { // what a stage reads is still the good one's
		bad := append(args, "--only", stage)
		for _, set := range []string{"learning_rate=1e38", "lr_scheduler=constant", "max_grad_norm=0", "save_steps=1", "max_steps=4", "eval_steps=1"} {
			bad = append(bad, "--set", stage+"."+set)
		}
		_, errs, code := plumb(t, bad...)
		if code != exitFailed || !regexp.MustCompile(`step \d+: (the )?(loss|norm|gradient|evaluation).* (is|are) (NaN|.?Inf).*nothing overwritten.*checkpoint`).MatchString(errs) {
			t.Errorf("%s: exit code %d\n%s", stage, code, errs)
		}
		for _, made := range []string{"adapter", "model"} {
			if _, err := os.Stat(filepath.Join(dir, stage, made)); err == nil {
				t.Errorf("%s made its %s", stage, made)
			}
		}
	}
}

// TestAllUnknownKeysAtOnce: every fault of an experiment in one answer, each with its line and the nearest key.
func TestAllUnknownKeysAtOnce(t *testing.T) {
	file := put(t, filepath.Join(t.TempDir(), "x.yaml"), "name: x\nsead: 1\nstages:\n  synth: {pears: 10}\n  dedup:\n  sft: {mode: scratch, learning_rte: 1}\n  dpo:\n    beta: 0.1\n    betta: 2\n    lora: {rnak: 4}\n")
	wantRefused(t, []string{"run", file, "--out", t.TempDir()}, exitUsage,
		"x.yaml:2: sead", "seed", "x.yaml:4: stages.synth.pears", "the nearest is pairs", "x.yaml:6: stages.sft.learning_rte", "the nearest is learning_rate",
		"x.yaml:9: stages.dpo.betta", "the nearest is beta", "x.yaml:10: stages.dpo.lora.rnak", "5 faults")
}

// TestDoctorSaysEachFaultOnce: a model and a file that are not there are named where they are asked for, and nowhere else.
func TestDoctorSaysEachFaultOnce(t *testing.T) {
	out, _, code := plumb(t, "doctor", "hh-smollm2", "--set", "model=nowhere", "--set", "data.files=[absent.jsonl]")
	if code != exitUsage || strings.Count(out, "absent.jsonl, want a file") != 1 || strings.Contains(out, "stat ") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	for _, stage := range []string{"reward", "dpo", "ppo", "compare"} {
		if strings.Count(out, "stages."+stage+".model: nowhere, want") != 1 {
			t.Errorf("%s is not told once:\n%s", stage, out)
		}
	}
}
