package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"plumb/datasets"
	"plumb/dedup"
	"plumb/dedup/crossencoder"
	"plumb/dedup/plant"
	"plumb/internal/run"
)

// verifierStage trains a small cross-encoder from nothing, on planted pairs, for the dedup stages behind it.
type verifierStage struct {
	Data   string              `yaml:"data"` // records in whose texts pairs are planted; "": texts of the planter's own
	Config crossencoder.Config `yaml:",inline"`
}

// aVerifier is a cross-encoder that confirms duplicates: an encoder's folder.
const aVerifier = "verifier"

func init() {
	kinds["verifier"] = func(x *experiment) body {
		s := &verifierStage{Config: crossencoder.SmallDefaults()}
		s.Config.Seed = x.Seed
		return s
	}
}

func (s *verifierStage) limitSteps(n int) { s.Config.LimitSteps(n) }

func (s *verifierStage) plan(p *plan) []error {
	var faults []error
	if s.Data != "" {
		if _, err := p.read(roleData, pairs, "data", s.Data); err != nil {
			faults = append(faults, err)
		}
	}
	p.make(aVerifier, "model")
	return faults
}

func (s *verifierStage) run(r *stageRun) (map[string]any, error) {
	path := r.path(roleData)
	if path == "" {
		return trainSmall(r.ctx, s.Config, r.dir)
	}
	records, err := readRecords(path, 0)
	if err != nil {
		return nil, err
	}
	learn, held := plantOwn(s.Config, records)
	if len(learn) == 0 {
		return nil, fmt.Errorf("%s: no text in it in which pairs could be planted", path)
	}
	res, err := crossencoder.TrainSmall(r.ctx, s.Config, learn, held, r.dir)
	if err != nil {
		return nil, err
	}
	return verifierResults(res, len(learn)), nil
}

// plantOwn plants pairs in the records' own texts. Of the texts every tenth, with whatever words it holds, is for the held-out pairs
// alone, which have another seed too.
func plantOwn(cfg crossencoder.Config, records []datasets.Record) (learn, held []dedup.Labelled) {
	var texts [2][]string
	role := map[string]string{} // of each text
	for _, rec := range records {
		for _, side := range [][]datasets.Message{rec.Prompt, rec.Chosen, rec.Rejected} {
			if len(side) == 0 {
				continue
			}
			last := side[len(side)-1]
			if _, seen := role[last.Content]; seen || last.Content == "" {
				continue
			}
			role[last.Content] = last.Role
			part := 0
			if len(role)%10 == 0 {
				part = 1
			}
			texts[part] = append(texts[part], last.Content)
		}
	}
	// As dedup will ask: with the role in front.
	text := func(role, content string) string {
		return dedup.MessageText([]datasets.Message{{Role: role, Content: content}})
	}
	for i, n := range []int{cfg.Pairs, cfg.EvalPairs} {
		p := plant.Planter{Rand: run.Rand(cfg.Seed+uint64(i), "dedup verifier pairs"), Half: i}
		var out []dedup.Labelled
		for _, x := range p.OwnPairs(n, texts[i]) {
			r := role[x.A]
			out = append(out, dedup.Labelled{A: text(r, x.A), B: text(r, x.B), Same: x.Same})
		}
		if i == 0 {
			learn = out
		} else {
			held = out
		}
	}
	return learn, held
}

// trainSmall trains in an open stage, on pairs planted with the configuration's seed; the held-out ones have another seed and
// other words.
func trainSmall(ctx context.Context, cfg crossencoder.Config, st *run.Stage) (map[string]any, error) {
	pairs := plantTraining(cfg, true)
	res, err := crossencoder.TrainSmall(ctx, cfg, pairs, plantPairs(cfg.Seed+1, 1, cfg.EvalPairs, 0), st)
	if err != nil {
		return nil, err
	}
	return verifierResults(res, len(pairs)), nil
}

// smallVerifier is the folder of a small cross-encoder below a stage's own directory, trained there unless it is there already.
func (r *stageRun) smallVerifier(seed uint64) (string, error) {
	cfg := crossencoder.SmallDefaults()
	cfg.Seed = seed
	dir := r.dir.Path("verifier")
	st, err := openVerifierStage(dir, cfg, nil)
	if err != nil {
		return "", err
	}
	defer st.Close()
	if !st.Done() {
		st.SetOutput(r.stderr)
		results, err := trainSmall(r.ctx, cfg, st)
		if err != nil {
			return "", errors.Join(err, st.Fail(err))
		}
		if err := st.Finish(run.Done, results); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, "model"), nil
}
