package synth

import (
	"fmt"
	"sort"
	"strings"

	"plumb/datasets"
	"plumb/datasets/synth/gold"
)

// Stats is what is known of a draw. It is printed, and never read by a trainer.
type Stats struct {
	Possible          int     `json:"possible_prompts"`
	Demonstrations    int     `json:"demonstrations"`
	Pairs             int     `json:"pairs"` // without the planted copies
	ExactCopies       int     `json:"exact_copies"`
	NearCopies        int     `json:"near_copies"`
	HeldOut           int     `json:"held_out"`
	BestAccuracy      float64 `json:"best_accuracy"`      // of a judge who knows gold, on these pairs: mean of max(p, 1-p)
	FallingShare      float64 `json:"falling_share"`      // pairs with an answer of more than gold.BestMarks marks
	DemonstrationGold float64 `json:"demonstration_gold"` // mean gold of the demonstrations: what sft can be expected to score
	ConstantGold      float64 `json:"constant_gold"`      // mean gold of the best of the commonest answers given to every held-out prompt
	Constant          string  `json:"constant"`           // that answer
}

// commonest is how many of the answers seen most often are tried as constants.
const commonest = 1000

// constantPrompts bounds the prompts a constant is tried on: its mean is far below any bound anyway.
const constantPrompts = 200

func measure(cfg Config, w World) Stats {
	s := Stats{Possible: gold.Possible(), Demonstrations: len(w.Demonstrations), Pairs: len(w.Pairs),
		ExactCopies: cfg.ExactCopies, NearCopies: cfg.NearCopies, HeldOut: len(w.HeldOut)}
	var answers, held []string
	for _, rec := range w.Demonstrations {
		answers = append(answers, Text(rec.Chosen))
		s.DemonstrationGold += gold.Score(Text(rec.Prompt), Text(rec.Chosen)) / float64(len(w.Demonstrations))
	}
	for _, rec := range w.Pairs {
		a, b := Text(rec.Chosen), Text(rec.Rejected)
		p := prefer(gold.Score(Text(rec.Prompt), a), gold.Score(Text(rec.Prompt), b), cfg.Tau)
		s.BestAccuracy += max(p, 1-p) / float64(len(w.Pairs))
		if strings.Count(a, "!") > gold.BestMarks || strings.Count(b, "!") > gold.BestMarks {
			s.FallingShare += 1 / float64(len(w.Pairs))
		}
	}
	for i, rec := range w.HeldOut {
		if i == constantPrompts {
			break
		}
		held = append(held, Text(rec.Prompt))
	}
	s.Constant, s.ConstantGold = gold.BestConstant(Commonest(answers, commonest), held)
	return s
}

// Commonest returns the n texts seen most often, most frequent first, ties in alphabetical order.
func Commonest(texts []string, n int) []string {
	seen := map[string]int{}
	for _, t := range texts {
		seen[t]++
	}
	distinct := make([]string, 0, len(seen))
	for t := range seen {
		distinct = append(distinct, t)
	}
	sort.Slice(distinct, func(i, j int) bool {
		a, b := distinct[i], distinct[j]
		if seen[a] != seen[b] {
			return seen[a] > seen[b]
		}
		return a < b
	})
	return distinct[:min(n, len(distinct))]
}

// String is what `data synth` prints.
func (s Stats) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "prompts possible        %d\n", s.Possible)
	fmt.Fprintf(&b, "demonstrations          %d, mean gold %.3f\n", s.Demonstrations, s.DemonstrationGold)
	fmt.Fprintf(&b, "pairs                   %d, and %d exact and %d near copies planted\n", s.Pairs, s.ExactCopies, s.NearCopies)
	fmt.Fprintf(&b, "held-out pairs          %d\n", s.HeldOut)
	fmt.Fprintf(&b, "best possible accuracy  %.1f%%\n", 100*s.BestAccuracy)
	fmt.Fprintf(&b, "pairs where style falls %.2f%%\n", 100*s.FallingShare)
	fmt.Fprintf(&b, "best constant answer    mean gold %.3f: %q\n", s.ConstantGold, s.Constant)
	return b.String()
}

// Answers returns the assistant's texts of records, chosen sides only.
func Answers(records []datasets.Record) []string {
	texts := make([]string, len(records))
	for i, rec := range records {
		texts[i] = Text(rec.Chosen)
	}
	return texts
}
