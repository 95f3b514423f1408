package datasets

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
)

// ranked is one answer of a ranking. Either ranks (small is better) or scores (large is better) order it.
type ranked struct {
	answer []Message
	rank   *float64
	score  *float64
	id     string
	meta   map[string]string
	at     int // among the rows of its group, when it is a row
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

// maxPairs is how many pairs the ranking of a row makes, before ties, or the rankings of a tree: they are all in memory together. All
// pairs of 447 answers are that many.
const (
	maxPairs   = 100_000
	fewerPairs = "read rankings as pairs of best or ends, or make them shorter"
)

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
	chosen, err := choosePairs(answers, how)
	if err != nil {
		return nil, err
	}
	base.Prompt = slices.Clip(base.Prompt)
	out := make([]Record, len(chosen))
	for i, p := range chosen {
		out[i] = pairOf(base, p[0], p[1])
	}
	return out, nil
}

// choosePairs sorts answers, the best first, and says which become pairs, the better one first.
func choosePairs(answers []ranked, how string) ([][2]*ranked, error) {
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
	n := len(answers)
	heads, most := n-1, n*(n-1)/2 // answers that are the better one of a pair
	switch how {
	case "best":
		heads, most = 1, n-1
	case "ends":
		heads, most = 1, 1
	}
	if most > maxPairs {
		return nil, fmt.Errorf("%d answers make %d pairs, at most %d were expected: %s", n, most, maxPairs, fewerPairs)
	}
	sort.SliceStable(answers, func(i, j int) bool { return answers[i].better(&answers[j]) > 0 })
	var out [][2]*ranked
	for i := range heads {
		j := i + 1
		if how == "ends" {
			j = n - 1
		}
		for ; j < n; j++ {
			if answers[i].better(&answers[j]) > 0 {
				out = append(out, [2]*ranked{&answers[i], &answers[j]})
			}
		}
	}
	if len(out) == 0 {
		return nil, errTied
	}
	return out, nil
}

// pairOf makes the record of two answers. Records of one ranking share their messages.
func pairOf(base Record, better, worse *ranked) Record {
	rec := base
	rec.Chosen, rec.Rejected = better.answer, worse.answer
	rec.ChosenScore, rec.RejectedScore = better.score, worse.score
	rec.Meta = maps.Clone(base.Meta)
	if better.score == nil {
		rec.setMeta("chosen_rank", fmt.Sprintf("%g", *better.rank))
		rec.setMeta("rejected_rank", fmt.Sprintf("%g", *worse.rank))
	}
	for k, v := range better.meta {
		rec.setMeta("chosen_"+k, v)
	}
	for k, v := range worse.meta {
		rec.setMeta("rejected_"+k, v)
	}
	return rec
}

func (r *Record) setMeta(key, value string) {
	if r.Meta == nil {
		r.Meta = map[string]string{}
	}
	r.Meta[key] = value
}
