package ppo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"plumb/internal/run"
)

// recordName is the file of a record: a line for each rollout.
const recordName = "rollouts.jsonl"

// record keeps the answers and scores of all rollouts since the last checkpoint of an uninterrupted run. A scorer may be a program or a
// service that does not answer twice alike: what is done again after a kill takes its scores from here. It is also where a user
// sees what the policy says.
type record struct {
	path  string
	every int // steps from checkpoint to checkpoint, 0: there is none on the way
	lines []rollout
}

// rollout is what was sampled and scored at once: in an update, counted from 1, or for the evaluation after one.
type rollout struct {
	Update     int             `json:"update"`
	Evaluation bool            `json:"evaluation,omitempty"`
	Samples    []rolloutSample `json:"samples"`
}

type rolloutSample struct {
	Tokens string `json:"tokens"` // hash of prompt and response
	Answer string `json:"answer"`
	Score  string `json:"score"` // hexadecimal: exact
}

// openRecord reads a record. A last line that a kill or a full disk cut is taken off.
func openRecord(path string, every int) (*record, error) {
	r := &record{path: path, every: every}
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return r, nil
	} else if err != nil {
		return nil, err
	}
	whole := b[:bytes.LastIndexByte(b, '\n')+1]
	for line := range bytes.Lines(whole) {
		var l rollout
		if err := json.Unmarshal(line, &l); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, len(r.lines)+1, err)
		}
		r.lines = append(r.lines, l)
	}
	if len(whole) < len(b) {
		return r, os.Truncate(path, int64(len(whole)))
	}
	return r, nil
}

// scoreOnce scores the episodes of an update, or of the evaluation after it, or takes the scores of the same samples from the record.
func (t *trainer) scoreOnce(ctx context.Context, update int, evaluation bool, episodes []*episode) error {
	l := rollout{Update: update, Evaluation: evaluation, Samples: make([]rolloutSample, len(episodes))}
	for i, e := range episodes {
		l.Samples[i].Tokens = e.hash()
	}
	if at := slices.IndexFunc(t.record.lines, l.same); at >= 0 {
		for i, e := range episodes {
			var err error
			if e.score, err = strconv.ParseFloat(t.record.lines[at].Samples[i].Score, 64); err != nil {
				return fmt.Errorf("%s: line %d: sample %d: %w", t.record.path, at+1, i+1, err)
			}
		}
		return nil
	}
	if err := t.score(ctx, episodes); err != nil {
		return err
	}
	for i, e := range episodes {
		l.Samples[i].Answer, l.Samples[i].Score = t.answer(e), strconv.FormatFloat(e.score, 'x', -1, 64)
	}
	return t.record.add(l)
}

// same tells whether o is of the same samples.
func (l rollout) same(o rollout) bool {
	return o.of(l) && slices.EqualFunc(o.Samples, l.Samples, func(x, y rolloutSample) bool { return x.Tokens == y.Tokens })
}

// of tells whether l is of the same update or evaluation as o.
func (l rollout) of(o rollout) bool { return l.Update == o.Update && l.Evaluation == o.Evaluation }

// add writes a rollout to the end of the file, or the file anew without what the last checkpoint has made needless. An interruption's checkpoint
// does not count: the file is the same with interruptions as without.
func (r *record) add(l rollout) error {
	saved := 0
	if r.every > 0 {
		saved = (l.Update - 1) / r.every * r.every
	}
	kept := slices.DeleteFunc(slices.Clone(r.lines), func(o rollout) bool { return o.Update <= saved || o.of(l) })
	fresh := []rollout{l}
	write := r.append
	if len(kept) < len(r.lines) {
		fresh, write = append(kept, l), func(b []byte) error {
			return run.WriteFile(r.path, func(w io.Writer) error {
				_, err := w.Write(b)
				return err
			})
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, l := range fresh {
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	if err := write(b.Bytes()); err != nil {
		return err
	}
	r.lines = append(kept, l)
	return nil
}

func (r *record) append(b []byte) (err error) {
	f, err := os.OpenFile(r.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	if _, err := f.Write(b); err != nil {
		return err
	}
	return f.Sync()
}

// hash identifies a sample by its tokens.
func (e *episode) hash() string {
	h := sha256.New()
	for _, ids := range [][]int32{e.prompt, e.tokens} {
		binary.Write(h, binary.LittleEndian, uint64(len(ids)))
		binary.Write(h, binary.LittleEndian, ids)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
