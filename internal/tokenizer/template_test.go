package tokenizer

import (
	"errors"
	"strings"
	"testing"
	"time"

	"plumb/internal/tokenizer/jinja"
)

// chatGolden is what tools/oracle/tokenizer_chat.py wrote; a text that is nil is an error of transformers.
type chatGolden struct {
	Tokens        map[string]string
	Conversations [][]map[string]string
	Options       []map[string]any
	Templates     map[string]struct {
		Source string
		Texts  [][]*string
	}
	Snippets [][2]*string
	Dates    [][2]string
	SmolLM2  [][]*string
}

func (g *chatGolden) compare(t *testing.T, tok *Tokenizer, texts [][]*string) {
	t.Helper()
	same, all := 0, 0
	for i, conv := range g.Conversations {
		var msgs []Message
		for _, m := range conv {
			msgs = append(msgs, Message{Role: m["role"], Content: m["content"], Name: m["name"], ToolCallID: m["tool_call_id"], ToolCalls: m["tool_calls"]})
		}
		for k, o := range g.Options {
			opt := TemplateOptions{Variables: map[string]any{}}
			for name, v := range o {
				switch name {
				case "add_generation_prompt":
					opt.AddGenerationPrompt = v.(bool)
				case "continue_final_message":
					opt.ContinueFinal = v.(bool)
				case "tools":
					opt.Tools = v.(string)
				default:
					opt.Variables[name] = v
				}
			}
			all++
			want := texts[i][k]
			got, err := tok.ApplyTemplate(msgs, opt)
			switch {
			case want == nil && err == nil:
				t.Errorf("conversation %d, options %d: %q, want an error", i, k, got)
			case want == nil:
				same++
			case err != nil:
				t.Errorf("conversation %d, options %d: %v, want %q", i, k, err, *want)
			case got != *want:
				t.Errorf("conversation %d, options %d:\n got %q\nwant %q", i, k, got, *want)
			default:
				same++
			}
		}
	}
	t.Logf("%d of %d texts equal", same, all)
}

func TestTemplates(t *testing.T) {
	var g chatGolden
	readGolden(t, "templates.json.gz", &g)
	if len(g.Templates) < 8 {
		t.Fatalf("%d templates", len(g.Templates))
	}
	for name, tp := range g.Templates {
		t.Run(name, func(t *testing.T) {
			g.compare(t, &Tokenizer{named: g.Tokens, template: &template{source: tp.Source}}, tp.Texts)
		})
	}
}

func TestSmolLM2Template(t *testing.T) {
	tok := smolLM2(t)
	var g chatGolden
	readGolden(t, "templates.json.gz", &g)
	if len(g.SmolLM2) == 0 {
		t.Fatal("the golden has no texts")
	}
	g.compare(t, tok, g.SmolLM2)
}

// TestSnippets compares the template language itself, a construct at a time.
func TestSnippets(t *testing.T) {
	var g chatGolden
	readGolden(t, "templates.json.gz", &g)
	if len(g.Snippets) < 80 {
		t.Fatalf("%d snippets", len(g.Snippets))
	}
	for _, s := range g.Snippets {
		got := ""
		tp, err := jinja.Parse(*s[0])
		if err == nil {
			got, err = tp.Render(map[string]any{"messages": jinja.List{}})
		}
		switch {
		case s[1] == nil && err == nil:
			t.Errorf("%q: %q, want an error", *s[0], got)
		case s[1] != nil && err != nil:
			t.Errorf("%q: %v, want %q", *s[0], err, *s[1])
		case s[1] != nil && got != *s[1]:
			t.Errorf("%q:\n got %q\nwant %q", *s[0], got, *s[1])
		}
	}
	for _, d := range g.Dates {
		tp, err := jinja.Parse("{{ strftime_now('" + d[0] + "') }}")
		if err != nil {
			t.Fatal(err)
		}
		got, err := tp.Render(map[string]any{"strftime_now": jinja.Clock(DefaultDate)})
		if err != nil || got != d[1] {
			t.Errorf("strftime %q: %q %v, want %q", d[0], got, err, d[1])
		}
	}
}

func TestTemplateErrors(t *testing.T) {
	user := []Message{{Role: "user", Content: "x"}}
	for source, want := range map[string]string{
		"{% for m in messages %}":                                                        "line 1",
		"a\n{{ raise_exception('roles!') }}":                                             "roles!",
		"{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}":                             "too deeply",
		"{{ 'x' * 1000000000 }}":                                                         "larger than",
		"{{ " + strings.Repeat("(", 5000) + strings.Repeat(")", 5000) + " }}":            "too deeply",
		"{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}": "steps",
		"{% include '/etc/passwd' %}":                                                    "include",
	} {
		_, err := (&Tokenizer{template: &template{source: source}}).ApplyTemplate(user, TemplateOptions{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: error %v, want one with %q", source, err, want)
		}
	}
	if _, err := (&Tokenizer{}).ApplyTemplate(user, TemplateOptions{}); err == nil {
		t.Error("no error without a template")
	}
	tok := NewByteLevel("")
	for name, f := range map[string]func() (string, error){
		"empty": func() (string, error) { return tok.ApplyTemplate(nil, TemplateOptions{}) },
		"both": func() (string, error) {
			return tok.ApplyTemplate(user, TemplateOptions{AddGenerationPrompt: true, ContinueFinal: true})
		},
		"tools": func() (string, error) { return tok.ApplyTemplate(user, TemplateOptions{Tools: "[1"}) },
		"tool calls": func() (string, error) {
			return tok.ApplyTemplate([]Message{{Role: "user", ToolCalls: "{}x"}}, TemplateOptions{})
		},
		"variable": func() (string, error) {
			return tok.ApplyTemplate(user, TemplateOptions{Variables: map[string]any{"x": struct{}{}}})
		},
	} {
		if text, err := f(); err == nil {
			t.Errorf("%s: %q, want an error", name, text)
		}
	}
	var raised *jinja.Error
	_, err := NewByteLevel("{{ raise_exception('no') }}").ApplyTemplate(user, TemplateOptions{Date: time.Unix(0, 0)})
	if !errors.As(err, &raised) || !raised.Raised {
		t.Errorf("%v is not known as raised by the template", err)
	}
}
