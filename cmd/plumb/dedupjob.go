package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"plumb/datasets"
	"plumb/dedup"
	"plumb/dedup/crossencoder"
	"plumb/internal/model"
	"plumb/internal/run"
)

// dedupJob is one deduplication: files in, and the files that come of it.
type dedupJob struct {
	Config      dedup.Config
	Compute     string
	Verifier    string // the folder of Config.Verifier.Kind, where that names no model
	Files       []string
	Format      string
	Against     []string // test sets
	Out         string
	Ledger      string // "": none; so for the next two
	Page        string
	Certificate string
	TempDir     string
	Checkpoint  string // folder from which a run that was killed goes on; "": none
	Progress    func(label string, total int) *run.Progress
	OnReject    func(datasets.Reject)

	verifierHash string
}

// run writes all files whole, or none of them.
func (j *dedupJob) run(ctx context.Context) (dedup.Report, error) {
	var rep dedup.Report
	tools := dedup.Tools{TempDir: j.TempDir, Progress: j.Progress, Checkpoint: j.Checkpoint}
	if err := j.openModels(&tools); err != nil {
		return rep, err
	}
	if j.Checkpoint != "" {
		var err error
		if tools.Inputs, err = j.inputs(); err != nil {
			return rep, err
		}
	}
	if len(j.Against) > 0 {
		tools.Against = fileSource{paths: j.Against, format: j.Format}
	}
	work := func() error {
		out, err := datasets.Create(j.Out, datasets.WriteOptions{})
		if err != nil {
			return run.Usage(err)
		}
		in := fileSource{paths: j.Files, format: j.Format, onReject: j.OnReject}
		if rep, err = dedup.Run(ctx, j.Config, in, out, tools); err != nil {
			return errors.Join(err, out.Discard())
		}
		return out.Close()
	}
	for _, side := range []struct {
		path string
		into *io.Writer
	}{{j.Ledger, &tools.Ledger}, {j.Page, &tools.Page}, {j.Certificate, &tools.Certificate}} {
		if side.path == "" {
			continue
		}
		if j.Checkpoint != "" {
			if err := run.SweepFile(side.path); err != nil {
				return rep, err
			}
		}
		inner := work
		work = func() error {
			return run.WriteFile(side.path, func(w io.Writer) error {
				*side.into = w
				return inner()
			})
		}
	}
	return rep, work()
}

// inputs stands for everything that decides what a run finds, besides its configuration: the files by name, size and time, the models
// by their weights.
func (j *dedupJob) inputs() (string, error) {
	var b strings.Builder
	fmt.Fprintln(&b, j.Format, j.Compute)
	for _, list := range [][]string{j.Files, j.Against} {
		stamp, err := stampOf(list)
		if err != nil {
			return "", err
		}
		b.WriteString(stamp)
	}
	fmt.Fprintln(&b, j.verifierHash)
	return b.String(), nil
}

// stampOf tells files from what they were before: by name, size and time.
func stampOf(files []string) (string, error) {
	var b strings.Builder
	fmt.Fprintln(&b, len(files))
	for _, path := range files {
		info, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%q %d %s\n", path, info.Size(), info.ModTime().UTC().Format(time.RFC3339Nano))
	}
	return b.String(), nil
}

// openModels opens the encoder and the cross-encoder that the configuration names, where these are models.
func (j *dedupJob) openModels(t *dedup.Tools) error {
	opt := model.Options{Compute: computeOf(j.Compute)}
	if v := j.Config.Vectors; v.Enabled && v.Encoder != "hash" {
		path, err := findModel(v.Encoder)
		if err != nil {
			return err
		}
		e, err := model.OpenEncoder(path, opt)
		if err != nil {
			return err
		}
		hash, err := run.HashTree(path)
		if err != nil {
			return err
		}
		t.Embedder = embedder{e, fmt.Sprintf("%s@%s/%v", filepath.Base(path), hash[:12], opt.Compute)}
	}
	if k := j.Config.Verifier.Kind; k != "none" && k != "aligned" && len(j.Config.Verifier.Confirm) > 0 {
		if j.Verifier != "" {
			k = j.Verifier
		} else if k == smallKind {
			return run.Usage(&run.Fault{Key: "verifier.kind", Value: k, Want: "the folder of a verifier: plumb dedup train-verifier --out verifier makes verifier/model"})
		}
		path, err := findModel(k)
		if err != nil {
			return err
		}
		if j.verifierHash, err = run.HashTree(path); err != nil {
			return err
		}
		e, err := model.OpenEncoder(path, opt)
		if err != nil {
			return err
		}
		if t.Verifier, err = crossencoder.Open(e, j.Config.Verifier.Adapter); err != nil {
			return err
		}
	}
	if v := j.Config.Verifier; v.Adapter != "" && v.Kind != "none" && len(v.Confirm) > 0 {
		hash, err := run.HashTree(v.Adapter)
		if err != nil {
			return err
		}
		j.verifierHash += " " + hash
	}
	return nil
}

// embedder is an encoder with a name that changes with its weights and arithmetic: a store made with another one must not match.
type embedder struct {
	*model.Encoder
	name string
}

func (e embedder) Name() string { return e.name }

// fileSource reads several files as one set, as often as it is opened.
type fileSource struct {
	paths    []string
	format   string
	onReject func(datasets.Reject) // told in the first pass only; nil: a bad row is an error
}

func (s fileSource) Open() (dedup.Reader, error) {
	return &fileReader{source: s, names: datasets.SourceNames(s.paths)}, nil
}

type fileReader struct {
	source fileSource
	names  []string
	at     int
	open   datasets.Reader
}

func (r *fileReader) Next() (datasets.Record, error) {
	for {
		if r.open == nil {
			if r.at == len(r.source.paths) {
				return datasets.Record{}, io.EOF
			}
			in, err := datasets.Open(r.source.paths[r.at], datasets.ReadOptions{
				Format: r.source.format, OnReject: r.source.onReject, Source: r.names[r.at], DuplicateIDs: "rename",
			})
			if err != nil {
				return datasets.Record{}, err
			}
			r.open = in
			r.at++
		}
		rec, err := r.open.Next()
		if !errors.Is(err, io.EOF) {
			return rec, err
		}
		if err := r.Close(); err != nil {
			return datasets.Record{}, err
		}
	}
}

func (r *fileReader) Close() error {
	if r.open == nil {
		return nil
	}
	err := r.open.Close()
	r.open = nil
	return err
}

// dedupText is the report as people read it.
func dedupText(rep dedup.Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d records, %d kept, %d removed", rep.Records, rep.Kept, rep.Removed)
	for i, s := range rep.ByStage {
		sep := ", "
		if i == 0 {
			sep = ": "
		}
		fmt.Fprintf(&b, "%s%s %d", sep, s.Stage, s.Removed)
	}
	fmt.Fprintf(&b, "\n%d clusters among %d distinct texts\n", rep.Clusters, rep.Distinct)
	if v := rep.Vectors; v != nil && v.Confirmed < v.Alike {
		fmt.Fprintf(&b, "the verifier confirmed %d of %d pairs with like vectors\n", v.Confirmed, v.Alike)
	}
	if v := rep.Vectors; v != nil && v.Recall != nil {
		fmt.Fprintf(&b, "recall of the approximate search: %.4f\n", *v.Recall)
	}
	if c := rep.Certificate; c != nil {
		fmt.Fprintf(&b, "leakage: %d of %d records match %d of %d in the test sets\n", c.TrainLeaked, c.TrainRecords, c.TestLeaked, c.TestRecords)
	}
	return b.String()
}
