package main

import (
	"plumb/dpo"
)

// dpoStage aligns a policy by direct preference optimisation.
type dpoStage struct {
	Wiring wiring     `yaml:",inline"`
	Config dpo.Config `yaml:",inline"`
}

func init() {
	kinds["dpo"] = func(x *experiment) body {
		s := &dpoStage{Wiring: wiringOf(x), Config: dpo.Defaults()}
		s.Config.Seed = x.Seed
		return s
	}
}

func (s *dpoStage) limitSteps(n int) { s.Config.LimitSteps(n) }

func (s *dpoStage) plan(p *plan) []error {
	faults := s.Wiring.planModel(p)
	faults = append(faults, s.Wiring.planData(p, pairs)...)
	faults = append(faults, s.Wiring.planStart(p, aStart)...)
	p.makeAdapter(anAdapter)
	return faults
}

func (s *dpoStage) run(r *stageRun) (map[string]any, error) {
	base, err := r.base(&s.Wiring, false)
	if err != nil {
		return nil, err
	}
	start, err := r.start(base)
	if err != nil {
		return nil, err
	}
	data, eval, err := r.records(&s.Wiring)
	if err != nil {
		return nil, err
	}
	res, err := dpo.Train(r.ctx, s.Config, dpo.Inputs{Base: base, Start: start, Train: data, Eval: eval}, r.dir)
	if err != nil {
		return nil, err
	}
	return asMap(trainResult{res.Steps, res.Pairs, res.Dropped, res.Eval})
}

// trainResult is what a trainer's manifest says of its result.
type trainResult struct {
	Steps    int                `json:"steps"`
	Examples int                `json:"examples"`
	Dropped  map[string]int     `json:"dropped,omitempty"`
	Eval     map[string]float64 `json:"eval,omitempty"`
}
