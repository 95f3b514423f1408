package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"plumb/adapters"
	"plumb/compare"
	"plumb/datasets"
	"plumb/internal/model"
	"plumb/internal/run"
	"plumb/reward"
)

// wiring says what a training stage works on. Each value is a path or the name of an earlier stage; empty is what the nearest
// earlier stage made.
type wiring struct {
	Model   string `yaml:"model"` // the immutable base
	Start   string `yaml:"start"` // adapter to go on from; "": a new one
	Data    string `yaml:"data"`  // records to train on
	Eval    string `yaml:"eval"`  // held-out records; "" and none made: no evaluation
	Limit   int    `yaml:"limit"` // the first so many records of data; 0: all
	EvalMax int    `yaml:"eval_limit"`
	Compute string `yaml:"compute"` // auto, f32, bf16 or int16
}

func wiringOf(x *experiment) wiring { return wiring{Compute: x.Compute} }

// Validate returns the faults of the wiring's own keys.
func (w wiring) Validate() []error {
	var faults []error
	if !slices.Contains(computes, w.Compute) {
		faults = append(faults, &run.Fault{Key: "compute", Value: w.Compute, Want: strings.Join(computes, ", ")})
	}
	if w.Limit < 0 {
		faults = append(faults, &run.Fault{Key: "limit", Value: fmt.Sprint(w.Limit), Want: "0 (all) or more"})
	}
	if w.EvalMax < 0 {
		faults = append(faults, &run.Fault{Key: "eval_limit", Value: fmt.Sprint(w.EvalMax), Want: "0 (all) or more"})
	}
	return faults
}

// Roles of a stage's inputs.
const (
	roleModel       = "model"
	roleStart       = "start"
	roleData        = "data"
	roleEval        = "eval"
	roleReward      = "reward"
	roleRewardModel = "reward model"
	rolePolicy      = "policy"
)

// planModel names the base: the stage's own, the experiment's, or what an earlier stage made.
func (w *wiring) planModel(p *plan) []error {
	ref := w.Model
	if ref == "" && p.latest(aModel) == nil {
		ref = p.x.Model
	}
	if _, err := p.read(roleModel, aModel, "model", ref); err != nil {
		return []error{err}
	}
	return nil
}

