package dedup

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"plumb/datasets"
)

// PreferenceReport counts contradictions among the labels. A vote is a record read, copies included.
type PreferenceReport struct {
	Prompts  int       `json:"prompts"`   // distinct after normalisation, or in their tools
	Merged   int       `json:"merged"`    // of those, near-equal to another: one ranking
	Ties     int       `json:"ties"`      // records whose answers are equal after normalisation
	NearTies int       `json:"near_ties"` // nearly equal
	Flipped  int       `json:"flipped"`   // pairs of answers that were preferred both ways
	Cycles   int       `json:"cycles"`    // sets of three answers or more that each beat another in a circle
	Dropped  int       `json:"dropped"`   // records removed by the policies
	Findings []Finding `json:"findings"`  // the first maxFindings of each kind
}

// Finding is one contradiction.
type Finding struct {
	Kind    string `json:"kind"` // tie, near_tie, flipped, cycle
	Prompt  string `json:"prompt"`
	Records []Ref  `json:"records"`
	Votes   []int  `json:"votes,omitempty"` // of each record's direction
}

const maxFindings = 50

// edit changes a record that stays.
type edit struct {
	stage string
	score float64
	kept  int32 // the record whose prompt it takes over
	id    string
}

func (e edit) apply(r *datasets.Record, prompts map[int32][]datasets.Message) {
	r.Prompt = prompts[e.kept]
	r.Meta = maps.Clone(r.Meta)
	if r.Meta == nil {
		r.Meta = map[string]string{}
	}
	r.Meta["prompt_merged_with"] = e.id
}

// preferred is a record that stays: in a group, answer win over answer lose.
type preferred struct {
	record    int32
	win, lose int
	votes     int
}

// judgement collects what preferences needs of the corpus.
type judgement struct {
	m        *matcher
	verdicts []verdict
	report   *PreferenceReport
	found    map[string]int
}

// preferences looks for labels that contradict each other among the records that stay, and applies the policies to
// verdicts. Near-equal prompts that are to be merged become edits.
func (m *matcher) preferences(ctx context.Context, verdicts []verdict, edits map[int32]edit) (*PreferenceReport, error) {
	j := &judgement{m: m, verdicts: verdicts, report: &PreferenceReport{Findings: []Finding{}}, found: map[string]int{}}
	groups, err := j.promptGroups(ctx, edits)
	if err != nil {
		return nil, err
	}
	votes := j.votes()
	bar := m.tools.progress("preferences", len(groups))
	defer bar.Done()
	for _, g := range groups {
		bar.Add(1)
		if err := j.group(ctx, g, votes); err != nil {
			return nil, err
		}
	}
	// A dropped record cannot lend its prompt; its edit, or its own, goes with it.
	for r := range edits {
		if verdicts[r].stage != "" {
			delete(edits, r)
		}
	}
	for i := range verdicts { // nor can it be what another was dropped for
		if v := &verdicts[i]; v.kept >= 0 && strings.HasPrefix(v.stage, "preference:") && verdicts[v.kept].stage != "" {
			v.kept = -1
		}
	}
	m.c.prompts = map[int32][]datasets.Message{}
	lender := map[int32]int32{}
	for _, r := range slices.Sorted(maps.Keys(edits)) {
		e := edits[r]
		if verdicts[e.kept].stage != "" { // the first member that stays takes its place
			if _, ok := lender[e.kept]; !ok {
				lender[e.kept] = r
				delete(edits, r)
				continue
			}
			e.kept = lender[e.kept]
			e.id = m.c.id(e.kept)
			edits[r] = e
		}
		m.c.prompts[e.kept] = nil
	}
	return j.report, nil
}

// votes counts for each record that stays the records it stands for.
func (j *judgement) votes() []int {
	votes := make([]int, len(j.verdicts))
	for i, v := range j.verdicts {
		n := int(j.m.c.entries[i].copies)
		switch {
		case v.stage == "":
			votes[i] += n
		case v.kept >= 0:
			votes[v.kept] += n
		}
	}
	return votes
}

