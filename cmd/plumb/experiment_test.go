package main

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"plumb/configs"
	"plumb/internal/kernels"
)

func load(t *testing.T, src string, sets ...string) (*experiment, error) {
	t.Helper()
	return loadExperiment("x.yaml", []byte(src), stageSets(sets), filepath.Join(t.TempDir(), "out"), 0)
}

// reads is what a stage reads, as "role<stage" or "role<path".
func reads(p *plan) string {
	var list []string
	for _, in := range p.inputs {
		from := in.Stage
		if from == "" {
			from = in.Path
		}
		list = append(list, in.Role+"<"+from)
	}
	return strings.Join(list, " ")
}

func TestInputsDefaultToEarlierStages(t *testing.T) {
	x, err := load(t, `
name: x
stages:
  synth:
  dedup:
  sft: {mode: scratch}
  lora: {kind: sft}
  reward:
  dpo:
  bare: {kind: dpo, start: none}
  ppo:
  from-dpo: {kind: ppo, start: dpo, critic: reward}
  control: {kind: ppo, reward: gold}
  compare:
`)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"synth":    "",
		"dedup":    "data<synth tests<synth",
		"sft":      "data<synth eval<synth",
		"lora":     "model<sft data<synth eval<synth",
		"reward":   "model<sft data<dedup eval<synth",
		"dpo":      "model<sft data<dedup eval<synth start<lora",
		"bare":     "model<sft data<dedup eval<synth",
		"ppo":      "model<sft data<dedup eval<synth start<lora reward<reward reward model<sft",
		"from-dpo": "model<sft data<dedup eval<synth start<dpo reward<reward reward model<sft critic<reward",
		"control":  "model<sft data<dedup eval<synth start<lora",
		"compare":  "model<sft data<synth policy<lora policy<dpo policy<bare policy<ppo policy<from-dpo policy<control reward<reward reward model<sft",
	}
	for _, p := range x.plans {
		if got := reads(p); got != want[p.name] {
			t.Errorf("%s reads\n%s, want\n%s", p.name, got, want[p.name])
		}
	}
	if len(x.plans) != len(want) {
		t.Errorf("%d stages, want %d", len(x.plans), len(want))
	}
}

// An adapter goes on from one of its own base only, and what a stage would not use is a fault.
func TestFaultsOfStarts(t *testing.T) {
	_, err := load(t, `
name: x
stages:
  synth:
  first: {kind: sft, mode: scratch, model: somewhere}
  lora: {kind: sft}
  second: {kind: sft, mode: full, start: lora}
  reward:
  dpo:
  bare: {kind: dpo, start: none}
  same: {kind: dpo, model: first, start: lora}
  ppo: {reward: reward, reward_url: "http://127.0.0.1:1", start: none}
`)
	if err == nil {
		t.Fatal("no fault was found")
	}
	for _, line := range []string{
		"x.yaml:5: stages.first.model: somewhere, want nothing: mode scratch makes a new model",
		"x.yaml:7: stages.second.start: lora, want nothing: mode full trains no adapter",
		"x.yaml:9: stages.dpo.start: lora, want an adapter on this stage's base",
		"x.yaml:12: stages.ppo.reward: reward, want nothing, where there is a reward_command or reward_url",
	} {
		if !strings.Contains(err.Error(), line) {
			t.Errorf("missing: %s", line)
		}
	}
	if n := strings.Count(err.Error(), "x.yaml:"); n != 4 {
		t.Errorf("%d faults, want 4", n)
	}
	if t.Failed() {
		t.Logf("got\n%v", err)
	}
}

func TestOneRewardModelForTwoBases(t *testing.T) {
	x, err := load(t, `
name: x
stages:
  synth:
  llama: {kind: sft, mode: scratch}
  other: {kind: sft, mode: scratch, new_model: {layers: 2}}
  reward: {model: llama}
  ppo-llama: {kind: ppo, model: llama, reward: reward}
  ppo-other: {kind: ppo, reward: reward}
`)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := reads(x.plans[5]), "model<other data<synth eval<synth reward<reward reward model<llama"; got != want {
		t.Errorf("ppo-other reads %s, want %s", got, want)
	}
	if _, err := load(t, "name: x\nstages:\n  synth:\n  a: {kind: sft, mode: scratch}\n  b: {kind: sft, mode: scratch}\n  reward: {model: a}\n  ppo: {critic: reward}\n"); err == nil ||
		!strings.Contains(err.Error(), "x.yaml:7: stages.ppo.critic: reward, want an adapter on this stage's own base") {
		t.Errorf("a critic of another base: %v", err)
	}
}

