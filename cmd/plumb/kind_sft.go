package main

import (
	"plumb/internal/run"
	"plumb/sft"
)

// sftStage imitates demonstrations: with an adapter, with all weights, or with a new model.
type sftStage struct {
	Wiring wiring     `yaml:",inline"`
	Config sft.Config `yaml:",inline"`
}

func init() {
	kinds["sft"] = func(x *experiment) body {
		s := &sftStage{Wiring: wiringOf(x), Config: sft.Defaults()}
		s.Config.Seed = x.Seed
		return s
	}
}

func (s *sftStage) limitSteps(n int) { s.Config.LimitSteps(n) }

func (s *sftStage) plan(p *plan) []error {
	var faults []error
	if s.Config.Mode != sft.Scratch {
		faults = s.Wiring.planModel(p)
	}
	faults = append(faults, s.Wiring.planData(p, demos, pairs)...)
	if s.Config.Mode == sft.LoRA {
		faults = append(faults, s.Wiring.planStart(p)...)
		p.makeAdapter(anAdapter)
		p.makes[aStart] = p.makes[anAdapter]
	} else {
		p.make(aModel, "model")
		if s.Wiring.Start != "" && s.Wiring.Start != none {
			faults = append(faults, &run.Fault{Key: "start", Value: s.Wiring.Start, Want: "nothing: mode " + s.Config.Mode + " trains no adapter"})
		}
		if s.Config.Mode == sft.Scratch && s.Wiring.Model != "" {
			faults = append(faults, &run.Fault{Key: "model", Value: s.Wiring.Model, Want: "nothing: mode scratch makes a new model"})
		}
	}
	return faults
}

func (s *sftStage) run(r *stageRun) (map[string]any, error) {
	var in sft.Inputs
	var err error
	if s.Config.Mode != sft.Scratch {
		if in.Base, err = r.base(&s.Wiring, s.Config.Mode == sft.Full); err != nil {
			return nil, err
		}
		if in.Start, err = r.start(in.Base); err != nil {
			return nil, err
		}
	}
	if in.Train, in.Eval, err = r.records(&s.Wiring); err != nil {
		return nil, err
	}
	res, err := sft.Train(r.ctx, s.Config, in, r.dir)
	if err != nil {
		return nil, err
	}
	return asMap(trainResult{res.Steps, res.Examples, res.Dropped, res.Eval})
}
