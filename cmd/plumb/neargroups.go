package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"plumb/datasets"
	"plumb/dedup"
	"plumb/internal/run"
)

// nearVectors is how many records are compared by vectors too when nobody says: the flat scan of a million takes hours.
const nearVectors = 50_000

// nearRecall is the probability that MinHash proposes two prompts at its threshold. A copy that is missed here leaks, so it is higher than
// where copies are only removed.
const nearRecall = 0.9999

// nearGroups groups records by their prompts, near-equal ones together; records without a prompt by their text. It reads the files once
// before they are split and holds 32 bytes a record beside what dedup holds. The name says how they were grouped. What was found is kept
// in the file keep, unless that is "", and taken from there by a run over the same files.
func nearGroups(ctx context.Context, files []string, read datasets.ReadOptions, by, keep string, stderr io.Writer) (group func(*datasets.Record) string, name string, err error) {
	found := &nearFound{}
	inputs, err := stampOf(files)
	if err != nil {
		return nil, "", err
	}
	inputs += fmt.Sprintf("%s|%s|%d|%s|%s", read.Format, read.Pairs, read.MaxRow, read.Kind, by)
	if keep != "" && found.load(keep, inputs) {
		fmt.Fprintln(stderr, "near-equal prompts: as an earlier run found them")
		return found.group, found.By, nil
	}
	*found = nearFound{Inputs: inputs}
	cfg := dedup.Defaults()
	cfg.Key, cfg.Preference.Enabled = dedup.KeyPrompt, false
	cfg.MinHash.Recall = nearRecall
	cfg.Verifier.Kind = "none" // it parts prompts that differ in a number or a name: copies no more, but still near enough to leak
	src := &promptSource{files: files, read: read}
	switch by {
	case "vectors":
	case "minhash":
		cfg.Vectors.Enabled = false
	case "auto":
		n, err := src.count(nearVectors + 1)
		if err != nil {
			return nil, "", err
		}
		if cfg.Vectors.Enabled = n <= nearVectors; !cfg.Vectors.Enabled {
			fmt.Fprintf(stderr, "more than %d records: near-equal prompts are found by MinHash alone (--near-by vectors adds the vectors)\n", nearVectors)
		}
	default:
		return nil, "", run.Usage(fmt.Errorf("--near-by %s: want auto, minhash or vectors", by))
	}
	groups, err := dedup.Groups(ctx, cfg, src, dedup.Tools{
		Progress: func(label string, total int) *run.Progress { return run.NewProgress(stderr, label, total) },
	})
	if err != nil {
		return nil, "", err
	}
	found.By, found.Of = fmt.Sprintf("near prompts, vectors %v", cfg.Vectors.Enabled), leastKeys(groups, src.keys)
	if keep != "" {
		err = run.WriteFile(keep, func(w io.Writer) error { return gob.NewEncoder(w).Encode(found) })
	}
	return found.group, found.By, err
}

// nearFound are the groups of a set: the keys that stand in one under another key, its least, so that its part does not depend on the
// order of the records.
type nearFound struct {
	Inputs string // what they were found in, and how
	By     string
	Of     map[promptKey]promptKey
}

func (f *nearFound) group(r *datasets.Record) string {
	k := keyOf(r)
	if to, ok := f.Of[k]; ok {
		k = to
	}
	return hex.EncodeToString(k[:])
}

// load takes the groups that an earlier run has found in the same inputs, if it has.
func (f *nearFound) load(path, inputs string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	return gob.NewDecoder(bufio.NewReader(file)).Decode(f) == nil && f.Inputs == inputs
}

func leastKeys(groups []int, keys []promptKey) map[promptKey]promptKey {
	least := map[int]promptKey{}
	for i, g := range groups {
		if old, ok := least[g]; !ok || bytes.Compare(keys[i][:], old[:]) < 0 {
			least[g] = keys[i]
		}
	}
	of := map[promptKey]promptKey{}
	for i, g := range groups {
		if k := keys[i]; k != least[g] {
			of[k] = least[g]
		}
	}
	return of
}

// promptKey is datasets.PromptKey in bytes.
type promptKey [32]byte

func keyOf(r *datasets.Record) (k promptKey) {
	if _, err := hex.Decode(k[:], []byte(datasets.PromptKey(r))); err != nil {
		panic(err) // PromptKey is a SHA-256 in hex
	}
	return k
}

// promptSource reads files as dedup wants them and notes the key of every record. Rejects are told when the files are split.
type promptSource struct {
	files []string
	read  datasets.ReadOptions
	keys  []promptKey
}

func (s *promptSource) Open() (dedup.Reader, error) {
	s.keys = s.keys[:0]
	read := s.read
	read.OnReject = func(datasets.Reject) {}
	r, err := datasets.OpenAll(s.files, read)
	if err != nil {
		return nil, err
	}
	return &promptReader{s, r}, nil
}

// count reads up to n records and tells how many there were.
func (s *promptSource) count(n int) (int, error) {
	r, err := s.Open()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for i := 0; i < n; i++ {
		if _, err := r.Next(); errors.Is(err, io.EOF) {
			return i, nil
		} else if err != nil {
			return 0, err
		}
	}
	return n, nil
}

type promptReader struct {
	s *promptSource
	datasets.Reader
}

func (r *promptReader) Next() (datasets.Record, error) {
	rec, err := r.Reader.Next()
	if err != nil {
		return rec, err
	}
	r.s.keys = append(r.s.keys, keyOf(&rec))
	if len(rec.Prompt) == 0 {
		rec.Prompt = rec.Chosen
	}
	return rec, nil
}
