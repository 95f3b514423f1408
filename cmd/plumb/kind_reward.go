package main

import (
	"plumb/reward"
)

// rewardStage trains a reward model: an adapter with a score head.
type rewardStage struct {
	Wiring wiring        `yaml:",inline"`
	Config reward.Config `yaml:",inline"`
}

func init() {
	kinds["reward"] = func(x *experiment) body {
		s := &rewardStage{Wiring: wiringOf(x), Config: reward.Defaults()}
		s.Config.Seed = x.Seed
		return s
	}
}

func (s *rewardStage) limitSteps(n int) { s.Config.LimitSteps(n) }

func (s *rewardStage) plan(p *plan) []error {
	faults := s.Wiring.planModel(p)
	faults = append(faults, s.Wiring.planData(p, pairs)...)
	faults = append(faults, s.Wiring.planStart(p)...)
	p.makeAdapter(aReward)
	return faults
}

func (s *rewardStage) run(r *stageRun) (map[string]any, error) {
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
	res, err := reward.Train(r.ctx, s.Config, reward.Inputs{Base: base, Start: start, Train: data, Eval: eval}, r.dir)
	if err != nil {
		return nil, err
	}
	if e := res.Eval; e != nil {
		r.note("held-out accuracy %.3f [%.3f, %.3f], margin %.3f", e.Accuracy, e.Low, e.High, e.Margin)
	}
	return asMap(struct {
		Steps   int            `json:"steps"`
		Pairs   int            `json:"pairs"`
		Dropped map[string]int `json:"dropped,omitempty"`
		Eval    *reward.Report `json:"eval,omitempty"`
	}{res.Steps, res.Pairs, res.Dropped, res.Eval})
}
