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
	Rejects     *datasets.RejectWriter // nil: a bad row is an error

	verifierHash string
}

// run writes all files, each whole. The output comes last, when what restores the input from it is in its place, and only then the
// checkpoints go: a run that is stopped in between is started again.
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
	out, err := datasets.Create(j.Out, datasets.WriteOptions{})
	if err != nil {
		return rep, run.Usage(err)
	}
	err = j.withSides(&tools, func() (err error) {
		rep, err = dedup.Run(ctx, j.Config, fileSource{paths: j.Files, format: j.Format, onReject: j.onReject()}, out, tools)
		return err
	})
	if err == nil && j.Rejects != nil {
		err = j.Rejects.Close()
	}
	if err != nil {
		return rep, errors.Join(err, out.Discard())
	}
	if err := out.Close(); err != nil {
		return rep, err
	}
	return rep, tools.Done()
}

// withSides gives work the ledger, the page and the certificate to write, and puts them in their places when it is done.
func (j *dedupJob) withSides(tools *dedup.Tools, work func() error) error {
	for _, side := range []struct {
		path string
		into *io.Writer
	}{{j.Ledger, &tools.Ledger}, {j.Page, &tools.Page}, {j.Certificate, &tools.Certificate}} {
		if side.path == "" {
			continue
		}
		if j.Checkpoint != "" {
			if err := run.SweepFile(side.path); err != nil {
				return err
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
	return work()
}

// onReject takes bad rows once, though files are read twice.
func (j *dedupJob) onReject() func(datasets.Reject) {
	if j.Rejects == nil {
		return nil
	}
	seen := map[[2]string]bool{}
	return func(r datasets.Reject) {
		if key := [2]string{r.File, fmt.Sprint(r.Row, r.Reason)}; !seen[key] {
			seen[key] = true
			j.Rejects.Add(r)
		}
	}
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

// fileSource reads several files as one set, as often as it is opened; ids are unique over all of them.
type fileSource struct {
	paths    []string
	format   string
	onReject func(datasets.Reject) // nil: a bad row is an error
}

func (s fileSource) Open() (dedup.Reader, error) {
	return datasets.OpenAll(s.paths, datasets.ReadOptions{Format: s.format, OnReject: s.onReject, DuplicateIDs: "rename"})
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
