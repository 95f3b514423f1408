package datasets

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
)

func init() {
	register(&format{
		name: "oasst-tree", about: "Open Assistant trees: prompt with nested replies; ranks of siblings become pairs", order: 12,
		detect: func(f fields) bool { return f.has("message_tree_id") && f.kind("prompt") == '{' },
		decode: decodeOASSTTree,
		encode: encodeOASSTTree,
		can:    holds{kinds: []Kind{Preference, Instruction}, chat: true, meta: true},
		notes:  oasstNotes,
		unread: oasstUnread,
	})
	register(&format{
		name: "oasst", about: "Open Assistant messages, one a row, joined by parent_id; ranks of siblings become pairs", order: 13,
		detect: func(f fields) bool { return f.has("message_id", "message_tree_id", "text", "role") },
		group: func(o *ReadOptions) grouper {
			return &oasstGroups{how: o.Pairs, open: map[string]*oasstTree{}, done: newIDSet()}
		},
		encode: encodeOASST,
		can:    holds{kinds: []Kind{Preference, Instruction}, chat: true, meta: true},
		notes:  oasstNotes,
		unread: oasstUnread,
	})
}

// node is one message of a tree.
type node struct {
	id, parent string
	msg        Message
	rank       *float64
	deleted    bool
	lang       string
	meta       map[string]string
	replies    []*node
	row        int64
	text       string
	at         int // among the rows of its group
}

func oasstNode(f fields) (*node, error) {
	n := &node{id: f.whole("message_id"), parent: f.whole("parent_id"), lang: f.whole("lang")}
	role, err := f.must("role")
	if err != nil {
		return nil, err
	}
	switch role {
	case "prompter":
		n.msg.Role = "user"
	case "assistant", "system":
		n.msg.Role = role
	default:
		return nil, fmt.Errorf("unknown role %q: prompter or assistant was expected", role)
	}
	if n.msg.Content, err = f.must("text"); err != nil {
		return nil, err
	}
	if n.meta, err = f.metaList(); err != nil {
		return nil, err
	}
	if n.rank, err = f.number("rank"); err != nil {
		return nil, err
	}
	if d, err := f.boolean("deleted"); err != nil {
		return nil, err
	} else if d != nil {
		n.deleted = *d
	}
	return n, nil
}

func decodeOASSTTree(f fields, o *ReadOptions) ([]Record, error) {
	p, err := f.object("prompt")
	if err != nil {
		return nil, err
	}
	root, err := oasstNested(p, 0)
	if err != nil {
		return nil, err
	}
	w := oasstWalk{how: o.Pairs}
	if err := w.tree(root, f.whole("message_tree_id")); err != nil {
		return nil, err
	}
	if len(w.recs) == 0 {
		return nil, errors.New("the tree has no answer")
	}
	return w.recs, nil
}

const oasstDepth = 1000 // deeper than any conversation; keeps a hostile file from exhausting the stack

func oasstNested(f fields, depth int) (*node, error) {
	if depth > oasstDepth {
		return nil, fmt.Errorf("replies nest deeper than %d", oasstDepth)
	}
	n, err := oasstNode(f)
	if err != nil || !f.has("replies") {
		return n, err
	}
	list, err := f.array("replies")
	if err != nil {
		return nil, err
	}
	for i, v := range list {
		r, err := objectOf(v, "reply")
		if err != nil {
			return nil, err
		}
		child, err := oasstNested(r, depth+1)
		if err != nil {
			return nil, fmt.Errorf("replies[%d]: %w", i, err)
		}
		n.replies = append(n.replies, child)
	}
	return n, nil
}

// oasstWalk makes the records of trees.
type oasstWalk struct {
	how   string
	recs  []Record
	parts [][]int // of each record: its messages, by node.at
	pairs int
}

// tree takes a whole tree.
func (w *oasstWalk) tree(root *node, id string) error {
	from := len(w.recs)
	if err := w.walk(root, nil, nil); err != nil {
		return err
	}
	for i := range w.recs[from:] {
		rec := &w.recs[from+i]
		for k, v := range root.meta {
			rec.setMeta(k, v)
		}
		rec.setMeta("message_tree_id", id)
	}
	return nil
}

// walk goes down from a message, which stands below path. Answers to one prompt that are ranked become pairs; others, and those that are
// tied, become demonstrations. A deleted message goes with everything below it.
func (w *oasstWalk) walk(n *node, path []Message, above []int) error {
	if n.deleted {
		return nil
	}
	path = append(path[:len(path):len(path)], n.msg)
	above = append(above[:len(above):len(above)], n.at)
	var ranks, plain []ranked
	for _, r := range n.replies {
		if r.deleted || r.msg.Role != "assistant" {
			continue
		}
		a := ranked{answer: []Message{r.msg}, rank: r.rank, id: r.id, at: r.at}
		if r.rank != nil {
			ranks = append(ranks, a)
		} else {
			plain = append(plain, a)
		}
	}
	base := Record{Prompt: slices.Clip(path), Source: Provenance{Row: n.row}}
	if n.lang != "" {
		base.setMeta("lang", n.lang)
	}
	if len(ranks) > 1 {
		chosen, err := choosePairs(ranks, w.how)
		if err != nil && !errors.Is(err, errTied) {
			return err
		}
		if w.pairs += len(chosen); w.pairs > maxPairs {
			return fmt.Errorf("the rankings of the tree make more than %d pairs: %s", maxPairs, fewerPairs)
		}
		for i, p := range chosen {
			rec := pairOf(base, p[0], p[1])
			if n.id != "" {
				rec.ID = fmt.Sprintf("%s/%d", n.id, i+1)
			}
			w.add(rec, above, p[0].at, p[1].at)
		}
		if err == nil {
			ranks = nil
		}
	}
	for _, a := range append(plain, ranks...) {
		rec := base
		rec.Chosen, rec.ID, rec.Meta = a.answer, a.id, maps.Clone(base.Meta)
		w.add(rec, above, a.at)
	}
	for _, r := range n.replies {
		if err := w.walk(r, path, above); err != nil {
			return err
		}
	}
	return nil
}

