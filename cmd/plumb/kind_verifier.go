package main

import (
	"context"
	"errors"
	"path/filepath"

	"plumb/dedup/crossencoder"
	"plumb/internal/run"
)

// verifierStage trains a small cross-encoder from nothing, on planted pairs, for the dedup stages behind it.
type verifierStage struct {
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

func (s *verifierStage) limitSteps(n int) { s.Config.MaxSteps = n }

func (s *verifierStage) plan(p *plan) []error {
	p.make(aVerifier, "model")
	return nil
}

func (s *verifierStage) run(r *stageRun) (map[string]any, error) {
	return trainSmall(r.ctx, s.Config, r.dir)
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
