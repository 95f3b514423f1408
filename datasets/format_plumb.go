package datasets

import (
	"encoding/json"
	"fmt"
)

func init() {
	register(&format{
		name: "plumb", about: "everything a record holds, in the columns of the Arrow schema", order: 0,
		detect: func(f fields) bool { return f.kind("source") == '{' && f.has("copies") && f.kind("prompt") == '[' },
		decode: decodePlumb,
		encode: func(r *Record) (any, error) { return toPlumb(r), nil },
		can: holds{kinds: []Kind{Preference, Instruction, Unpaired, PromptOnly}, chat: true, raw: true, tools: true, name: true, id: true,
			margin: true, scores: true, label: true, split: true, source: true, copies: true, meta: true},
	})
}

type plumbMessage struct {
	Role       string  `json:"role"`
	Content    string  `json:"content"`
	Name       *string `json:"name"`
	ToolCallID *string `json:"tool_call_id"`
	ToolCalls  *string `json:"tool_calls"`
}

type plumbSource struct {
	File string `json:"file"`
	Row  int64  `json:"row"`
	Hash string `json:"hash"`
}

type plumbRow struct {
	ID            string         `json:"id"`
	Tools         *string        `json:"tools"`
	Prompt        []plumbMessage `json:"prompt"`
	Chosen        []plumbMessage `json:"chosen"`
	Rejected      []plumbMessage `json:"rejected"`
	Margin        *float64       `json:"margin"`
	ChosenScore   *float64       `json:"chosen_score"`
	RejectedScore *float64       `json:"rejected_score"`
	Label         *bool          `json:"label"`
	Split         *string        `json:"split"`
	Source        plumbSource    `json:"source"`
	Copies        int64          `json:"copies"`
	Meta          []metaEntry    `json:"meta"`
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func given(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func toPlumb(r *Record) *plumbRow {
	msgs := func(in []Message) []plumbMessage {
		if in == nil {
			return nil
		}
		out := make([]plumbMessage, len(in))
		for i, m := range in {
			out[i] = plumbMessage{m.Role, m.Content, optional(m.Name), optional(m.ToolCallID), optional(m.ToolCalls)}
		}
		return out
	}
	row := &plumbRow{ID: r.ID, Tools: optional(r.Tools), Prompt: msgs(r.Prompt), Chosen: msgs(r.Chosen), Rejected: msgs(r.Rejected),
		Margin: r.Margin, ChosenScore: r.ChosenScore, RejectedScore: r.RejectedScore, Label: r.Label, Split: optional(r.Split),
		Source: plumbSource(r.Source), Copies: int64(max(1, r.Copies)), Meta: metaEntries(r.Meta)}
	if row.Prompt == nil {
		row.Prompt = []plumbMessage{}
	}
	if row.Meta == nil {
		row.Meta = []metaEntry{}
	}
	return row
}

func decodePlumb(f fields, o *ReadOptions) ([]Record, error) {
	raw, err := json.Marshal(f.m)
	if err != nil {
		return nil, err
	}
	var row plumbRow
	if err := json.Unmarshal(raw, &row); err != nil {
		return nil, fmt.Errorf("columns of the plumb schema were expected: %w", err)
	}
	msgs := func(in []plumbMessage) []Message {
		if len(in) == 0 {
			return nil
		}
		out := make([]Message, len(in))
		for i, m := range in {
			out[i] = Message{m.Role, m.Content, given(m.Name), given(m.ToolCallID), given(m.ToolCalls)}
		}
		return out
	}
	rec := Record{ID: row.ID, Tools: given(row.Tools), Prompt: msgs(row.Prompt), Chosen: msgs(row.Chosen), Rejected: msgs(row.Rejected),
		Margin: row.Margin, ChosenScore: row.ChosenScore, RejectedScore: row.RejectedScore, Label: row.Label, Split: given(row.Split),
		Source: Provenance(row.Source), Copies: int(row.Copies)}
	if rec.Meta, err = f.metaList(); err != nil {
		return nil, err
	}
	for _, name := range plumbFields {
		f.took(name)
	}
	rec.Meta = f.rest(rec.Meta) // columns that somebody added
	return []Record{rec}, nil
}

var plumbFields = func() (names []string) {
	for _, f := range Schema().Fields() {
		names = append(names, f.Name)
	}
	return names
}()