func (w *oasstWalk) add(rec Record, above []int, answers ...int) {
	w.recs = append(w.recs, rec)
	w.parts = append(w.parts, append(above[:len(above):len(above)], answers...))
}

// oasstWindow is how many messages wait for the rest of their trees. Trees usually stand together; a tree whose messages lie further
// apart than this is cut, and its late messages are rejected.
const oasstWindow = 200_000

// oasstGroups joins messages to trees.
type oasstGroups struct {
	how     string
	open    map[string]*oasstTree
	order   []*oasstTree
	waiting int
	done    *idSet
}

type oasstTree struct {
	id    string
	nodes []*node
}

func (g *oasstGroups) add(n int64, f fields) group {
	tree := f.whole("message_tree_id")
	m, err := oasstNode(f)
	if err == nil && (tree == "" || m.id == "") {
		err = errors.New("message_id and message_tree_id are needed")
	}
	if err == nil && m.deleted {
		err = errors.New("the message is marked as deleted")
	}
	if err == nil {
		if _, late := g.done.has(tree); late {
			err = fmt.Errorf("the message lies more than %d messages after its tree %s: sort the file by message_tree_id", oasstWindow, tree)
		}
	}
	if err != nil {
		return group{rows: []Reject{{Row: n, Reason: err.Error(), Text: string(f.raw)}}}
	}
	m.row, m.text = n, string(f.raw)
	t := g.open[tree]
	if t == nil {
		t = &oasstTree{id: tree}
		g.open[tree] = t
		g.order = append(g.order, t)
	}
	t.nodes = append(t.nodes, m)
	if g.waiting++; g.waiting > oasstWindow {
		return g.emit()
	}
	return group{}
}

func (g *oasstGroups) flush() (group, bool) {
	if len(g.order) == 0 {
		return group{}, false
	}
	return g.emit(), true
}

// emit ends the oldest tree.
func (g *oasstGroups) emit() group {
	t := g.order[0]
	g.order = g.order[1:]
	delete(g.open, t.id)
	g.done.add(t.id, "", 0)
	g.waiting -= len(t.nodes)
	byID := map[string]*node{}
	for i, n := range t.nodes {
		n.at = i
		if byID[n.id] == nil {
			byID[n.id] = n
		}
	}
	var roots []*node
	for _, n := range t.nodes {
		switch p := byID[n.parent]; {
		case byID[n.id] != n: // a duplicate
		case n.parent == "":
			roots = append(roots, n)
		case p != nil:
			p.replies = append(p.replies, n)
		}
	}
	reached := map[*node]bool{}
	w := oasstWalk{how: g.how}
	var err error
	for _, root := range roots {
		sortReplies(root, reached, 0)
		if e := w.tree(root, t.id); err == nil {
			err = e
		}
	}
	if err != nil {
		w = oasstWalk{}
	}
	out := group{recs: w.recs, parts: w.parts}
	for _, n := range t.nodes {
		reason, unused := "", false
		switch first := byID[n.id]; {
		case first != n:
			reason = fmt.Sprintf("duplicate id %q, first seen in row %d", n.id, first.row)
		case !reached[n]:
			reason = fmt.Sprintf("no path of parents leads to the root of tree %s (parent_id %q)", t.id, n.parent)
		case err != nil:
			reason = err.Error()
		case len(w.recs) == 0:
			reason = fmt.Sprintf("the tree %s has no answer", t.id)
		case n.msg.Role == "assistant" && n.rank != nil:
			reason, unused = fmt.Sprintf("this answer is in no pair: its ranking is read as pairs of %s", g.how), true
		default:
			reason, unused = "no answer follows this message", true
		}
		out.rows = append(out.rows, Reject{Row: n.row, Reason: reason, Text: n.text, Unused: unused})
	}
	return out
}

// sortReplies marks what a root reaches, with replies in the order of their rows.
func sortReplies(n *node, reached map[*node]bool, depth int) {
	if reached[n] || depth > oasstDepth {
		n.replies = nil
		return
	}
	reached[n] = true
	sort.SliceStable(n.replies, func(i, j int) bool { return n.replies[i].row < n.replies[j].row })
	for _, r := range n.replies {
		sortReplies(r, reached, depth+1)
	}
}
