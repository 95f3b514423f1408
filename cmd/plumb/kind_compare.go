package main

import (
	"fmt"
	"path/filepath"

	"plumb/adapters"
	"plumb/compare"
	"plumb/datasets/synth"
	"plumb/internal/run"
)

// compareStage sets the policies of earlier stages side by side on held-out prompts.
type compareStage struct {
	Model    string         `yaml:"model"`
	Data     string         `yaml:"data"`     // records whose prompts are answered; "": held-out ones
	Policies []string       `yaml:"policies"` // stages or adapter folders; empty: every policy that earlier stages made
	Reward   string         `yaml:"reward"`   // reward model that judges too; "": the nearest earlier one, if any
	Gold     string         `yaml:"gold"`     // auto, on or off: the known reward of synthetic data
	Compute  string         `yaml:"compute"`
	Config   compare.Config `yaml:",inline"`

	names []string // of the policies, in the order of the inputs
	logs  []compare.Log
	gold  bool
}

func init() {
	kinds["compare"] = func(x *experiment) body {
		s := &compareStage{Gold: "auto", Compute: x.Compute, Config: compare.Defaults()}
		s.Config.Seed = x.Seed
		return s
	}
}

// Validate returns the faults of the stage's own keys.
func (s *compareStage) Validate() []error {
	switch s.Gold {
	case "auto", "on", "off":
		return nil
	}
	return []error{&run.Fault{Key: "gold", Value: s.Gold, Want: "auto, on or off"}}
}

func (s *compareStage) plan(p *plan) []error {
	w := wiring{Model: s.Model}
	faults := w.planModel(p)
	if _, err := p.read(roleData, heldOut, "data", s.Data); err != nil {
		faults = append(faults, err)
	}
	refs := s.Policies
	if len(refs) == 0 {
		for _, e := range p.earlier {
			if e.makes[anAdapter] != "" {
				refs = append(refs, e.name)
			}
		}
	}
	for _, ref := range refs {
		in, err := p.read(rolePolicy, anAdapter, "policies", ref)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		name := in.Stage
		if name == "" {
			in.Path = adapterDir(in.Path)
			p.inputs[len(p.inputs)-1].Path = in.Path
			name = filepath.Base(stageDir(in.Path))
		}
		s.names = append(s.names, name)
		s.logs = append(s.logs, compare.Log{Run: name, Path: filepath.Join(stageDir(in.Path), "metrics.jsonl")})
	}
	if s.Reward != "" || p.latest(aReward) != nil {
		faults = append(faults, p.readReward(s.Reward)...)
	}
	synthetic := false
	for _, e := range p.earlier {
		synthetic = synthetic || e.kind == "synth"
	}
	s.gold = s.Gold == "on" || s.Gold == "auto" && synthetic
	return faults
}

func (s *compareStage) run(r *stageRun) (map[string]any, error) {
	w := wiring{Compute: s.Compute}
	base, err := r.base(&w, false)
	if err != nil {
		return nil, err
	}
	in := compare.Inputs{Base: base}
	if in.Prompts, err = readRecords(r.path(roleData), 0); err != nil {
		return nil, err
	}
	at := 0
	for _, input := range r.inputs {
		if input.Role != rolePolicy {
			continue
		}
		a, err := adapters.Load(input.Path, base.Model.Linears())
		if err != nil {
			return nil, err
		}
		in.Policies = append(in.Policies, compare.Policy{Name: s.names[at], Adapter: a})
		in.Logs = append(in.Logs, existing(s.logs[at])...)
		at++
	}
	if r.path(roleReward) != "" {
		m, err := r.reward(s.Compute)
		if err != nil {
			return nil, err
		}
		in.Reward = forCompare{m}
	}
	if s.gold {
		in.Gold = goldScore
		in.Constants, err = r.constants()
		if err != nil {
			return nil, err
		}
	}
	rep, err := compare.Run(r.ctx, s.Config, in, r.dir)
	if err != nil {
		return nil, err
	}
	fmt.Fprint(r.stderr, rep.String())
	rep.Curves, rep.Examples = nil, nil // in report.json; a manifest is for figures
	return asMap(rep)
}

// constants are the answers seen most often in the demonstrations: what a policy that ignores the prompt would say.
func (r *stageRun) constants() ([]string, error) {
	for _, e := range r.earlier {
		if path := e.makes[demos]; path != "" {
			recs, err := readRecords(path, 0)
			if err != nil {
				return nil, err
			}
			return synth.Commonest(synth.Answers(recs), 1000), nil
		}
	}
	return nil, nil
}
