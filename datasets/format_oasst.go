package datasets

import (
	"errors"
	"fmt"
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
	text       []byte
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
	recs := root.records(nil, o.Pairs)
	root.label(recs, f.whole("message_tree_id"))
	if len(recs) == 0 {
		return nil, errors.New("the tree has no answer")
	}
	return recs, nil
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

// records walks the tree. Answers to one prompt that are all ranked become pairs; otherwise each becomes a demonstration. A deleted
// message goes with everything below it.
func (n *node) records(path []Message, how string) []Record {
	if n.deleted {
		return nil
	}
	path = append(path[:len(path):len(path)], n.msg)
	var out []Record
	var ranks, plain []ranked
	for _, r := range n.replies {
		if r.deleted || r.msg.Role != "assistant" {
			continue
		}
		a := ranked{answer: []Message{r.msg}, rank: r.rank, id: r.id}
		if r.rank != nil {
			ranks = append(ranks, a)
		} else {
			plain = append(plain, a)
		}
	}
	base := Record{Prompt: path, Source: Provenance{Row: n.row}}
	if n.lang != "" {
		base.setMeta("lang", n.lang)
	}
	pairsMade := false
	if len(ranks) > 1 {
		if recs, err := pairs(base, ranks, how); err == nil {
			for i := range recs {
				if n.id != "" {
					recs[i].ID = fmt.Sprintf("%s/%d", n.id, i+1)
				}
			}
			out = append(out, recs...)
			pairsMade = true
		}
	}
	if !pairsMade {
		plain = append(plain, ranks...)
	}
	for _, a := range plain {
		rec := base
		rec.Prompt, rec.Chosen, rec.ID, rec.Meta = append([]Message(nil), path...), a.answer, a.id, nil
		if n.lang != "" {
			rec.setMeta("lang", n.lang)
		}
		out = append(out, rec)
	}
	for _, r := range n.replies {
		out = append(out, r.records(path, how)...)
	}
	return out
}

// label gives the records of a tree its id and metadata.
func (n *node) label(recs []Record, tree string) {
	for i := range recs {
		for k, v := range n.meta {
			recs[i].setMeta(k, v)
		}
		recs[i].setMeta("message_tree_id", tree)
	}
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

func (g *oasstGroups) add(n int64, f fields) ([]Record, []Reject, int) {
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
		return nil, []Reject{{Row: n, Reason: err.Error(), Text: string(f.raw)}}, 0
	}
	m.row, m.text = n, f.raw
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
	return nil, nil, 0
}

func (g *oasstGroups) flush() ([]Record, []Reject, int) {
	if len(g.order) == 0 {
		return nil, nil, -1
	}
	return g.emit()
}

// emit ends the oldest tree.
func (g *oasstGroups) emit() (recs []Record, rejects []Reject, used int) {
	t := g.order[0]
	g.order = g.order[1:]
	delete(g.open, t.id)
	g.done.add(t.id, "", 0)
	g.waiting -= len(t.nodes)
	byID := map[string]*node{}
	fail := func(n *node, reason string) {
		rejects = append(rejects, Reject{Row: n.row, Reason: reason, Text: string(n.text)})
	}
	var roots, kept []*node
	for _, n := range t.nodes {
		if first, ok := byID[n.id]; ok {
			fail(n, fmt.Sprintf("duplicate id %q, first seen in row %d", n.id, first.row))
			continue
		}
		byID[n.id] = n
		kept = append(kept, n)
	}
	reached := map[*node]bool{}
	for _, n := range kept {
		if n.parent == "" {
			roots = append(roots, n)
		} else if p := byID[n.parent]; p != nil {
			p.replies = append(p.replies, n)
		}
	}
	for _, root := range roots {
		sortReplies(root, reached, 0)
		own := root.records(nil, g.how)
		root.label(own, t.id)
		recs = append(recs, own...)
	}
	for _, n := range kept {
		switch {
		case !reached[n]:
			fail(n, fmt.Sprintf("no path of parents leads to the root of tree %s (parent_id %q)", t.id, n.parent))
		case len(recs) == 0:
			fail(n, fmt.Sprintf("the tree %s has no answer", t.id))
		default:
			used++
		}
	}
	return recs, rejects, used
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
