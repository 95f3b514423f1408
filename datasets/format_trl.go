package datasets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

func init() {
	register(&format{
		name: "trl", about: "TRL's columns: prompt, chosen, rejected, completion, label, messages, text; as text or as messages; the prompt may be implicit",
		order: 90,
		detect: func(f fields) bool {
			return f.has("chosen", "rejected") || f.has("prompt") || f.has("text") || f.has("messages")
		},
		decode: decodeTRL,
		encode: encodeTRL,
		can: holds{kinds: []Kind{Preference, Instruction, Unpaired, PromptOnly}, chat: true, raw: true, tools: true, name: true,
			id: true, margin: true, scores: true, label: true, split: true, meta: true},
		columns: trlColumns,
	})
}

var trlColumns = []string{"id", "prompt", "chosen", "rejected", "completion", "text", "label", "margin", "chosen_score", "rejected_score", "tools",
	"split", "meta"}

// rowID are the fields in which data sets keep the id of a row. prompt_id is none: several rows share it.
var rowID = []string{"id", "_id", "uid", "uuid", "example_id", "sample_id", "row_id"}

func decodeTRL(f fields, o *ReadOptions) ([]Record, error) {
	rec, err := commonFields(f)
	if err != nil {
		return nil, err
	}
	switch {
	case f.has("chosen") || f.has("rejected"):
		err = decodePair(f, &rec)
	case f.has("messages"):
		var all []Message
		if all, err = f.messages("messages"); err == nil {
			rec.Prompt, rec.Chosen = splitMessages(all)
		}
	case f.has("completion"):
		if rec.Prompt, err = f.textOrMessages("prompt"); err == nil {
			rec.Chosen, err = f.textOrMessages("completion")
		}
		rec.roleLikePrompt()
	case f.has("prompt"):
		rec.Prompt, err = f.textOrMessages("prompt")
	case f.has("text"):
		rec.Chosen, err = f.textOrMessages("text")
	default:
		err = fmt.Errorf("chosen and rejected, prompt, messages or text was expected, got the fields %s", f.names())
	}
	if err != nil {
		return nil, err
	}
	if !f.has("chosen") {
		name := "kto_tag"
		if f.has("label") {
			name = "label" // TRL's own column: what it holds must be a verdict
		}
		if rec.Label, err = f.boolean(name); err != nil {
			return nil, err
		}
	}
	rec.Meta = f.rest(rec.Meta)
	return []Record{rec}, nil
}

// commonFields reads what all formats share and the scores of a pair.
func commonFields(f fields) (Record, error) {
	rec, err := rowFields(f)
	if err != nil {
		return rec, err
	}
	if rec.ChosenScore, err = f.number("chosen_score", "score_chosen"); err != nil {
		return rec, err
	}
	rec.RejectedScore, err = f.number("rejected_score", "score_rejected")
	return rec, err
}

// rowFields reads what all formats share: id, tools, margin, split, meta.
func rowFields(f fields) (Record, error) {
	var rec Record
	var err error
	rec.ID = f.scalar(rowID...)
	if rec.Tools, err = f.tools(); err != nil {
		return rec, err
	}
	if rec.Margin, err = f.number("margin"); err != nil {
		return rec, err
	}
	if f.kind("split") == '"' {
		rec.Split, _ = f.text("split")
	}
	rec.Meta, err = f.metaList()
	return rec, err
}

// verdict takes KTO's label of an answer: kto_tag as a bool, 1 or 0, or label as a bool or that word. Another label (a class, a topic, a
// number of either) says nothing about the answer and stays metadata.
func (f fields) verdict() (*bool, error) {
	if f.has("kto_tag") {
		return f.boolean("kto_tag")
	}
	s := string(f.m["label"])
	if f.kind("label") == '"' {
		s = f.whole("label")
	}
	if s = strings.ToLower(strings.TrimSpace(s)); s != "true" && s != "false" {
		return nil, nil
	}
	return f.boolean("label")
}

