package datasets

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// jsonMessage is a message as OpenAI, TRL and transformers write it.
type jsonMessage struct {
	Role       string          `json:"role"`
	Content    string          `json:"content"`
	Name       string          `json:"name,omitempty"`
	ToolCalls  json.RawMessage `json:"tool_calls,omitempty"`
	ToolCallID string          `json:"tool_call_id,omitempty"`
}

func toJSONMessages(msgs []Message) []jsonMessage {
	out := make([]jsonMessage, len(msgs))
	for i, m := range msgs {
		out[i] = jsonMessage{Role: m.Role, Content: m.Content, Name: m.Name, ToolCallID: m.ToolCallID}
		if m.ToolCalls != "" {
			out[i].ToolCalls = json.RawMessage(m.ToolCalls)
		}
	}
	return out
}

// messages takes a list of {role, content}; in a CSV cell the list may be inside a string.
func (f fields) messages(name string) ([]Message, error) {
	list, err := f.array(name)
	if err != nil {
		return nil, err
	}
	out := make([]Message, 0, len(list))
	for i, v := range list {
		m, err := f.message(v, fmt.Sprintf("%s[%d]", name, i), messageOf)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// message reads one message of a list, named by its place. What a Message has no field for (a weight, the thoughts of a model) becomes
// metadata of the record under that place.
func (f fields) message(v json.RawMessage, place string, read func(fields) (Message, error)) (Message, error) {
	m, err := objectOf(v, "message")
	if err != nil {
		return Message{}, fmt.Errorf("%s: %w", place, err)
	}
	out, err := read(m)
	if err != nil {
		return out, fmt.Errorf("%s: %w", place, err)
	}
	for k, x := range m.m {
		if !messageFields[k] && string(x) != "null" {
			*f.extra = append(*f.extra, metaEntry{place + "." + k, metaValue(x)})
		}
	}
	return out, nil
}

var messageFields = fieldSet("role", "content", "name", "tool_calls", "tool_call_id", "function_call", "from", "value")

// messageOf reads one message. Content may be null beside tool calls, or a list of text parts.
func messageOf(f fields) (m Message, err error) {
	if !f.has("role") {
		return m, errors.New(`field "role" is missing`)
	}
	if m.Role, err = f.text("role"); err != nil {
		return m, err
	}
	if m.Content, err = contentOf(f); err != nil {
		return m, err
	}
	if m.Name, err = f.text("name"); err != nil {
		return m, err
	}
	if m.ToolCallID, err = f.text("tool_call_id"); err != nil {
		return m, err
	}
	if m.ToolCalls, err = jsonText(f.m["tool_calls"]); err != nil {
		return m, fmt.Errorf("tool_calls: %w", err)
	}
	if v, ok := f.m["function_call"]; ok && m.ToolCalls == "" {
		call, err := jsonText(v)
		if err != nil {
			return m, fmt.Errorf("function_call: %w", err)
		}
		m.ToolCalls = `[{"type":"function","function":` + call + `}]`
	}
	if !f.has("content") && m.ToolCalls == "" {
		return m, errors.New(`field "content" is missing`)
	}
	return m, nil
}

func contentOf(f fields) (string, error) {
	if f.kind("content") != '[' {
		return f.text("content")
	}
	parts, err := f.array("content")
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, p := range parts {
		part, err := objectOf(p, "content part")
		if err != nil {
			return "", err
		}
		if kind, _ := part.text("type"); kind != "text" {
			return "", fmt.Errorf("content part of type %q: only text can be read", kind)
		}
		s, err := part.must("text")
		if err != nil {
			return "", err
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

// printedMessages is how a list of messages begins, as Python prints it or as JSON.
var printedMessages = regexp.MustCompile(`^\[\s*\{\s*(?:'(?:role|content|from|value)'|"(?:role|content|from|value)")\s*:`)

// isMessages reports whether a field holds messages rather than a text. A cell that begins as messages do and is not JSON counts as
// them, for array to refuse: pandas writes messages so, and as a text they would be learned letter by letter.
func (f fields) isMessages(name string) bool {
	switch f.kind(name) {
	case '[':
		return true
	case '"':
		if !f.loose {
			return false
		}
		s, err := textOf(f.m[name], name)
		if s = strings.TrimSpace(s); err != nil || !strings.HasPrefix(s, "[") {
			return false
		}
		if s == "[]" || printedMessages.MatchString(s) && !json.Valid([]byte(s)) {
			return true
		}
		var probe []struct {
			Role *string `json:"role"`
		}
		return json.Unmarshal([]byte(s), &probe) == nil && len(probe) > 0 && probe[0].Role != nil
	}
	return false
}

// textOrMessages takes a field that is either.
func (f fields) textOrMessages(name string) ([]Message, error) {
	if f.isMessages(name) {
		return f.messages(name)
	}
	if f.kind(name) == '{' { // one message without its list, or a list that lies on its side
		if transposed(f.m[name]) != nil {
			return f.messages(name)
		}
		f.took(name)
		m, err := f.message(f.m[name], name, messageOf)
		if err != nil {
			return nil, err
		}
		return []Message{m}, nil
	}
	s, err := f.must(name)
	return Text(s), err
}

// splitMessages cuts a conversation before its last run of assistant turns' final message: what is learned is the last answer.
// Without one at the end everything is prompt.
func splitMessages(msgs []Message) (prompt, answer []Message) {
	if n := len(msgs); n > 0 && msgs[n-1].Role == "assistant" {
		return msgs[: n-1 : n-1], msgs[n-1:]
	}
	return msgs, nil
}

// ImplicitPrompt finds the common prefix of a pair that was given without a prompt: whole turns of conversations, characters of texts,
// as TRL's extract_prompt does (1.16, data_utils.py): when one side is the head of the other, its last element belongs to the answer, and
// a space before the point where texts part does too.
func ImplicitPrompt(chosen, rejected []Message) (prompt, c, r []Message) {
	if len(chosen) == 1 && len(rejected) == 1 && chosen[0].Role == "" && rejected[0].Role == "" {
		a, b := []rune(chosen[0].Content), []rune(rejected[0].Content)
		i := commonPrefix(a, b)
		if i < min(len(a), len(b)) && i > 0 && a[i-1] == ' ' {
			i--
		}
		return Text(string(a[:i])), Text(string(a[i:])), Text(string(b[i:]))
	}
	i := commonPrefix(chosen, rejected)
	return chosen[:i:i], chosen[i:], rejected[i:]
}

// commonPrefix is the length of the common head, always leaving both sides at least one element when they have one.
func commonPrefix[T comparable](a, b []T) int {
	n := min(len(a), len(b))
	for i := 0; i < n; i++ {
		if a[i] != b[i] {
			return i
		}
	}
	return max(0, n-1)
}
