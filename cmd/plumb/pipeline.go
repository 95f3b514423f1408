package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"plumb/configs"
	"plumb/internal/kernels"
	"plumb/internal/run"
)

// pipeline runs the stages of an experiment, or one stage by itself, and holds what they share in memory.
type pipeline struct {
	stderr  io.Writer
	hashing sync.Mutex
	hashes  map[string]string // path -> content hash; files of a pipeline do not change under it
	models  *modelCache
}

func newPipeline(stderr io.Writer) *pipeline {
	pl := &pipeline{stderr: stderr, hashes: map[string]string{}, models: newModelCache()}
	pl.models.hash = pl.hash
	return pl
}

// stageRun is what a stage gets to do its work.
type stageRun struct {
	*plan
	ctx      context.Context
	dir      *run.Stage
	stderr   io.Writer
	pipeline *pipeline
}

// path returns the path of the first input of a role, "" when there is none.
func (r *stageRun) path(role string) string { return firstOf(r.inputs, role) }

func firstOf(inputs []input, role string) string {
	for _, in := range inputs {
		if in.Role == role {
			return in.Path
		}
	}
	return ""
}

func (r *stageRun) note(format string, args ...any) {
	fmt.Fprintf(r.stderr, r.name+": "+format+"\n", args...)
}

// stageReport is one line of the summary.
type stageReport struct {
	Stage   string         `json:"stage"`
	Kind    string         `json:"kind"`
	Dir     string         `json:"dir"`
	State   string         `json:"state"` // done, skipped (done earlier), would run, would resume, failed, interrupted
	Seconds float64        `json:"seconds"`
	Results map[string]any `json:"results,omitempty"`
	Inputs  []input        `json:"inputs,omitempty"`
}

// runStage runs one planned stage, or finds it done. A run.Findings error comes with a finished stage.
func (pl *pipeline) runStage(ctx context.Context, p *plan) (stageReport, error) {
	rep := stageReport{Stage: p.name, Kind: p.kind, Dir: p.dir, Inputs: p.inputs}
	started := time.Now()
	m, config, err := pl.manifest(p)
	if err != nil {
		return rep, fmt.Errorf("stage %s: %w", p.name, err)
	}
	dir, err := run.OpenStage(p.dir, m)
	if err != nil {
		return rep, fmt.Errorf("stage %s: %w", p.name, err)
	}
	defer dir.Close()
	dir.SetOutput(pl.stderr)
	r := &stageRun{plan: p, ctx: ctx, dir: dir, stderr: pl.stderr, pipeline: pl}
	switch {
	case dir.Done():
		r.note("done earlier, skipped")
		rep.State, rep.Results = "skipped", dir.Manifest().Results
		return rep, nil
	case dir.MovedAside() != "":
		r.note("configuration or inputs changed; the earlier directory is now %s", dir.MovedAside())
	case dir.Resumes():
		r.note("taking up an earlier run")
	default:
		r.note("starts")
	}
	err = run.WriteFile(dir.Path("config.yaml"), func(w io.Writer) error { _, err := w.Write(config); return err })
	if err != nil {
		return rep, dir.Fail(err)
	}
	results, err := p.body.run(r)
	rep.Results, rep.Seconds = results, time.Since(started).Seconds()
	var exit *run.ExitError
	found := errors.As(err, &exit) && exit.Code == run.CodeFindings
	if err != nil && !found {
		if errors.Is(err, context.Canceled) && !errors.As(err, &exit) {
			err = run.Interrupted(fmt.Errorf("interrupted: run the same command again to continue"))
		}
		rep.State = run.Failed
		if errors.As(err, &exit) && exit.Code == run.CodeInterrupted {
			rep.State = run.Stopped
		}
		return rep, fmt.Errorf("stage %s: %w", p.name, dir.Fail(err))
	}
	if ferr := dir.Finish(run.Done, results); ferr != nil {
		return rep, fmt.Errorf("stage %s: %w", p.name, ferr)
	}
	rep.State = run.Done
	r.note("done in %s", time.Since(started).Round(100*time.Millisecond))
	return rep, err
}

// manifest says what work a stage is: its resolved configuration and the content of its inputs.
func (pl *pipeline) manifest(p *plan) (run.Manifest, []byte, error) {
	config, err := p.resolved()
	if err != nil {
		return run.Manifest{}, nil, err
	}
	sum := sha256.Sum256(config)
	m := run.Manifest{
		Stage: p.kind, Version: version(), Kernel: kernels.Active().String(), Seed: p.x.Seed,
		ConfigHash: hex.EncodeToString(sum[:]), Inputs: map[string]string{},
	}
	for i, in := range p.inputs {
		h, err := pl.hash(in.Path)
		if err != nil {
			if errors.Is(err, os.ErrNotExist) && in.Stage != "" {
				err = fmt.Errorf("it needs %s, which stage %s makes: run that first", in.Path, in.Stage)
			}
			return m, nil, err
		}
		m.Inputs[fmt.Sprintf("%d %s", i, in.Role)] = h
	}
	return m, config, nil
}

// hash is HashTree, once a path; a stage's models ask it too.
func (pl *pipeline) hash(path string) (string, error) {
	pl.hashing.Lock()
	defer pl.hashing.Unlock()
	if h, ok := pl.hashes[path]; ok {
		return h, nil
	}
	h, err := run.HashTree(path)
	if err == nil {
		pl.hashes[path] = h
	}
	return h, err
}

// resolved is the stage's configuration with every default in place; "plumb KIND config.yaml" accepts it.
func (p *plan) resolved() ([]byte, error) {
	b, err := configs.Resolve(p.body)
	if err != nil {
		return nil, err
	}
	head := fmt.Sprintf("# Stage %s (%s) as resolved: defaults, then the file, then --set.\n", p.name, p.kind)
	return []byte(head + strings.TrimPrefix(string(b), "{}\n")), nil
}

// state tells what running a stage would do, without doing it.
func (pl *pipeline) state(p *plan) (string, error) {
	for _, in := range p.inputs {
		if _, err := os.Stat(in.Path); in.Stage != "" && err != nil {
			return "would run", nil
		}
	}
	m, _, err := pl.manifest(p)
	if err != nil {
		return "", err
	}
	old, err := run.ReadManifest(p.dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "would run", nil
	case err != nil:
		return "", err
	case !old.Same(m):
		return "would run anew", nil
	case old.Outcome == run.Done:
		return "done", nil
	default:
		return "would resume", nil
	}
}
