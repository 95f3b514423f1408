package jinja

import (
	"math/big"
	"strings"
)

// scope is one level of variables.
type scope struct {
	vars map[string]any
	up   *scope
}

func (sc *scope) get(name string) (any, bool) {
	for ; sc != nil; sc = sc.up {
		if v, ok := sc.vars[name]; ok {
			return v, true
		}
	}
	return nil, false
}

// state is one rendering.
type state struct {
	out   *strings.Builder
	steps int
	depth int
	bytes int
}

func (s *state) write(line int, text string) {
	if s.bytes += len(text); s.bytes > maxOutput {
		fail(line, "the output is larger than %d bytes", maxOutput)
	}
	s.out.WriteString(text)
}

// made accounts for a value of n bytes or elements, so that a template cannot fill the memory.
func (s *state) made(line, n int) {
	if s.bytes += n; n < 0 || s.bytes > maxOutput {
		fail(line, "the template builds values larger than %d bytes", maxOutput)
	}
}

func (s *state) step(line int) {
	if s.steps++; s.steps > maxSteps {
		fail(line, "more than %d steps", maxSteps)
	}
}

func (s *state) enter(line int) {
	if s.depth++; s.depth > maxDepth {
		fail(line, "calls nest too deeply")
	}
}

// capture is the text that f writes.
func (s *state) capture(f func()) string {
	outer := s.out
	var b strings.Builder
	s.out = &b
	defer func() { s.out = outer }()
	f()
	return b.String()
}

func (s *state) eval(x expr, sc *scope) any {
	s.step(0)
	switch x := x.(type) {
	case constant:
		return x.v
	case variable:
		if v, ok := sc.get(x.name); ok {
			return v
		}
		return Undefined{x.name}
	case listExpr:
		items := make([]any, len(x.items))
		for i, e := range x.items {
			items[i] = s.eval(e, sc)
		}
		if x.tuple {
			return Tuple(items)
		}
		return List(items)
	case dictExpr:
		d := NewDict()
		for i, k := range x.keys {
			if key := s.eval(k, sc); !d.Set(key, s.eval(x.values[i], sc)) {
				fail(0, "%s cannot be a key", typeName(key))
			}
		}
		return d
	case unary:
		return s.unary(x, sc)
	case binary:
		return s.binary(x, sc)
	case compare:
		a := s.eval(x.first, sc)
		for i, op := range x.ops {
			b := s.eval(x.rest[i], sc)
			if !s.compare(x.line, op, a, b) {
				return false
			}
			a = b
		}
		return true
	case condExpr:
		if truthy(s.eval(x.test, sc)) {
			return s.eval(x.yes, sc)
		}
		if x.no == nil {
			return Undefined{"the value of an if without else"}
		}
		return s.eval(x.no, sc)
	case attribute:
		return s.attribute(x.line, s.eval(x.x, sc), x.name)
	case index:
		return s.item(x.line, s.eval(x.x, sc), s.eval(x.i, sc))
	case slice:
		return s.slice(x, sc)
	case call:
		return s.call(x.line, s.eval(x.f, sc), s.args(x.args, sc, x.line))
	case filterExpr:
		c := s.args(x.args, sc, x.line)
		return filters[x.name](c, s.eval(x.x, sc))
	case testExpr:
		c := s.args(x.args, sc, x.line)
		return tests[x.name](c, s.eval(x.x, sc)) != x.not
	}
	fail(0, "unknown expression")
	return nil
}

func (s *state) args(a arguments, sc *scope, line int) *Call {
	c := &Call{s: s, Line: line}
	for _, e := range a.pos {
		c.Pos = append(c.Pos, s.eval(e, sc))
	}
	for i, e := range a.named {
		if c.Named == nil {
			c.Named = map[string]any{}
		}
		c.Named[a.names[i]] = s.eval(e, sc)
		c.order = append(c.order, a.names[i])
	}
	return c
}

func (s *state) call(line int, f any, c *Call) any {
	switch f := f.(type) {
	case Func:
		s.enter(line)
		defer func() { s.depth-- }()
		return f(c)
	case *loop:
		if f.again == nil {
			fail(line, "the loop is not recursive")
		}
		s.enter(line)
		defer func() { s.depth-- }()
		return f.again(c)
	case Undefined:
		fail(line, "%s is undefined and cannot be called", f.What)
	}
	fail(line, "%s cannot be called", typeName(f))
	return nil
}