// decodePair reads chosen and rejected with or without a prompt.
func decodePair(f fields, rec *Record) error {
	for _, side := range []string{"chosen", "rejected"} {
		if !f.has(side) {
			return fmt.Errorf("field %q is missing", side)
		}
	}
	if bytes.Equal(f.m["messages"], f.m["chosen"]) {
		f.took("messages") // UltraFeedback's binarized form repeats the chosen side there
	}
	var err error
	if rec.Chosen, err = f.textOrMessages("chosen"); err != nil {
		return err
	}
	if rec.Rejected, err = f.textOrMessages("rejected"); err != nil {
		return err
	}
	if len(rec.Chosen) == 0 || len(rec.Rejected) == 0 {
		return errors.New("chosen and rejected must not be empty")
	}
	if isChat(rec.Chosen) != isChat(rec.Rejected) {
		return errors.New("chosen and rejected must both be text or both be messages")
	}
	if !f.has("prompt") {
		rec.Prompt, rec.Chosen, rec.Rejected = ImplicitPrompt(rec.Chosen, rec.Rejected)
		return nil
	}
	if rec.Prompt, err = f.textOrMessages("prompt"); err != nil {
		return err
	}
	if isChat(rec.Chosen) && len(rec.Prompt) > 0 && !isChat(rec.Prompt) {
		// UltraFeedback's binarized form: the prompt as text beside whole conversations that contain it.
		text := rec.Prompt[0].Content
		p, c, r := ImplicitPrompt(rec.Chosen, rec.Rejected)
		for _, m := range p {
			if m.Role == "user" && m.Content == text {
				rec.Prompt, rec.Chosen, rec.Rejected = p, c, r
				return nil
			}
		}
		if len(p) > 0 {
			return errors.New("the prompt is a text that does not occur in the conversations beside it")
		}
		rec.Prompt = []Message{{Role: "user", Content: text}}
		return nil
	}
	rec.roleLikePrompt()
	return nil
}

// roleLikePrompt makes plain answers beside a conversation the assistant's.
func (r *Record) roleLikePrompt() {
	if !isChat(r.Prompt) {
		return
	}
	for _, side := range [][]Message{r.Chosen, r.Rejected} {
		if len(side) == 1 && side[0].Role == "" {
			side[0].Role = "assistant"
		}
	}
}

func isChat(msgs []Message) bool { return len(msgs) > 0 && msgs[0].Role != "" }

type trlRow struct {
	ID            string          `json:"id,omitempty"`
	Prompt        any             `json:"prompt,omitempty"`
	Chosen        any             `json:"chosen,omitempty"`
	Rejected      any             `json:"rejected,omitempty"`
	Completion    any             `json:"completion,omitempty"`
	Text          *string         `json:"text,omitempty"`
	Label         *bool           `json:"label,omitempty"`
	Margin        *float64        `json:"margin,omitempty"`
	ChosenScore   *float64        `json:"chosen_score,omitempty"`
	RejectedScore *float64        `json:"rejected_score,omitempty"`
	Tools         json.RawMessage `json:"tools,omitempty"`
	Split         string          `json:"split,omitempty"`
	Meta          []metaEntry     `json:"meta,omitempty"`
}

func encodeTRL(r *Record) (any, error) {
	row := trlRow{ID: r.ID, Label: r.Label, Margin: r.Margin, ChosenScore: r.ChosenScore, RejectedScore: r.RejectedScore, Split: r.Split,
		Tools: rawJSON(r.Tools), Meta: metaEntries(r.Meta)}
	chat := r.Chat()
	value := func(msgs []Message) any {
		if chat {
			return toJSONMessages(msgs)
		}
		return flat(msgs)
	}
	switch r.Kind() {
	case Preference:
		row.Chosen, row.Rejected = value(r.Chosen), value(r.Rejected)
		row.Prompt = value(r.Prompt)
	case Instruction, Unpaired:
		if !chat && len(r.Prompt) == 0 && r.Label == nil {
			s := flat(r.Chosen)
			row.Text = &s
			break
		}
		row.Prompt, row.Completion = value(r.Prompt), value(r.Chosen)
	case PromptOnly:
		row.Prompt = value(r.Prompt)
	}
	return row, nil
}

// flat joins the contents of a raw text.
func flat(msgs []Message) string {
	if len(msgs) == 1 {
		return msgs[0].Content
	}
	s := ""
	for _, m := range msgs {
		s += m.Content
	}
	return s
}

func rawJSON(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return json.RawMessage(s)
}