// promptGroups gathers the records that stay by prompt and tools. With MergePrompts near-equal prompts come together as stars around
// the first.
func (j *judgement) promptGroups(ctx context.Context, edits map[int32]edit) ([][]int32, error) {
	c := j.m.c
	at := map[digest]int{}
	var groups [][]int32
	var prompts []string
	var settings []uint64
	for i := range c.entries {
		if j.verdicts[i].stage != "" || c.entries[i].node < 0 {
			continue
		}
		t, err := c.text(int(c.entries[i].node))
		if err != nil {
			return nil, err
		}
		if t[1] == "" || t[2] == "" {
			continue
		}
		setting := c.nodes[c.entries[i].node].setting
		d, _ := normalDigest(&t, KeyPrompt, setting, nil)
		g, ok := at[d]
		if !ok {
			g = len(groups)
			at[d] = g
			groups = append(groups, nil)
			prompts, settings = append(prompts, t[0]), append(settings, setting)
		}
		groups[g] = append(groups[g], int32(i))
	}
	j.report.Prompts = len(groups)
	if !j.m.cfg.Preference.MergePrompts {
		return groups, nil
	}
	pairs, err := j.alike(ctx, prompts)
	if err != nil {
		return nil, err
	}
	into := make([]int, len(groups))
	score := make([]float64, len(groups))
	for i := range into {
		into[i] = i
	}
	for _, p := range pairs { // ascending: when B's turn comes, every A before it has its final place
		if settings[p.A] == settings[p.B] && into[p.A] == p.A && into[p.B] == p.B {
			into[p.B], score[p.B] = p.A, p.Score
		}
	}
	merged := groups[:0:0]
	place := map[int]int{}
	for g, records := range groups {
		if into[g] == g {
			place[g] = len(merged)
			merged = append(merged, records)
			continue
		}
		j.report.Merged++
		to := place[into[g]]
		kept := merged[to][0]
		for _, r := range records {
			edits[r] = edit{"preference:merged_prompt", score[g], kept, c.id(kept)}
		}
		merged[to] = append(merged[to], records...)
	}
	return merged, nil
}

// fewTexts is up to how many texts comparing all with all is sooner done than an index: most prompts have one pair.
const fewTexts = 32

func nearPairs(list []string, c MinHashConfig) (pairs []Pair) {
	if len(list) > fewTexts {
		return MinHashPairs(list, c)
	}
	w := newLexer(c)
	sets := make([][]uint32, len(list))
	for i, text := range list {
		sets[i] = w.set(nil, text)
	}
	for a := range sets {
		for b := a + 1; b < len(sets); b++ {
			if len(sets[a])+len(sets[b]) > 0 {
				if s := c.score(sets[a], sets[b]); s > 0 {
					pairs = append(pairs, Pair{a, b, s})
				}
			}
		}
	}
	return pairs
}

// alike returns the pairs of texts that count as equal: similar by the threshold and, where there is a verifier, confirmed.
func (j *judgement) alike(ctx context.Context, list []string) ([]Pair, error) {
	c := j.m.cfg.MinHash
	c.Threshold, c.Containment, c.Bands = j.m.cfg.Preference.Threshold, 0, 0
	pairs := nearPairs(list, c)
	if j.m.verifier == nil || len(pairs) == 0 {
		return pairs, nil
	}
	var out []Pair
	for lo := 0; lo < len(pairs); lo += j.m.cfg.Verifier.Batch {
		batch := pairs[lo:min(lo+j.m.cfg.Verifier.Batch, len(pairs))]
		ask := make([][2]string, len(batch))
		for i, p := range batch {
			ask[i] = [2]string{min(list[p.A], list[p.B]), max(list[p.A], list[p.B])}
		}
		s, err := j.m.verifier.Score(ctx, ask)
		if err != nil {
			return nil, err
		}
		if len(s) != len(ask) {
			return nil, fmt.Errorf("the verifier gave %d scores for %d pairs", len(s), len(ask))
		}
		for i, p := range batch {
			if s[i] >= j.m.cfg.Verifier.Threshold || Normalise(list[p.A]) == Normalise(list[p.B]) {
				out = append(out, p)
			}
		}
	}
	return out, nil
}