// attribute is x.name: a method or field first, then a key.
func (s *state) attribute(line int, x any, name string) any {
	if m := method(x, name); m != nil {
		return m
	}
	switch x := x.(type) {
	case *Dict:
		if v, ok := x.Get(name); ok {
			return v
		}
	case *Namespace:
		if v, ok := x.d.Get(name); ok {
			return v
		}
	case *loop:
		if v, ok := x.get(name); ok {
			return v
		}
	case Undefined:
		fail(line, "%s is undefined and has no %s", x.What, name)
	}
	return Undefined{typeName(x) + "." + name}
}

// item is x[i]: a key or a place first, then an attribute.
func (s *state) item(line int, x, i any) any {
	if u, ok := x.(Undefined); ok {
		fail(line, "%s is undefined and has no %s", u.What, repr(i))
	}
	if d, ok := x.(*Dict); ok {
		if v, ok := d.Get(i); ok {
			return v
		}
	}
	if n, ok := i.(int); ok {
		if list, ok := sequence(x); ok {
			if n < 0 {
				n += len(list)
			}
			if n >= 0 && n < len(list) {
				return list[n]
			}
		}
		if t, ok := x.(string); ok {
			runes := []rune(t)
			if n < 0 {
				n += len(runes)
			}
			if n >= 0 && n < len(runes) {
				return string(runes[n])
			}
		}
	}
	if name, ok := i.(string); ok {
		return s.attribute(line, x, name)
	}
	return Undefined{typeName(x) + "[" + repr(i) + "]"}
}

func (s *state) slice(x slice, sc *scope) any {
	v := s.eval(x.x, sc)
	bound := func(e expr) (int, bool) {
		if e == nil {
			return 0, false
		}
		switch n := s.eval(e, sc).(type) {
		case nil:
			return 0, false
		case int:
			return n, true
		default:
			fail(x.line, "a slice goes from int to int, not %s", typeName(n))
			return 0, false
		}
	}
	from, hasFrom := bound(x.from)
	to, hasTo := bound(x.to)
	step, hasStep := bound(x.step)
	if !hasStep {
		step = 1
	}
	if step == 0 {
		fail(x.line, "the step of a slice is zero")
	}
	cut := func(n int) []int {
		lo, hi := 0, n
		if step < 0 {
			lo, hi = -1, n-1
		}
		clamp := func(v int, has bool, otherwise int) int {
			if !has {
				return otherwise
			}
			if v < 0 {
				v += n
			}
			return min(max(v, lo), hi)
		}
		var places []int
		if step > 0 {
			for i, end := clamp(from, hasFrom, 0), clamp(to, hasTo, n); i < end; i += step {
				places = append(places, i)
			}
		} else {
			for i, end := clamp(from, hasFrom, n-1), clamp(to, hasTo, -1); i > end; i += step {
				places = append(places, i)
			}
		}
		return places
	}
	switch t := v.(type) {
	case string:
		runes := []rune(t)
		var b strings.Builder
		for _, i := range cut(len(runes)) {
			b.WriteRune(runes[i])
		}
		return b.String()
	case List:
		out := List{}
		for _, i := range cut(len(t)) {
			out = append(out, t[i])
		}
		return out
	case Tuple:
		out := Tuple{}
		for _, i := range cut(len(t)) {
			out = append(out, t[i])
		}
		return out
	case Undefined:
		fail(x.line, "%s is undefined", t.What)
	}
	fail(x.line, "%s cannot be sliced", typeName(v))
	return nil
}

// iterate is the elements that a for loop sees.
func iterate(line int, v any) []any {
	switch v := v.(type) {
	case string:
		var out []any
		for _, r := range v {
			out = append(out, string(r))
		}
		return out
	case *Dict:
		return v.keys
	case Undefined:
		return nil
	case *big.Int, nil:
	default:
		if list, ok := sequence(v); ok {
			return list
		}
	}
	fail(line, "%s cannot be iterated over", typeName(v))
	return nil
}
