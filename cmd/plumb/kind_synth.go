package main

import (
	"encoding/json"
	"fmt"
	"io"

	"plumb/datasets"
	"plumb/datasets/synth"
	"plumb/internal/run"
)

// synthStage makes preference data whose true reward is known.
type synthStage struct {
	Config synth.Config `yaml:",inline"`
}

func init() {
	kinds["synth"] = func(x *experiment) body {
		s := &synthStage{Config: synth.Defaults()}
		s.Config.Seed = x.Seed
		return s
	}
}

func (s *synthStage) plan(p *plan) []error {
	p.make(pairs, "pairs.arrow")
	p.make(heldOut, "held_out.arrow")
	p.make(demos, "demonstrations.arrow")
	return nil
}

func (s *synthStage) run(r *stageRun) (map[string]any, error) {
	w, err := synth.Generate(s.Config)
	if err != nil {
		return nil, err
	}
	if err := writeWorld(w, r.makes[pairs], r.makes[heldOut], r.makes[demos], r.dir.Path("stats.json")); err != nil {
		return nil, err
	}
	fmt.Fprint(r.stderr, w.Stats.String())
	return asMap(w.Stats)
}

// writeWorld writes the three parts of a synthetic world and what is known of it.
func writeWorld(w synth.World, pairs, heldOut, demos, stats string) error {
	for _, part := range []struct {
		path    string
		records []datasets.Record
	}{{pairs, w.Pairs}, {heldOut, w.HeldOut}, {demos, w.Demonstrations}} {
		if err := writeRecords(part.path, part.records); err != nil {
			return err
		}
	}
	return run.WriteFile(stats, func(out io.Writer) error { return printJSON(out, w.Stats) })
}

// writeRecords writes records to a file, whole or not at all; the extension says the format.
func writeRecords(path string, records []datasets.Record) error {
	w, err := datasets.Create(path, datasets.WriteOptions{})
	if err != nil {
		return err
	}
	for _, rec := range records {
		if err := w.Write(rec); err != nil {
			w.Discard() // the write error is the one to report
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return w.Close()
}

// asMap turns a result struct into what a manifest holds, under its JSON names.
func asMap(v any) (map[string]any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var m map[string]any
	return m, json.Unmarshal(b, &m)
}
