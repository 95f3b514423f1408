package tokenizer

import (
	"fmt"
	"sync"

	"github.com/nikolalohinski/gonja/v2/exec"
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
	Date                string         // what strftime_now returns is made of it: YYYY-MM-DD; "": 2024-07-26
	Variables           map[string]any // further variables of the template
}

// template is a chat template, compiled at first use.
type template struct {
	source string
	once   sync.Once
	exec   *exec.Template
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

// ApplyTemplate renders a conversation as transformers' apply_chat_template(tokenize=False) does. It fails where there is
// no template, where the template does not parse, and where it raises an exception (roles in an order it forbids).
func (t *Tokenizer) ApplyTemplate(msgs []Message, opt TemplateOptions) (string, error) {
	if t.template == nil {
		return "", fmt.Errorf("the tokenizer has no chat template")
	}
	return t.template.render(t, msgs, opt)
}