// group examines the records of one prompt.
func (j *judgement) group(ctx context.Context, records []int32, votes []int) error {
	c, cfg := j.m.c, j.m.cfg.Preference
	var answers []string
	number := map[string]int{}
	var list []preferred
	prompt := ""
	for _, r := range records {
		t, err := c.text(int(c.entries[r].node))
		if err != nil {
			return err
		}
		prompt = t[0]
		var side [2]int
		for s := range side {
			key := Normalise(t[1+s])
			if key == "" {
				key = t[1+s]
			}
			n, ok := number[key]
			if !ok {
				n = len(answers)
				number[key] = n
				answers = append(answers, t[1+s])
			}
			side[s] = n
		}
		list = append(list, preferred{r, side[0], side[1], votes[r]})
	}
	same := make([]int, len(answers))
	for i := range same {
		same[i] = i
	}
	pairs, err := j.alike(ctx, answers)
	if err != nil {
		return err
	}
	near := map[[2]int]bool{}
	for _, p := range pairs {
		near[[2]int{p.A, p.B}] = true
		if same[p.A] == p.A && same[p.B] == p.B {
			same[p.B] = p.A
		}
	}
	var open []preferred // neither tied nor removed
	for _, p := range list {
		switch {
		case p.win == p.lose:
			j.report.Ties++
			j.finding("tie", prompt, []preferred{p})
			j.drop(cfg.Ties == "drop", "tie", p)
		case near[[2]int{min(p.win, p.lose), max(p.win, p.lose)}]:
			j.report.NearTies++
			j.finding("near_tie", prompt, []preferred{p})
			j.drop(cfg.NearTies == "drop", "near_tie", p)
		default:
			p.win, p.lose = same[p.win], same[p.lose]
			if p.win != p.lose {
				open = append(open, p)
			}
		}
	}
	open = j.flips(prompt, open, cfg.Flipped)
	j.cycles(prompt, open, len(answers), cfg.Cycles)
	return nil
}

func (j *judgement) drop(yes bool, why string, p preferred) {
	if v := &j.verdicts[p.record]; yes && v.stage == "" && !j.m.c.fixed(p.record) {
		v.stage, v.score, v.kept = "preference:"+why, 1, -1
		j.report.Dropped++
	}
}

func (j *judgement) finding(kind, prompt string, list []preferred) {
	if j.found[kind]++; j.found[kind] > maxFindings {
		return
	}
	f := Finding{Kind: kind, Prompt: clip(prompt, 200)}
	for _, p := range list {
		f.Records = append(f.Records, j.m.c.ref(p.record))
		f.Votes = append(f.Votes, p.votes)
	}
	j.report.Findings = append(j.report.Findings, f)
}

// flips treats answers preferred both ways, and returns the records between which none is left.
func (j *judgement) flips(prompt string, list []preferred, policy string) []preferred {
	votes := map[[2]int]int{}
	for _, p := range list {
		votes[[2]int{p.win, p.lose}] += p.votes
	}
	var rest []preferred
	seen := map[[2]int]bool{}
	for _, p := range list {
		way, back := [2]int{p.win, p.lose}, [2]int{p.lose, p.win}
		if votes[back] == 0 {
			rest = append(rest, p)
			continue
		}
		if pair := [2]int{min(p.win, p.lose), max(p.win, p.lose)}; !seen[pair] {
			seen[pair] = true
			j.report.Flipped++
			var all []preferred
			for _, q := range list {
				if d := [2]int{q.win, q.lose}; d == way || d == back {
					q.votes = votes[d]
					all = append(all, q)
				}
			}
			j.finding("flipped", prompt, all)
		}
		switch {
		case policy == "drop", policy == "majority" && votes[way] <= votes[back]:
			j.drop(true, "flipped", p)
			if v := &j.verdicts[p.record]; policy == "majority" && votes[way] < votes[back] && v.stage == "preference:flipped" {
				v.score = float64(votes[back]) / float64(votes[way]+votes[back])
				for _, q := range list {
					if q.win == p.lose && q.lose == p.win {
						v.kept = q.record
						break
					}
				}
			}
		case policy == "majority":
			rest = append(rest, p)
		}
	}
	return rest
}
