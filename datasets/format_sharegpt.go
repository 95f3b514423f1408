package datasets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

func init() {
	register(&format{
		name: "sharegpt", about: "conversations of {from, value}: system, human, gpt, function_call, observation; chosen and rejected as single turns; kto_tag",
		order: 20,
		detect: func(f fields) bool {
			k := f.kind("conversations")
			return k == '[' || k == '{' || f.loose && k == '"'
		},
		decode: decodeShareGPT,
		encode: encodeShareGPT,
		can: holds{kinds: []Kind{Preference, Instruction, Unpaired, PromptOnly}, chat: true, tools: true, id: true, margin: true, scores: true,
			label: true, split: true, meta: true},
		notes: []string{cutNote + " unless there is a pair", "ids of tool calls are not written, and calls are read back as OpenAI writes them"},
	})
}

// shareRoles are the speakers that occur in the wild.
var shareRoles = map[string]string{
	"human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant", "bing": "assistant", "bard": "assistant",
	"model": "assistant", "system": "system", "function_call": "function_call", "observation": "tool", "tool": "tool", "function_response": "tool",
}

func decodeShareGPT(f fields, o *ReadOptions) ([]Record, error) {
	rec, err := commonFields(f)
	if err != nil {
		return nil, err
	}
	list, err := f.array("conversations")
	if err != nil {
		return nil, err
	}
	var all []Message
	system, err := f.text("system")
	if err != nil {
		return nil, err
	}
	if system != "" {
		all = append(all, Message{Role: "system", Content: system})
	}
	for i, v := range list {
		m, err := f.message(v, fmt.Sprintf("conversations[%d]", i), shareMessage)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	if f.has("chosen") || f.has("rejected") {
		rec.Prompt = all
		if rec.Chosen, err = shareSide(f, "chosen"); err != nil {
			return nil, err
		}
		if rec.Rejected, err = shareSide(f, "rejected"); err != nil {
			return nil, err
		}
	} else {
		rec.Prompt, rec.Chosen = splitMessages(all)
		if rec.Label, err = f.verdict(); err != nil {
			return nil, err
		}
	}
	rec.Meta = f.rest(rec.Meta)
	return []Record{rec}, nil
}

func shareSide(f fields, name string) ([]Message, error) {
	v, ok := f.m[name]
	if !ok {
		return nil, fmt.Errorf("field %q is missing", name)
	}
	if v[0] == '[' {
		list, err := f.array(name)
		if err != nil {
			return nil, err
		}
		var out []Message
		for i, x := range list {
			m, err := f.message(x, fmt.Sprintf("%s[%d]", name, i), shareMessage)
			if err != nil {
				return nil, err
			}
			out = append(out, m)
		}
		if len(out) == 0 {
			return nil, fmt.Errorf("%s is empty", name)
		}
		return out, nil
	}
	f.took(name)
	m, err := f.message(v, name, shareMessage)
	if err != nil {
		return nil, err
	}
	return []Message{m}, nil
}

func shareMessage(f fields) (Message, error) {
	if !f.has("from") && f.has("role") {
		return messageOf(f)
	}
	from, err := f.must("from")
	if err != nil {
		return Message{}, err
	}
	value, err := f.must("value")
	if err != nil {
		return Message{}, err
	}
	role, ok := shareRoles[from]
	switch {
	case !ok:
		return Message{}, fmt.Errorf("unknown speaker %q", from)
	case role == "function_call":
		calls, err := shareCalls(value)
		return Message{Role: "assistant", ToolCalls: calls}, err
	}
	return Message{Role: role, Content: value}, nil
}

// call is a tool call as ShareGPT writes it; OpenAI keeps the arguments as a string of JSON.
type call struct {
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments"`
}

type openCall struct {
	ID       string `json:"id,omitempty"`
	Type     string `json:"type"`
	Function struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	} `json:"function"`
}

func shareCalls(value string) (string, error) {
	calls, err := callsOf(value)
	if err != nil {
		return "", fmt.Errorf("function_call: %w", err)
	}
	out := make([]openCall, len(calls))
	for i, c := range calls {
		out[i].Type = "function"
		out[i].Function.Name = c.Name
		args := c.Arguments
		if len(args) == 0 || args[0] != '"' {
			var b bytes.Buffer
			if len(args) > 0 {
				if err := json.Compact(&b, args); err != nil {
					return "", err
				}
			}
			args = appendJSONString(nil, b.String())
		}
		out[i].Function.Arguments = args
	}
	return compactJSON(out)
}

