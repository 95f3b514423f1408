package main

import (
	"context"

	"plumb/adapters"
	"plumb/internal/run"
	"plumb/ppo"
	"plumb/reward"
)

// ppoStage aligns a policy by proximal policy optimisation against a reward over text.
type ppoStage struct {
	Wiring wiring     `yaml:",inline"`
	Reward string     `yaml:"reward"` // reward stage or its adapter; "": the nearest earlier one; gold: the control on synthetic data
	Critic string     `yaml:"critic"` // stage or adapter of the same base that the critic goes on from; "": a new one
	Config ppo.Config `yaml:",inline"`
}

// rewardGold names the known reward of synthetic data in place of a reward model.
const rewardGold = "gold"

func init() {
	kinds["ppo"] = func(x *experiment) body {
		s := &ppoStage{Wiring: wiringOf(x), Config: ppo.Defaults()}
		s.Config.Seed = x.Seed
		return s
	}
}

func (s *ppoStage) limitSteps(n int) { s.Config.LimitSteps(n) }

const roleCritic = "critic"

func (s *ppoStage) plan(p *plan) []error {
	faults := s.Wiring.planModel(p)
	faults = append(faults, s.Wiring.planData(p, pairs)...)
	faults = append(faults, s.Wiring.planStart(p, aStart)...)
	if s.Reward != "" && s.Config.External() != nil {
		faults = append(faults, &run.Fault{Key: "reward", Value: s.Reward, Want: "nothing, where there is a reward_command or reward_url"})
	} else if s.Reward != rewardGold && s.Config.External() == nil {
		faults = append(faults, p.readReward(s.Reward)...)
	}
	if s.Critic != "" {
		what := anAdapter
		if e := p.stage(s.Critic); e != nil && e.makes[aReward] != "" {
			what = aReward
		}
		in, err := p.read(roleCritic, what, "critic", s.Critic)
		if err != nil {
			faults = append(faults, err)
		} else if e := p.stage(in.Stage); e != nil && e.base.Path != p.model() {
			faults = append(faults, &run.Fault{Key: "critic", Value: s.Critic, Want: "an adapter on this stage's own base"})
		} else {
			p.inputs[len(p.inputs)-1].Path = adapterDir(in.Path)
		}
	}
	p.makeAdapter(anAdapter)
	return faults
}

func (s *ppoStage) run(r *stageRun) (map[string]any, error) {
	base, err := r.base(&s.Wiring, false)
	if err != nil {
		return nil, err
	}
	in := ppo.Inputs{Base: base}
	if in.Start, err = r.start(base); err != nil {
		return nil, err
	}
	if dir := r.path(roleCritic); dir != "" {
		if in.Critic, err = adapters.Load(dir, base.Model.Linears()); err != nil {
			return nil, err
		}
	}
	switch {
	case s.Reward == rewardGold:
		in.Reward = forPPO{goldReward{}}
	case s.Config.External() == nil: // else the trainer's own
		score, err := r.reward(s.Wiring.Compute)
		if err != nil {
			return nil, err
		}
		in.Reward = forPPO{score}
	}
	if in.Train, in.Eval, err = r.records(&s.Wiring); err != nil {
		return nil, err
	}
	res, err := ppo.Train(r.ctx, s.Config, in, r.dir)
	if err != nil {
		return nil, err
	}
	return asMap(trainResult{res.Updates, res.Prompts, res.Dropped, res.Eval})
}

// forPPO is a scorer as ppo wants it.
type forPPO struct{ scorer }

func (s forPPO) Score(ctx context.Context, examples []ppo.Example) ([]float64, error) {
	list := make([]reward.Example, len(examples))
	for i, x := range examples {
		list[i] = reward.Example(x)
	}
	return s.scorer.Score(ctx, list)
}
