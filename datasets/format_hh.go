package datasets

import (
	"errors"
	"fmt"
	"strings"
)

const (
	hhHuman     = "\n\nHuman:"
	hhAssistant = "\n\nAssistant:"
)

func init() {
	register(&format{
		name: "hh", about: `HH-RLHF: chosen and rejected are whole conversations "\n\nHuman: ... \n\nAssistant: ..." in one string`,
		order: 10,
		detect: func(f fields) bool {
			return f.kind("chosen") == '"' && f.kind("rejected") == '"' && !f.has("prompt") &&
				strings.HasPrefix(f.whole("chosen"), hhHuman) && strings.HasPrefix(f.whole("rejected"), hhHuman)
		},
		decode:  decodeHH,
		encode:  encodeHH,
		can:     holds{kinds: []Kind{Preference}, chat: true, id: true, margin: true, scores: true, split: true, meta: true},
		columns: []string{"id", "chosen", "rejected", "margin", "chosen_score", "rejected_score", "split", "meta"},
		notes:   []string{"a speaker mark without the space after it gets one"},
	})
}

func decodeHH(f fields, o *ReadOptions) ([]Record, error) {
	rec, err := commonFields(f)
	if err != nil {
		return nil, err
	}
	var sides [2][]Message
	for i, name := range []string{"chosen", "rejected"} {
		s, err := f.must(name)
		if err != nil {
			return nil, err
		}
		if sides[i], err = parseHH(s); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	rec.Prompt, rec.Chosen, rec.Rejected = ImplicitPrompt(sides[0], sides[1])
	rec.Meta = f.rest(rec.Meta)
	return []Record{rec}, nil
}

// parseHH cuts a transcript at its speaker marks. One space after a mark belongs to the mark; everything else is kept as it stands.
func parseHH(s string) ([]Message, error) {
	if !strings.HasPrefix(s, hhHuman) && !strings.HasPrefix(s, hhAssistant) {
		return nil, fmt.Errorf("a conversation that starts with %q was expected, got %q", hhHuman, excerpt([]byte(s)))
	}
	var msgs []Message
	for s != "" {
		role, mark := "user", hhHuman
		if strings.HasPrefix(s, hhAssistant) {
			role, mark = "assistant", hhAssistant
		}
		s = s[len(mark):]
		end := len(s)
		for _, m := range []string{hhHuman, hhAssistant} {
			if i := strings.Index(s, m); i >= 0 && i < end {
				end = i
			}
		}
		msgs = append(msgs, Message{Role: role, Content: strings.TrimPrefix(s[:end], " ")})
		s = s[end:]
	}
	return msgs, nil
}

// formatHH is the transcript of messages; a system prompt or a tool has no mark there.
func formatHH(msgs []Message) (string, error) {
	var b strings.Builder
	for _, m := range msgs {
		if strings.Contains(m.Content, hhHuman) || strings.Contains(m.Content, hhAssistant) {
			return "", errors.New("a message contains a speaker mark of HH-RLHF, which would read as another turn")
		}
		switch m.Role {
		case "user":
			b.WriteString(hhHuman)
		case "assistant":
			b.WriteString(hhAssistant)
		default:
			return "", fmt.Errorf("HH-RLHF has no role %q", m.Role)
		}
		b.WriteByte(' ')
		b.WriteString(m.Content)
	}
	return b.String(), nil
}

type hhRow struct {
	Chosen        string      `json:"chosen"`
	Rejected      string      `json:"rejected"`
	ID            string      `json:"id,omitempty"`
	Margin        *float64    `json:"margin,omitempty"`
	ChosenScore   *float64    `json:"chosen_score,omitempty"`
	RejectedScore *float64    `json:"rejected_score,omitempty"`
	Split         string      `json:"split,omitempty"`
	Meta          []metaEntry `json:"meta,omitempty"`
}

func encodeHH(r *Record) (any, error) {
	row := hhRow{ID: r.ID, Margin: r.Margin, ChosenScore: r.ChosenScore, RejectedScore: r.RejectedScore, Split: r.Split,
		Meta: metaEntries(r.Meta)}
	var err error
	if row.Chosen, err = formatHH(join(r.Prompt, r.Chosen)); err != nil {
		return nil, err
	}
	row.Rejected, err = formatHH(join(r.Prompt, r.Rejected))
	return row, err
}

// join is prompt and answer as one conversation.
func join(prompt, answer []Message) []Message {
	return append(prompt[:len(prompt):len(prompt)], answer...)
}
