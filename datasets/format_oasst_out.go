package datasets

import (
	"errors"
	"fmt"
	"strconv"
)

var (
	oasstNotes = []string{"a ranking of n answers is read as pairs and written as trees of two answers",
		"earlier answers of a conversation are read back as demonstrations of their own", "the id of a record becomes that of a message"}
	oasstUnread = []string{"labels, emojis, review results and dates of Open Assistant's messages"}
)

// oasstMessage is a message as Open Assistant writes it: with replies inside it in a tree, joined by ids in a list.
type oasstMessage struct {
	ID      string          `json:"message_id"`
	Parent  string          `json:"parent_id,omitempty"`
	Tree    string          `json:"message_tree_id,omitempty"`
	Text    string          `json:"text"`
	Role    string          `json:"role"`
	Lang    string          `json:"lang,omitempty"`
	Rank    *int            `json:"rank,omitempty"`
	Meta    []metaEntry     `json:"meta,omitempty"`
	Replies []*oasstMessage `json:"replies,omitempty"`
}

// manyRows is what encode gives for a record that takes several rows.
type manyRows []any

// oasstRoot makes the tree of a record: its prompt as a chain, its answers at the end of it.
func oasstRoot(r *Record) (*oasstMessage, error) {
	if n := len(r.Prompt); n == 0 || r.Prompt[n-1].Role != "user" {
		return nil, errors.New("the prompt must end with a user turn")
	}
	var root, last *oasstMessage
	add := func(m Message, id string, rank *int) (*oasstMessage, error) {
		role := map[string]string{"user": "prompter", "assistant": "assistant"}[m.Role]
		if role == "" || m.ToolCalls != "" {
			return nil, fmt.Errorf("Open Assistant has user and assistant turns without tool calls, this is %q", m.Role)
		}
		o := &oasstMessage{ID: id, Text: m.Content, Role: role, Lang: r.Meta["lang"], Rank: rank}
		if last != nil {
			o.Parent = last.ID
			last.Replies = append(last.Replies, o)
		}
		return o, nil
	}
	for i, m := range r.Prompt {
		id := r.ID
		if n := len(r.Prompt) - 1; i < n || r.Kind() == Instruction {
			id += "." + strconv.Itoa(i) // the id itself is that of the last prompt of a pair, or of the answer
		}
		o, err := add(m, id, nil)
		if err != nil {
			return nil, err
		}
		if last = o; root == nil {
			root = o
		}
	}
	sides := [][]Message{r.Chosen, r.Rejected}
	if r.Kind() == Instruction {
		sides = sides[:1]
	}
	for rank, side := range sides {
		if len(side) != 1 || side[0].Role != "assistant" {
			return nil, errors.New("the answer must be one plain assistant turn")
		}
		id, at := r.ID, (*int)(nil)
		if len(sides) > 1 {
			id, at = fmt.Sprintf("%s.answer%d", r.ID, rank), &rank
		}
		if _, err := add(side[0], id, at); err != nil {
			return nil, err
		}
	}
	for _, e := range metaEntries(r.Meta) {
		switch e.Key {
		case "lang", "message_tree_id", "chosen_rank", "rejected_rank":
		default:
			root.Meta = append(root.Meta, e)
		}
	}
	return root, nil
}

func encodeOASSTTree(r *Record) (any, error) {
	root, err := oasstRoot(r)
	if err != nil {
		return nil, err
	}
	return struct {
		Tree   string        `json:"message_tree_id"`
		State  string        `json:"tree_state"`
		Prompt *oasstMessage `json:"prompt"`
	}{root.ID, "ready_for_export", root}, nil
}

func encodeOASST(r *Record) (any, error) {
	root, err := oasstRoot(r)
	if err != nil {
		return nil, err
	}
	var rows manyRows
	var walk func(m *oasstMessage)
	walk = func(m *oasstMessage) {
		flat := *m
		flat.Tree, flat.Replies = root.ID, nil
		rows = append(rows, flat)
		for _, reply := range m.Replies {
			walk(reply)
		}
	}
	walk(root)
	return rows, nil
}
