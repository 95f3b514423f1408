package datasets

import (
	"errors"
	"fmt"
	"sort"
)

// ranked is one answer of a ranking. Either ranks (small is better) or scores (large is better) order it.
type ranked struct {
	answer []Message
	rank   *float64
	score  *float64
	id     string
	meta   map[string]string
}

// better is how much better a is than b: its order among the answers, not a distance.
func (a *ranked) better(b *ranked) int {
	switch {
	case a.score != nil && b.score != nil:
		return compare(*a.score, *b.score)
	case a.rank != nil && b.rank != nil:
		return compare(*b.rank, *a.rank)
	}
	return 0
}

func compare(a, b float64) int {
	switch {
	case a > b:
		return 1
	case a < b:
		return -1
	}
	return 0
}

var errTied = errors.New("the answers are tied: no pair can be made")

// pairs makes the records of a ranking from base (prompt, id, tools): one a pair, chosen better than rejected, ties skipped. A single
// answer becomes a demonstration.
func pairs(base Record, answers []ranked, how string) ([]Record, error) {
	if len(answers) == 0 {
		return nil, errors.New("there is no answer")
	}
	if len(answers) == 1 {
		rec := base
		rec.Chosen, rec.ChosenScore = answers[0].answer, answers[0].score
		return []Record{rec}, nil
	}
	scored, ordered := true, true
	for i := range answers {
		scored = scored && answers[i].score != nil
		ordered = ordered && answers[i].rank != nil
	}
	if !scored && !ordered {
		return nil, errors.New("every answer needs a rank or every answer a score")
	}
	if !scored {
		for i := range answers {
			answers[i].score = nil
		}
	}
	sort.SliceStable(answers, func(i, j int) bool { return answers[i].better(&answers[j]) > 0 })
	var out []Record
	last := len(answers) - 1
	for i := range answers {
		for j := i + 1; j <= last; j++ {
			if how == "best" && i > 0 || how == "ends" && (i > 0 || j < last) || answers[i].better(&answers[j]) <= 0 {
				continue
			}
			rec := base
			rec.Prompt = append([]Message(nil), base.Prompt...)
			rec.Chosen = append([]Message(nil), answers[i].answer...)
			rec.Rejected = append([]Message(nil), answers[j].answer...)
			rec.ChosenScore, rec.RejectedScore = answers[i].score, answers[j].score
			rec.Meta = nil
			for k, v := range base.Meta {
				rec.setMeta(k, v)
			}
			if !scored {
				rec.setMeta("chosen_rank", fmt.Sprintf("%g", *answers[i].rank))
				rec.setMeta("rejected_rank", fmt.Sprintf("%g", *answers[j].rank))
			}
			for k, v := range answers[i].meta {
				rec.setMeta("chosen_"+k, v)
			}
			for k, v := range answers[j].meta {
				rec.setMeta("rejected_"+k, v)
			}
			out = append(out, rec)
		}
	}
	if len(out) == 0 {
		return nil, errTied
	}
	return out, nil
}

func (r *Record) setMeta(key, value string) {
	if r.Meta == nil {
		r.Meta = map[string]string{}
	}
	r.Meta[key] = value
}
