package tokenizer

import (
	"fmt"
	"io"
	"strings"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
)

// oneTemplate is a loader that knows one template and no file: a chat template must not read the disk.
type oneTemplate string

func (l oneTemplate) Read(path string) (io.Reader, error) {
	if path != "chat_template" {
		return nil, fmt.Errorf("a chat template cannot include %q", path)
	}
	return strings.NewReader(string(l)), nil
}

func (l oneTemplate) Resolve(path string) (string, error) { return path, nil }

func (l oneTemplate) Inherit(string) (loaders.Loader, error) { return l, nil }

// jinjaConfig is how transformers sets up jinja2.
func jinjaConfig() *config.Config {
	c := config.New()
	c.TrimBlocks, c.LeftStripBlocks = true, true
	return c
}

func (tp *template) compile() {
	defer func() {
		if r := recover(); r != nil {
			tp.err = fmt.Errorf("chat template: %v", r)
		}
	}()
	env := &exec.Environment{
		Context:           exec.EmptyContext().Update(builtins.GlobalFunctions).Update(builtins.GlobalVariables),
		Filters:           builtins.Filters,
		Tests:             builtins.Tests,
		ControlStructures: builtins.ControlStructures,
		Methods:           builtins.Methods,
	}
	tp.exec, tp.err = exec.NewTemplate("chat_template", jinjaConfig(), oneTemplate(tp.source), env)
	if tp.err != nil {
		tp.err = fmt.Errorf("chat template: %w", tp.err)
	}
}

func (tp *template) render(t *Tokenizer, msgs []Message, opt TemplateOptions) (out string, err error) {
	tp.once.Do(tp.compile)
	if tp.err != nil {
		return "", tp.err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("chat template: %v", r)
		}
	}()
	list := make([]any, len(msgs))
	for i, m := range msgs {
		list[i] = map[string]any{"role": m.Role, "content": m.Content}
	}
	data := map[string]any{"messages": list, "add_generation_prompt": opt.AddGenerationPrompt,
		"bos_token": t.Token(t.bos), "eos_token": t.Token(t.eos), "pad_token": t.Token(t.pad)}
	out, err = tp.exec.ExecuteToString(exec.NewContext(data))
	if err != nil {
		return "", fmt.Errorf("chat template: %w", err)
	}
	return out, nil
}
