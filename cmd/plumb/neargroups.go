package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

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
// before they are split and holds 32 bytes a record beside what dedup holds. The name says how they were grouped.
func nearGroups(ctx context.Context, files []string, read datasets.ReadOptions, by string, stderr io.Writer) (group func(*datasets.Record) string, name string, err error) {
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
	// The least key names a group, so that its part does not depend on the order of the records.
	least := map[int]promptKey{}
	for i, g := range groups {
		if old, ok := least[g]; !ok || bytes.Compare(src.keys[i][:], old[:]) < 0 {
			least[g] = src.keys[i]
		}
	}
	of := map[promptKey]promptKey{}
	for i, g := range groups {
		if k := src.keys[i]; k != least[g] {
			of[k] = least[g]
		}
	}
	return func(r *datasets.Record) string {
		k := keyOf(r)
		if to, ok := of[k]; ok {
			k = to
		}
		return hex.EncodeToString(k[:])
	}, fmt.Sprintf("near prompts, vectors %v", cfg.Vectors.Enabled), nil
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
