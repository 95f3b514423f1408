// Package jinja renders chat templates: the part of Jinja 2 that they use, with Python's values, as transformers sets it
// up (trim_blocks, lstrip_blocks, loop controls, generation blocks, no auto-escaping, an immutable sandbox).
//
// It owns lexing, parsing and evaluation. It must not know tokenizers or messages, and it reaches nothing outside: no
// file, no clock, no environment. Output, steps and depth are limited, because templates come with downloaded models.
package jinja

import (
	"fmt"
	"strings"
)

// Template is a parsed template; it is immutable and may be rendered concurrently.
type Template struct {
	body []node
}

// Limits of one rendering.
const (
	maxOutput = 256 << 20 // bytes
	maxSteps  = 2 << 20   // nodes evaluated
	maxDepth  = 200       // macros and recursive loops within each other
)

// Error is a template that does not parse or fails while rendering. Raised tells the template's own raise_exception
// from mistakes.
type Error struct {
	Line    int
	Message string
	Raised  bool
}

func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("line %d: %s", e.Line, e.Message)
	}
	return e.Message
}

// fail stops parsing or rendering; guard turns it into the error.
func fail(line int, format string, args ...any) {
	panic(&Error{Line: line, Message: fmt.Sprintf(format, args...)})
}

func guard(err *error) {
	switch r := recover().(type) {
	case nil:
	case *Error:
		*err = r
	default:
		*err = &Error{Message: fmt.Sprint(r)} // a runtime error in here is a template we misjudge, not a reason to die
	}
}

// Parse reads a template.
func Parse(source string) (t *Template, err error) {
	defer guard(&err)
	p := &parser{toks: lex(source)}
	body := p.statements()
	if p.tok().kind != tokEOF {
		fail(p.tok().line, "the tag %q is unknown or at a wrong place", p.toks[p.at+1].text)
	}
	return &Template{body: body}, nil
}

// Render evaluates the template with variables. Values are nil, bool, int, float64, string, List, *Dict and Func.
func (t *Template) Render(vars map[string]any) (out string, err error) {
	defer guard(&err)
	s := &state{}
	root := &scope{vars: map[string]any{}}
	for name, v := range globals {
		root.vars[name] = v
	}
	for name, v := range vars {
		root.vars[name] = v
	}
	var b strings.Builder
	s.out = &b
	s.run(t.body, &scope{vars: map[string]any{}, up: root})
	return b.String(), nil
}