func TestFaultsOfAllStagesAtOnce(t *testing.T) {
	_, err := load(t, `name: Bad Name
compute: f16
stages:
  ppo:
  synth: {pairs: 1.5}
  Loud: {kind: synth}
  dance:
  dpo:
    beta: 0
    data: nowhere.jsonl
    lora: {r: 0}
  compare: {policies: [synth], gold: maybe}
`, "dpo.betta=1")
	want := `x.yaml:1: name: "Bad Name", want lower-case letters, digits, - and _: it names a folder
x.yaml:2: compute: "f16", want auto, f32, bf16
x.yaml:4: stages.ppo.model: not set, want a path, or an earlier stage that makes model
x.yaml:4: stages.ppo.data: not set, want a path, or an earlier stage that makes pairs
x.yaml:4: stages.ppo.reward: not set, want a path, or an earlier stage that makes reward
x.yaml:5: stages.synth.pairs: found 1.5, want an integer
x.yaml:6: stages.Loud: a stage name is lower-case letters, digits, - and _: it names a folder
x.yaml:7: stages.dance: no stage kind "dance"
x.yaml:9: stages.dpo.beta: 0, want a number above 0
x.yaml:10: stages.dpo.data: nowhere.jsonl, want the path of a file or the name of an earlier stage
x.yaml:11: stages.dpo.lora.r: 0: want a rank of at least 1
x.yaml:12: stages.compare.gold: maybe, want auto, on or off
x.yaml:12: stages.compare.policies: synth, want a stage that makes adapter, synth makes none
stages.dpo.betta: unknown key; the nearest is beta`
	if err == nil {
		t.Fatal("no fault was found")
	}
	for _, line := range strings.Split(want, "\n") {
		if !strings.Contains(err.Error(), line) {
			t.Errorf("missing: %s", line)
		}
	}
	if t.Failed() {
		t.Logf("got\n%v", err)
	}
}

func TestEmbeddedExperimentsAreGood(t *testing.T) {
	names, err := configs.FS.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range names {
		src, err := configs.FS.ReadFile(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		sets := []string(nil)
		for _, needs := range strings.Split(string(src), "\n") {
			if rest, ok := strings.CutPrefix(needs, "# Test: "); ok { // stands for files that only the user has
				sets = append(sets, strings.ReplaceAll(rest, "DIR", t.TempDir()))
			}
		}
		_, err = loadExperiment(e.Name(), src, stageSets(sets), "", 0)
		if faults := (*configs.Faults)(nil); errors.As(err, &faults) {
			for _, f := range faults.List {
				if !strings.HasPrefix(f.Msg, "runs/") { // what an earlier run leaves is not here
					t.Error(f)
				}
			}
		}
		for _, line := range []string{"# Needs:", "# Run:   plumb run configs/" + e.Name()} {
			if !strings.Contains(string(src), line) {
				t.Errorf("%s: its head has no line %q", e.Name(), line)
			}
		}
	}
}

func TestResolvedStagesLoadAgain(t *testing.T) {
	for _, kind := range kindNames() {
		x := &experiment{Name: "x", Seed: 5, Compute: "f32"}
		made := kinds[kind](x)
		if d, ok := made.(*dataStage); ok {
			d.Files = []string{put(t, filepath.Join(t.TempDir(), "a.jsonl"), "")}
		}
		first, err := configs.Resolve(made)
		if err != nil {
			t.Fatal(err)
		}
		back := kinds[kind](&experiment{Compute: "bf16"})
		node, err := configs.Parse(kind, first, nil)
		if err == nil {
			err = node.Decode(back)
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", kind, err, first)
			continue
		}
		second, err := configs.Resolve(back)
		if err != nil {
			t.Fatal(err)
		}
		if string(first) != string(second) {
			t.Errorf("%s: resolved again\n%s\nfirst\n%s", kind, second, first)
		}
		if seed := "seed: 5"; !strings.Contains(string(first), seed) {
			t.Errorf("%s does not take the experiment's seed", kind)
		}
	}
}

func TestDryRunSaysWhatWouldRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	small := []string{"run", "tiny", "--out", dir, "--set", "synth.pairs=20", "--json"}
	states := func(args ...string) map[string]string {
		t.Helper()
		var rep runReport
		if err := json.Unmarshal([]byte(mustPlumb(t, append(small, args...)...)), &rep); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, s := range rep.Stages {
			got[s.Stage] = s.State
		}
		return got
	}
	if got := states("--dry-run"); got["synth"] != "would run" || got["compare"] != "would run" || len(got) != 8 {
		t.Errorf("before: %v", got)
	}
	if got := states("--only", "synth"); got["synth"] != "done" || len(got) != 1 {
		t.Errorf("only synth: %v", got)
	}
	if got := states("--dry-run"); got["synth"] != "done" || got["dedup"] != "would run" {
		t.Errorf("after synth: %v", got)
	}
	if got := states("--dry-run", "--set", "synth.pairs=21"); got["synth"] != "would run anew" {
		t.Errorf("changed: %v", got)
	}
	if _, errs, code := plumb(t, append(small, "--only", "dpo")...); code != 1 || !strings.Contains(errs, "which stage sft makes: run that first") {
		t.Errorf("a stage without its inputs: code %d, %s", code, errs)
	}
}

// TestEveryArithmeticIsAccepted: the words of the kernels are those of experiments, of a stage's own key and of flags.
func TestEveryArithmeticIsAccepted(t *testing.T) {
	for _, word := range kernels.ComputeWords() {
		x := &experiment{Name: "x", Compute: word}
		s := &sampling{Compute: word, MaxNew: 1}
		if _, err := kernels.ParseCompute(word); err != nil {
			t.Error(err)
		}
		for _, err := range append(x.Validate(), wiringOf(x).Validate()...) {
			if strings.Contains(err.Error(), "compute") {
				t.Errorf("%s: %v", word, err)
			}
		}
		if err := s.validate(); err != nil && strings.Contains(err.Error(), "compute") {
			t.Errorf("%s: %v", word, err)
		}
	}
	if len((wiring{Compute: "f16"}).Validate()) == 0 {
		t.Error("f16 is an arithmetic")
	}
}
