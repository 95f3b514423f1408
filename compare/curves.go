package compare

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// curveFigures are the metrics worth drawing, where a log holds them: what each trainer moves, and what it must not.
var curveFigures = []string{
	"loss", "eval_loss", "accuracy", "eval_accuracy", "rewards/margins", "rewards/accuracies", "eval_rewards/margins",
	"objective/scores", "objective/kl", "objective/rlhf_reward", "policy/entropy_avg", "loss/value_avg",
}

// readCurves reads the logs; one that does not exist has no curves. A value that is null was not a number when it was
// logged and leaves a gap.
func readCurves(logs []Log) ([]Curve, error) {
	var curves []Curve
	for _, l := range logs {
		b, err := os.ReadFile(l.Path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		byName := map[string]*Curve{}
		scan := bufio.NewScanner(bytes.NewReader(b))
		scan.Buffer(nil, 1<<20)
		for line := 1; scan.Scan(); line++ {
			var entry map[string]any
			if err := json.Unmarshal(scan.Bytes(), &entry); err != nil {
				return nil, fmt.Errorf("%s:%d: not a line of metrics: %w", l.Path, line, err)
			}
			step, ok := entry["step"].(float64)
			if !ok {
				return nil, fmt.Errorf("%s:%d: no step", l.Path, line)
			}
			for _, name := range curveFigures {
				if v, ok := entry[name].(float64); ok {
					if byName[name] == nil {
						byName[name] = &Curve{Run: l.Run, Figure: name}
					}
					c := byName[name]
					c.Steps, c.Values = append(c.Steps, step), append(c.Values, v)
				}
			}
		}
		if err := scan.Err(); err != nil {
			return nil, fmt.Errorf("%s: %w", l.Path, err)
		}
		for _, name := range curveFigures {
			if c := byName[name]; c != nil && len(c.Steps) > 1 {
				curves = append(curves, *c)
			}
		}
	}
	return curves, nil
}

// writeSamples writes every answer, a prompt a line.
func (r *Report) writeSamples(w io.Writer, prompts []prompt) error {
	type runAnswers struct {
		Run    string   `json:"run"`
		Texts  []string `json:"texts"`
		Gold   *float64 `json:"gold,omitempty"` // mean over the texts, as Reward
		Reward *float64 `json:"reward,omitempty"`
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for i, p := range prompts {
		line := struct {
			Prompt  string       `json:"prompt"`
			Answers []runAnswers `json:"answers"`
		}{Prompt: p.text}
		for k := range r.Runs {
			rr := &r.Runs[k]
			a := runAnswers{Run: rr.Name, Texts: rr.answers[i]}
			if rr.gold != nil {
				a.Gold = &rr.gold[i]
			}
			if rr.reward != nil {
				a.Reward = &rr.reward[i]
			}
			line.Answers = append(line.Answers, a)
		}
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	return nil
}
