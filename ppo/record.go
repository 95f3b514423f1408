package ppo

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"plumb/internal/run"
)

// rolloutName is the record of the update under way. A scorer may be a program or a service that
// does not answer twice alike: an update that is done again after a kill takes its scores from
// here. It is also where a user sees what the policy says.
const rolloutName = "rollout.json"

type rolloutFile struct {
	Update  int             `json:"update"` // from 1
	Samples []rolloutSample `json:"samples"`
}

type rolloutSample struct {
	Tokens string `json:"tokens"` // hash of prompt and response
	Answer string `json:"answer"`
	Score  string `json:"score"` // hexadecimal: exact
}

// scoreOnce scores the episodes of an update (from 0), or takes the scores of the same samples from the record.
func (t *trainer) scoreOnce(ctx context.Context, st *run.Stage, update int, episodes []*episode) error {
	path := st.Path(rolloutName)
	if known, err := readRollout(path); err != nil {
		return err
	} else if known.matches(update, episodes) {
		for i, e := range episodes {
			if e.score, err = strconv.ParseFloat(known.Samples[i].Score, 64); err != nil {
				return fmt.Errorf("%s: sample %d: %w", path, i+1, err)
			}
		}
		return nil
	}
	if err := t.score(ctx, episodes); err != nil {
		return err
	}
	f := rolloutFile{Update: update + 1}
	for _, e := range episodes {
		f.Samples = append(f.Samples, rolloutSample{e.hash(), t.answer(e), strconv.FormatFloat(e.score, 'x', -1, 64)})
	}
	return run.WriteJSON(path, f)
}

func readRollout(path string) (rolloutFile, error) {
	var f rolloutFile
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return f, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err != nil {
		return f, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

func (f rolloutFile) matches(update int, episodes []*episode) bool {
	if f.Update != update+1 || len(f.Samples) != len(episodes) {
		return false
	}
	for i, e := range episodes {
		if f.Samples[i].Tokens != e.hash() {
			return false
		}
	}
	return true
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
