// Package batch owns the prefix tree: the one shape that every batch has.
//
// A tree is a packed run of tokens cut into segments. A segment has a parent, attends to itself
// (causally, or fully in an encoder) and fully to its ancestors, and continues their positions.
// Plain packing is all roots; a preference pair is one prompt with two children; a group of
// samples is one prompt with N. There is no padding token.
//
// The package knows nothing of models, tokenizers or numbers.
package batch

import "fmt"

// Segment is a run of rows of a Tree.
type Segment struct {
	Parent int    // index of the parent segment, -1 for a root
	Start  int    // first row in Tree.Tokens
	Len    int    // number of rows, 0 for an empty child
	Pos    int    // position of its first token on the path from the root
	Key    uint64 // identity of the sample, for dropout masks
}

// Target asks for log p(Token | the path up to and including Row).
type Target struct {
	Row   int
	Token int32
}

// PartRows is how many rows go through a model in one pass where memory is short: what passes between a layer's products then
// stays in a thread's caches.
const PartRows = 256

// PassRows is about how many rows a pass has where limit rows may be in memory: half of them, so that two passes
// run side by side, but no fewer than PartRows and no more than twice that. More rows share the weights that a pass reads.
func PassRows(limit int) int { return min(limit, max(PartRows, min(limit/2, 2*PartRows))) }

// Lanes is how many passes run side by side where limit rows may be in memory.
func Lanes(limit int) int { return max(1, limit/PassRows(limit)) }

// Tree is a batch of T = len(Tokens) rows.
type Tree struct {
	Tokens        []int32
	Pos           []int32 // position of each row on its path
	Types         []int32 // token types of encoders; empty means all 0
	Segs          []Segment
	Bidirectional bool // an encoder's batch: segments attend fully to themselves
}

// Add appends tokens as a child of segment parent (-1: a root) and returns the segment's index.
// A child may be empty: it then stands for its parent's last row. It panics when parent is not
// the index of an earlier segment, since that is a fault of the program and not of its input.
func (t *Tree) Add(parent int, tokens []int32, key uint64) int {
	if parent < -1 || parent >= len(t.Segs) {
		panic(fmt.Sprintf("batch: parent %d of %d segments", parent, len(t.Segs)))
	}
	pos := 0
	if parent >= 0 {
		p := t.Segs[parent]
		pos = p.Pos + p.Len
	}
	t.Segs = append(t.Segs, Segment{Parent: parent, Start: len(t.Tokens), Len: len(tokens), Pos: pos, Key: key})
	t.Tokens = append(t.Tokens, tokens...)
	for i := range tokens {
		t.Pos = append(t.Pos, int32(pos+i))
	}
	return len(t.Segs) - 1
}

// Rows returns T, the number of token rows.
func (t *Tree) Rows() int { return len(t.Tokens) }

// Last returns the row of the last token on the path that ends with segment seg: its own last
// row, or that of the nearest ancestor that has one. It returns -1 when the path is empty.
func (t *Tree) Last(seg int) int {
	for ; seg >= 0; seg = t.Segs[seg].Parent {
		if s := t.Segs[seg]; s.Len > 0 {
			return s.Start + s.Len - 1
		}
	}
	return -1
}

// Root returns the root above segment seg.
func (t *Tree) Root(seg int) int {
	for t.Segs[seg].Parent >= 0 {
		seg = t.Segs[seg].Parent
	}
	return seg
}

// Targets lists one target for each token of completion, which follows segment parent and whose
// rows (all but its last token need one) are those of segment seg. The first target reads the
// parent's last row, so a prompt's last row may serve several completions.
func (t *Tree) Targets(parent, seg int, completion []int32) []Target {
	out := make([]Target, len(completion))
	for i, tok := range completion {
		row := t.Last(parent)
		if i > 0 {
			row = t.Segs[seg].Start + i - 1
		}
		out[i] = Target{Row: row, Token: tok}
	}
	return out
}

// TargetRows returns the rows that targets read, each once in the order of first use, and the targets with indices into
// them as rows.
func TargetRows(targets []Target) (rows []int, at []Target) {
	index := map[int]int{}
	at = make([]Target, len(targets))
	for k, t := range targets {
		i, ok := index[t.Row]
		if !ok {
			i = len(rows)
			index[t.Row] = i
			rows = append(rows, t.Row)
		}
		at[k] = Target{Row: i, Token: t.Token}
	}
	return rows, at
}

// AddCompletion appends completion below parent for the computation of log-probabilities: its
// last token predicts nothing that is asked for, so it gets no row. It returns the segment
// and the targets, one a token of completion.
func (t *Tree) AddCompletion(parent int, completion []int32, key uint64) (int, []Target) {
	n := max(len(completion)-1, 0)
	seg := t.Add(parent, completion[:n], key)
	return seg, t.Targets(parent, seg, completion)
}

// CommonPrefix returns the length of the longest prefix that all runs share.
func CommonPrefix(runs ...[]int32) int {
	if len(runs) == 0 {
		return 0
	}
	n := len(runs[0])
	for _, r := range runs[1:] {
		n = min(n, len(r))
		for i := range n {
			if r[i] != runs[0][i] {
				n = i
				break
			}
		}
	}
	return n
}