// planData names the records to train on, and held-out ones where there are any.
func (w *wiring) planData(p *plan, whats ...string) []error {
	var faults []error
	what := whats[0]
	for _, other := range whats[1:] {
		if w.Data == "" && p.latest(what) == nil {
			what = other
		}
	}
	if _, err := p.read(roleData, what, "data", w.Data); err != nil {
		faults = append(faults, err)
	}
	if w.Eval != "" || p.latest(heldOut) != nil {
		if _, err := p.read(roleEval, heldOut, "eval", w.Eval); err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

// none is the value of start that forgoes what an earlier stage made.
const none = "none"

// planStart names the adapter to go on from, if any. An alignment begins by default at what supervised training left.
func (w *wiring) planStart(p *plan, whats ...string) []error {
	ref, what := w.Start, anAdapter
	if ref == "" && len(whats) > 0 && p.latest(whats[0]) != nil {
		ref = p.latest(whats[0]).name
	}
	if ref == "" || ref == none {
		return nil
	}
	in, err := p.read(roleStart, what, "start", ref)
	if err != nil {
		return []error{err}
	}
	if in.Stage == "" {
		p.inputs[len(p.inputs)-1].Path = adapterDir(in.Path)
	} else if e := p.stage(in.Stage); p.model() != "" && e.base.Path != "" && e.base.Path != p.model() {
		return []error{&run.Fault{Key: "start", Value: in.Stage, Want: fmt.Sprintf("an adapter on this stage's base %s, not on %s; or none", p.model(), e.base.Path)}}
	}
	return nil
}

// base opens the stage's model; one that is trained itself is not shared.
func (r *stageRun) base(w *wiring, trainable bool) (*model.Bundle, error) {
	return r.pipeline.models.Open(r.path(roleModel), w.Compute, trainable)
}

// start loads the adapter to go on from, nil when there is none.
func (r *stageRun) start(base *model.Bundle) (*adapters.Adapter, error) {
	dir := r.path(roleStart)
	if dir == "" {
		return nil, nil
	}
	a, err := adapters.Load(dir, base.Model.Linears())
	if err != nil {
		return nil, err
	}
	r.note("goes on from %s, whose rank %d, alpha %g and layers are kept; of lora its dropout alone counts", dir, a.Config.R, a.Config.Alpha)
	if a.BaseModel != "" && filepath.Base(a.BaseModel) != filepath.Base(base.Path) {
		r.note("it says that it was made on %s, and goes on here on %s", a.BaseModel, base.Path)
	}
	return a, nil
}

// records reads what the stage trains on and what it is evaluated on.
func (r *stageRun) records(w *wiring) (data, eval []datasets.Record, err error) {
	if data, err = readRecords(r.path(roleData), w.Limit); err != nil {
		return nil, nil, err
	}
	if path := r.path(roleEval); path != "" {
		if eval, err = readRecords(path, w.EvalMax); err != nil {
			return nil, nil, err
		}
	}
	r.note("%d records to train on, %d held out", len(data), len(eval))
	return data, eval, nil
}

func readRecords(path string, limit int) ([]datasets.Record, error) {
	recs, err := datasets.ReadAll([]string{path}, datasets.ReadOptions{})
	if err != nil {
		return nil, err
	}
	if limit > 0 && limit < len(recs) {
		recs = recs[:limit]
	}
	if len(recs) == 0 {
		return nil, fmt.Errorf("%s: holds no records", path)
	}
	return recs, nil
}

// makeAdapter declares the adapter of a stage, and the model below it.
func (p *plan) makeAdapter(what string) {
	p.make(what, "adapter")
	if i := slices.IndexFunc(p.inputs, func(in input) bool { return in.Role == roleModel }); i >= 0 {
		p.base = p.inputs[i]
	}
}

// stageDir is the run directory that an adapter's path belongs to.
func stageDir(adapter string) string {
	if filepath.Base(adapter) == "adapter" {
		return filepath.Dir(adapter)
	}
	return adapter
}

// model is the path of the stage's base.
func (p *plan) model() string {
	return firstOf(p.inputs, roleModel)
}

// readReward names a reward model and the base below it: that of the stage that made it, or the one its file names.
func (p *plan) readReward(ref string) []error {
	in, err := p.read(roleReward, aReward, "reward", ref)
	if err != nil {
		return []error{err}
	}
	if in.Stage != "" {
		base := p.stage(in.Stage).base
		p.inputs = append(p.inputs, input{Role: roleRewardModel, Path: base.Path, Stage: base.Stage})
		return nil
	}
	dir := adapterDir(in.Path)
	p.inputs[len(p.inputs)-1].Path = dir
	base, err := baseOf(dir)
	if err != nil {
		return []error{&run.Fault{Key: "reward", Value: ref, Want: "a reward model whose base is at hand: " + err.Error()}}
	}
	p.inputs = append(p.inputs, input{Role: roleRewardModel, Path: base})
	return nil
}

// reward opens the reward model that readReward named.
func (r *stageRun) reward(compute string) (*reward.Model, error) {
	return r.pipeline.models.openReward(r.path(roleReward), r.path(roleRewardModel), compute, rewardMaxLength)
}

// rewardMaxLength bounds a text to be scored; the base's own limit applies below it.
const rewardMaxLength = 8192

// existing keeps a log whose file is there: an adapter from elsewhere has none.
func existing(log compare.Log) []compare.Log {
	if _, err := os.Stat(log.Path); err != nil {
		return nil
	}
	return []compare.Log{log}
}
