package main

import (
	"fmt"
	"os"
	"strconv"

	"plumb/datasets"
	"plumb/internal/run"
)

// dataStage takes the user's own files: converts them to Arrow and holds a part out, never a prompt on both sides.
type dataStage struct {
	Files        []string `yaml:"files"`
	Format       string   `yaml:"format"`
	Pairs        string   `yaml:"pairs"`         // how a ranking becomes pairs: all, best, ends
	DuplicateIDs string   `yaml:"duplicate_ids"` // reject or rename
	HeldOut      int64    `yaml:"held_out"`      // records to hold out, about; 0: none
	Near         bool     `yaml:"near"`          // prompts that are nearly the same stay on one side too
	Seed         uint64   `yaml:"seed"`
}

func init() {
	kinds["data"] = func(x *experiment) body {
		return &dataStage{Format: "auto", Pairs: "all", DuplicateIDs: "rename", HeldOut: 300, Near: true, Seed: x.Seed}
	}
}

// Validate returns every fault of the stage.
func (s *dataStage) Validate() []error {
	var faults []error
	if len(s.Files) == 0 {
		faults = append(faults, &run.Fault{Key: "files", Want: "at least one file"})
	}
	for _, f := range s.Files {
		if _, err := os.Stat(f); err != nil {
			faults = append(faults, &run.Fault{Key: "files", Value: f, Want: "a file that is there"})
		}
	}
	if s.HeldOut < 0 {
		faults = append(faults, &run.Fault{Key: "held_out", Value: strconv.FormatInt(s.HeldOut, 10), Want: "0 or more"})
	}
	return faults
}

func (s *dataStage) plan(p *plan) []error {
	for _, f := range s.Files {
		p.inputs = append(p.inputs, input{Role: roleData, Path: f})
	}
	p.make(pairs, "train.arrow")
	if s.HeldOut > 0 {
		p.make(heldOut, "held_out.arrow")
	}
	return nil
}

func (s *dataStage) run(r *stageRun) (map[string]any, error) {
	opt := datasets.ConvertOptions{
		Read:   datasets.ReadOptions{Format: s.Format, Pairs: s.Pairs, DuplicateIDs: s.DuplicateIDs},
		Resume: true,
	}
	all := r.makes[pairs]
	if s.HeldOut > 0 {
		all = r.dir.Path("all.arrow")
	}
	rep, err := convert(r.ctx, s.Files, all, opt, r.stderr)
	if err != nil {
		return nil, err
	}
	r.note("%d records, %d rows rejected, %d in no record", rep.Written, rep.Rejected+rep.Unfit, rep.Unused)
	results, err := asMap(rep)
	if err != nil {
		return nil, err
	}
	if s.HeldOut > 0 {
		n, err := s.split(r, all)
		if gone := os.Remove(all); err == nil {
			err = gone
		}
		if err != nil {
			return nil, err
		}
		results["train"], results["held_out"] = n[0], n[1]
	}
	return results, rejected(rep)
}

// split deals all records out to the two sides, and counts them. It leaves no checkpoints: a later run makes all anew and could not go on
// from them.
func (s *dataStage) split(r *stageRun, all string) ([]int64, error) {
	split := datasets.SplitOptions{Seed: s.Seed, Parts: []datasets.Part{{Name: "train"}, {Name: "test", Count: s.HeldOut}}}
	if s.Near {
		var err error
		if split.Group, split.By, err = nearGroups(r.ctx, []string{all}, datasets.ReadOptions{}, "auto", "", r.stderr); err != nil {
			return nil, err
		}
	}
	dealt, err := datasets.SplitFiles(r.ctx, []string{all}, []string{r.makes[pairs], r.makes[heldOut]}, datasets.ConvertOptions{}, split)
	if err != nil {
		return nil, err
	}
	n := dealt.Parts
	r.note("%d records to train on, %d held out", n[0], n[1])
	if n[0] == 0 || n[1] == 0 {
		return nil, fmt.Errorf("held_out %d of %d records leaves a side empty", s.HeldOut, n[0]+n[1])
	}
	return n, nil
}