// callsOf takes tool calls, one or a list, from the text that holds them: name and arguments alone, or inside a function as OpenAI has them.
func callsOf(value string) ([]call, error) {
	text := bytes.TrimSpace([]byte(value))
	if len(text) > 0 && text[0] == '{' {
		text = append(append([]byte{'['}, text...), ']')
	}
	var list []struct {
		call
		Function *call `json:"function"`
	}
	err := json.Unmarshal(text, &list)
	calls := make([]call, len(list))
	named := len(list) > 0
	for i, c := range list {
		if calls[i] = c.call; c.Function != nil {
			calls[i] = *c.Function
		}
		named = named && calls[i].Name != ""
	}
	if err != nil || !named {
		return nil, fmt.Errorf(`JSON {"name", "arguments"} was expected, got %s`, excerpt([]byte(value)))
	}
	return calls, nil
}

func compactJSON(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return string(bytes.TrimRight(b.Bytes(), "\n")), err
}

type shareTurn struct {
	From  string `json:"from"`
	Value string `json:"value"`
}

type shareRow struct {
	ID            string      `json:"id,omitempty"`
	System        string      `json:"system,omitempty"`
	Tools         string      `json:"tools,omitempty"`
	Conversations []shareTurn `json:"conversations"`
	Chosen        *shareTurn  `json:"chosen,omitempty"`
	Rejected      *shareTurn  `json:"rejected,omitempty"`
	Label         *bool       `json:"kto_tag,omitempty"`
	Margin        *float64    `json:"margin,omitempty"`
	ChosenScore   *float64    `json:"chosen_score,omitempty"`
	RejectedScore *float64    `json:"rejected_score,omitempty"`
	Split         string      `json:"split,omitempty"`
	Meta          []metaEntry `json:"meta,omitempty"`
}

func encodeShareGPT(r *Record) (any, error) {
	if !r.Chat() {
		return nil, errors.New("a raw text has no speakers: messages are needed")
	}
	row := shareRow{ID: r.ID, Tools: r.Tools, Label: r.Label, Margin: r.Margin, ChosenScore: r.ChosenScore, RejectedScore: r.RejectedScore,
		Split: r.Split, Meta: metaEntries(r.Meta), Conversations: []shareTurn{}}
	turns := r.Prompt
	if r.Kind() != Preference {
		turns = join(r.Prompt, r.Chosen)
	}
	if r.Kind() == PromptOnly && turns[len(turns)-1].Role == "assistant" {
		return nil, errors.New("a prompt that ends with an assistant turn would be read back as a demonstration")
	}
	if len(turns) > 0 && turns[0].Role == "system" && turns[0].Content != "" {
		row.System = turns[0].Content
		turns = turns[1:]
	}
	for _, m := range turns {
		t, err := toShareTurn(m)
		if err != nil {
			return nil, err
		}
		row.Conversations = append(row.Conversations, t)
	}
	if r.Kind() == Preference {
		for _, side := range []struct {
			msgs []Message
			to   **shareTurn
		}{{r.Chosen, &row.Chosen}, {r.Rejected, &row.Rejected}} {
			if len(side.msgs) != 1 {
				return nil, errors.New("each side of a pair must be one turn")
			}
			t, err := toShareTurn(side.msgs[0])
			if err != nil {
				return nil, err
			}
			*side.to = &t
		}
	}
	return row, nil
}

func toShareTurn(m Message) (shareTurn, error) {
	if m.ToolCalls != "" {
		if m.Content != "" {
			return shareTurn{}, errors.New("a turn with both text and tool calls has no place there")
		}
		calls, err := callsOf(m.ToolCalls)
		if err != nil {
			return shareTurn{}, fmt.Errorf("tool calls: %w", err)
		}
		for i, c := range calls {
			if a := string(c.Arguments); a == "" || a == "null" {
				calls[i].Arguments = json.RawMessage("{}")
			}
			var s string
			if json.Unmarshal(c.Arguments, &s) == nil && json.Valid([]byte(s)) {
				calls[i].Arguments = json.RawMessage(s)
			}
		}
		var v any = calls
		if len(calls) == 1 {
			v = calls[0]
		}
		text, err := compactJSON(v)
		return shareTurn{"function_call", text}, err
	}
	from, ok := map[string]string{"user": "human", "assistant": "gpt", "system": "system", "tool": "observation"}[m.Role]
	if !ok {
		return shareTurn{}, fmt.Errorf("no speaker stands for the role %q", m.Role)
	}
	return shareTurn{from, m.Content}, nil
}
