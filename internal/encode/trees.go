package encode

import (
	"slices"

	"plumb/internal/batch"
)

// Rows returns how many rows a pair's sequences take as a prefix tree.
func (p Pair) Rows() int {
	n := batch.CommonPrefix(p.Chosen, p.Rejected)
	return len(p.Prompt) + len(p.Chosen) + len(p.Rejected) - n
}

// Rows returns how many rows an example takes.
func (x Example) Rows() int { return len(x.Tokens) - 1 }

// AddPair appends the tree of a DPO pair: the longest common prefix of both sequences as root,
// two children without the last token, which predicts nothing that is asked for. It returns the targets of
// both completions; a completion token that nothing precedes has none. Tokens that both
// completions begin with are targets of both, on the same rows.
func AddPair(t *batch.Tree, p Pair, key uint64) (chosen, rejected []batch.Target) {
	c, r := whole(p.Prompt, p.Chosen), whole(p.Prompt, p.Rejected)
	cRows, rRows := c[:len(c)-1], r[:len(r)-1]
	n := batch.CommonPrefix(cRows, rRows)
	root := t.Add(-1, cRows[:n], key)
	sc := t.Add(root, cRows[n:], key)
	sr := t.Add(root, rRows[n:], key)
	return targets(t, root, sc, c, len(p.Prompt)), targets(t, root, sr, r, len(p.Prompt))
}

// AddRewardPair appends the tree of a reward pair and returns the rows of the last tokens of both
// sequences.
func AddRewardPair(t *batch.Tree, p Pair, key uint64) (chosen, rejected int) {
	root := t.Add(-1, p.Prompt, key)
	sc := t.Add(root, p.Chosen, key)
	sr := t.Add(root, p.Rejected, key)
	return t.Last(sc), t.Last(sr)
}

// AddExample appends the tree of a demonstration, one root without the last token, and returns its targets.
func AddExample(t *batch.Tree, x Example, key uint64) []batch.Target {
	root := t.Add(-1, x.Tokens[:len(x.Tokens)-1], key)
	return targets(t, root, root, x.Tokens, x.From)
}

func whole(prompt, completion []int32) []int32 {
	return append(append(make([]int32, 0, len(prompt)+len(completion)), prompt...), completion...)
}

// targets lists the targets of path[from:], where path runs through root and then seg.
func targets(t *batch.Tree, root, seg int, path []int32, from int) []batch.Target {
	a, b := t.Segs[root], t.Segs[seg]
	var out []batch.Target
	for i := max(from, 1); i < len(path); i++ {
		row := a.Start + i - 1
		if i-1 >= a.Len {
			row = b.Start + i - 1 - a.Len
		}
		out = append(out, batch.Target{Row: row, Token: path[i]})
	}
	return out
}

// Parts cuts a batch into the parts of its passes, lists of items in ascending order. Consecutive items of at most limit rows, unless one has more, are in
// memory at once: they are shared out to as many passes as run side by side (batch.PassRows), so that all take about as long. rows gives the rows of
// each item.
func Parts(rows []int, limit int) (parts [][]int) {
	for first := 0; first < len(rows); {
		end, sum := first, 0
		for end < len(rows) && (end == first || sum+rows[end] <= limit) {
			sum += rows[end]
			end++
		}
		for _, part := range share(rows[first:end], make([]int, batch.Lanes(limit))) {
			for k := range part {
				part[k] += first
			}
			parts = append(parts, part)
		}
		first = end
	}
	return parts
}

// Beside cuts a batch into parts of at most limit rows, unless one item has more, that fill up what passes before them leave of as many threads as busy has:
// busy says how many rows each has to do until then, and is that with these parts afterwards. Parts are in descending order of their rows.
func Beside(rows, busy []int, limit int) (parts [][]int) {
	sum := func(part []int) (n int) {
		for _, i := range part {
			n += rows[i]
		}
		return n
	}
	for _, part := range share(rows, busy) {
		for first, end := 0, 1; first < len(part); end++ {
			if end == len(part) || sum(part[first:end+1]) > limit {
				parts = append(parts, part[first:end])
				first = end
			}
		}
	}
	slices.SortStableFunc(parts, func(a, b []int) int { return sum(b) - sum(a) })
	return parts
}

// share shares items out to parts: the longest first, each to the part that has the fewest rows, with those that sums says it has already. It leaves out parts without
// items.
func share(rows, sums []int) [][]int {
	order := make([]int, len(rows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return rows[b] - rows[a] })
	parts := make([][]int, len(sums))
	for _, i := range order {
		j := Least(sums)
		parts[j], sums[j] = append(parts[j], i), sums[j]+rows[i]
	}
	for _, p := range parts {
		slices.Sort(p)
	}
	return slices.DeleteFunc(parts, func(p []int) bool { return len(p) == 0 })
}

// Least is the index of the first of the smallest.
func Least(sums []int) int { return slices.Index(sums, slices.Min(sums)) }

// Pick returns the items of x that a part lists.
func Pick[T any](x []T, part []int) []T {
	out := make([]T, len(part))
	for k, i := range part {
		out[k] = x[i]
	}
	return out
}
