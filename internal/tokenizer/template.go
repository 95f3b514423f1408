package tokenizer

import (
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"
	"unicode"

	"plumb/internal/tokenizer/jinja"
)

// Message is one turn of a conversation. ToolCalls is JSON: a list of calls as OpenAI writes them.
type Message struct {
	Role, Content    string
	Name, ToolCallID string
	ToolCalls        string
}

// TemplateOptions are the arguments of transformers' apply_chat_template that change its text.
type TemplateOptions struct {
	AddGenerationPrompt bool
	ContinueFinal       bool           // cut the text off at the end of the last message's content
	Tools               string         // JSON: a list of function schemas; "": none
	Date                time.Time      // what strftime_now tells; zero: DefaultDate
	Variables           map[string]any // further variables: bool, int, float64, string, []any, map[string]any
}

// DefaultDate is the date that templates are told, so that a prompt does not depend on the day; Llama 3.1's default.
var DefaultDate = time.Date(2024, time.July, 26, 0, 0, 0, 0, time.UTC)

// template is a chat template, parsed at first use.
type template struct {
	source string
	once   sync.Once
	parsed *jinja.Template
	err    error
}

// HasTemplate says whether the tokenizer came with a chat template.
func (t *Tokenizer) HasTemplate() bool { return t.template != nil }

// Template is the source of the chat template, "" when there is none.
func (t *Tokenizer) Template() string {
	if t.template == nil {
		return ""
	}
	return t.template.source
}

// continueTag marks the place where ContinueFinal cuts.
const continueTag = "CONTINUE_FINAL_MESSAGE_TAG "

// ApplyTemplate renders a conversation as transformers' apply_chat_template(tokenize=False) does. It fails where there is
// no template, where the template does not parse, and where it raises an exception (roles in an order it forbids).
func (t *Tokenizer) ApplyTemplate(msgs []Message, opt TemplateOptions) (string, error) {
	switch {
	case t.template == nil:
		return "", fmt.Errorf("the tokenizer has no chat template")
	case len(msgs) == 0:
		return "", fmt.Errorf("chat template: the conversation is empty")
	case opt.ContinueFinal && opt.AddGenerationPrompt:
		return "", fmt.Errorf("chat template: a conversation cannot both continue its last message and ask for a new one")
	}
	final := msgs[len(msgs)-1].Content
	if opt.ContinueFinal {
		msgs = append([]Message(nil), msgs...)
		msgs[len(msgs)-1].Content += continueTag
	}
	vars, err := t.variables(msgs, opt)
	if err != nil {
		return "", fmt.Errorf("chat template: %w", err)
	}
	text, err := t.template.render(vars)
	if err != nil {
		return "", fmt.Errorf("chat template: %w", err)
	}
	if opt.ContinueFinal {
		tag := strings.TrimSpace(continueTag)
		at := strings.LastIndex(text, tag)
		switch {
		case at < 0 || !strings.Contains(text, strings.TrimSpace(final)):
			return "", fmt.Errorf("chat template: the last message does not appear in the text, so it cannot be continued")
		case strings.HasPrefix(text[at:], continueTag):
			text = text[:at]
		default: // the template trims messages
			text = strings.TrimRightFunc(text[:at], unicode.IsSpace)
		}
	}
	return text, nil
}

func (tp *template) render(vars map[string]any) (string, error) {
	tp.once.Do(func() { tp.parsed, tp.err = jinja.Parse(tp.source) })
	if tp.err != nil {
		return "", tp.err
	}
	return tp.parsed.Render(vars)
}

func (t *Tokenizer) variables(msgs []Message, opt TemplateOptions) (map[string]any, error) {
	vars := map[string]any{}
	for name, tok := range t.named {
		vars[name] = tok
	}
	list := make(jinja.List, len(msgs))
	for i, m := range msgs {
		d := jinja.NewDict()
		d.Set("role", m.Role)
		d.Set("content", m.Content)
		if m.Name != "" {
			d.Set("name", m.Name)
		}
		if m.ToolCalls != "" {
			calls, err := jinja.FromJSON(m.ToolCalls)
			if err != nil {
				return nil, fmt.Errorf("message %d: tool calls: %w", i, err)
			}
			d.Set("tool_calls", calls)
		}
		if m.ToolCallID != "" {
			d.Set("tool_call_id", m.ToolCallID)
		}
		list[i] = d
	}
	vars["messages"], vars["tools"], vars["documents"] = list, nil, nil
	vars["add_generation_prompt"] = opt.AddGenerationPrompt
	if opt.Tools != "" {
		tools, err := jinja.FromJSON(opt.Tools)
		if err != nil {
			return nil, fmt.Errorf("tools: %w", err)
		}
		vars["tools"] = tools
	}
	date := opt.Date
	if date.IsZero() {
		date = DefaultDate
	}
	vars["strftime_now"] = jinja.Clock(date)
	for name, v := range opt.Variables {
		x, err := templateValue(v)
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", name, err)
		}
		vars[name] = x
	}
	return vars, nil
}

// name records a special token under the name that templates and config files know it by; id -1: none.
func (t *Tokenizer) name(role string, id int32) {
	if id >= 0 {
		if t.named == nil {
			t.named = map[string]string{}
		}
		t.named[role] = t.Token(id)
	}
}

func (t *Tokenizer) nameSpecials() {
	t.name("bos_token", t.bos)
	t.name("eos_token", t.eos)
	t.name("pad_token", t.pad)
}

func templateValue(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, int, float64, string:
		return v, nil
	case []any:
		out := make(jinja.List, len(v))
		for i, e := range v {
			x, err := templateValue(e)
			if err != nil {
				return nil, err
			}
			out[i] = x
		}
		return out, nil
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		d := jinja.NewDict()
		for _, k := range keys {
			x, err := templateValue(v[k])
			if err != nil {
				return nil, err
			}
			d.Set(k, x)
		}
		return d, nil
	}
	return nil, fmt.Errorf("a %T is no value of a template", v)
}
