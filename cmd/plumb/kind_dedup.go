package main

import (
	"fmt"
	"os"

	"plumb/dedup"
	"plumb/internal/run"
)

// dedupStage removes duplicates from the preference records, and what leaks from the held-out ones.
type dedupStage struct {
	Data    string       `yaml:"data"`
	Tests   []string     `yaml:"tests"` // files that must not leak into the data; empty: the held-out records, if any
	Compute string       `yaml:"compute"`
	Config  dedup.Config `yaml:",inline"`
}

func init() {
	kinds["dedup"] = func(x *experiment) body {
		s := &dedupStage{Compute: x.Compute, Config: dedup.Defaults()}
		s.Config.Seed = x.Seed
		return s
	}
}

const roleTests = "tests"

// smallKind as verifier.kind is a small cross-encoder: that of the latest verifier stage, else one trained in the dedup stage itself.
const smallKind = "small"

func (s *dedupStage) plan(p *plan) []error {
	var faults []error
	if _, err := p.read(roleData, pairs, "data", s.Data); err != nil {
		faults = append(faults, err)
	}
	if len(s.Tests) == 0 && p.latest(heldOut) != nil {
		if _, err := p.read(roleTests, heldOut, "tests", ""); err != nil {
			faults = append(faults, err)
		}
	}
	for _, ref := range s.Tests {
		if _, err := p.read(roleTests, heldOut, "tests", ref); err != nil {
			faults = append(faults, err)
		}
	}
	// Models decide too: other weights are other work.
	if v := s.Config.Vectors; v.Enabled && v.Encoder != "hash" {
		if _, err := p.read("encoder", aModel, "vectors.encoder", v.Encoder); err != nil {
			faults = append(faults, err)
		}
	}
	switch v := s.Config.Verifier; {
	case v.Kind == "none" || v.Kind == "aligned" || v.Kind == "" || v.Kind == smallKind && p.stage(smallKind) == nil && p.latest(aVerifier) == nil:
	case v.Kind == smallKind && p.stage(smallKind) == nil: // an earlier stage trains it
		if _, err := p.read("verifier", aVerifier, "verifier.kind", ""); err != nil {
			faults = append(faults, err)
		}
	case p.stage(v.Kind) != nil:
		if _, err := p.read("verifier", aVerifier, "verifier.kind", v.Kind); err != nil {
			faults = append(faults, err)
		}
	default:
		if _, err := p.read("verifier", aModel, "verifier.kind", v.Kind); err != nil {
			faults = append(faults, err)
		}
		if v.Adapter != "" {
			if _, err := p.read("verifier adapter", anAdapter, "verifier.adapter", v.Adapter); err != nil {
				faults = append(faults, err)
			}
		}
	}
	p.make(pairs, "pairs.arrow")
	return faults
}

func (s *dedupStage) run(r *stageRun) (map[string]any, error) {
	job := dedupJob{
		Config: s.Config, Compute: s.Compute, Files: []string{r.path(roleData)}, Out: r.makes[pairs],
		Ledger: r.dir.Path("ledger.jsonl"), Page: r.dir.Path("dedup.html"), TempDir: r.dir.Dir(), Checkpoint: r.dir.Path("checkpoint"),
		Progress: func(label string, total int) *run.Progress { return r.dir.Progress(r.name+" "+label, total) },
	}
	for _, in := range r.inputs {
		if in.Role == roleTests {
			job.Against = append(job.Against, in.Path)
		}
	}
	if len(job.Against) > 0 {
		job.Certificate = r.dir.Path("certificate.json")
	}
	switch {
	case len(s.Config.Verifier.Confirm) == 0:
	case r.path("verifier") != "":
		job.Verifier = r.path("verifier")
	case s.Config.Verifier.Kind == smallKind:
		path, err := r.smallVerifier(s.Config.Seed)
		if err != nil {
			return nil, err
		}
		job.Verifier = path
	}
	rep, err := job.run(r.ctx)
	if err != nil {
		return nil, err
	}
	fmt.Fprint(r.stderr, dedupText(rep))
	if _, err := os.Stat(job.Out); err != nil {
		return nil, err
	}
	results, err := asMap(rep)
	delete(results, "certificate") // in certificate.json
	return results, err
}
