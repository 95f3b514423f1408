package jinja

// control is how a list of statements ended.
type control int

const (
	done control = iota
	broke
	continued
)

func (s *state) run(list []node, sc *scope) control {
	for _, n := range list {
		if c := s.stmt(n, sc); c != done {
			return c
		}
	}
	return done
}

func (s *state) stmt(n node, sc *scope) control {
	s.step(0)
	switch n := n.(type) {
	case text:
		s.write(0, n.s)
	case out:
		s.write(n.line, str(s.eval(n.x, sc)))
	case ifStmt:
		for i, test := range n.tests {
			if truthy(s.eval(test, sc)) {
				return s.run(n.bodies[i], sc)
			}
		}
		if len(n.bodies) > len(n.tests) {
			return s.run(n.bodies[len(n.tests)], sc)
		}
	case forStmt:
		s.loop(n, sc, s.eval(n.in, sc), 0)
	case setStmt:
		if n.x != nil {
			s.assign(n.line, n.target, s.eval(n.x, sc), sc)
			break
		}
		text := s.capture(func() { s.run(n.body, &scope{vars: map[string]any{}, up: sc}) })
		s.assign(n.line, n.target, s.wrap(n.wraps, text, sc), sc)
	case macroStmt:
		sc.vars[n.name] = s.macro(n, sc)
	case callStmt:
		c := s.args(n.x.args, sc, n.line)
		caller := s.macro(n.macro, sc)
		if c.Named == nil {
			c.Named = map[string]any{}
		}
		c.Named["caller"] = caller
		s.write(n.line, str(s.call(n.line, s.eval(n.x.f, sc), c)))
	case filterStmt:
		text := s.capture(func() { s.run(n.body, &scope{vars: map[string]any{}, up: sc}) })
		s.write(0, str(s.wrap(n.wraps, text, sc)))
	case withStmt:
		inner := &scope{vars: map[string]any{}, up: sc}
		for i, target := range n.targets {
			s.assign(0, target, s.eval(n.values[i], sc), inner)
		}
		return s.run(n.body, inner)
	case jump:
		if n.kind == "break" {
			return broke
		}
		return continued
	}
	return done
}

func (s *state) wrap(wraps []filterExpr, v any, sc *scope) any {
	for _, f := range wraps {
		v = filters[f.name](s.args(f.args, sc, f.line), v)
	}
	return v
}

func (s *state) assign(line int, target expr, v any, sc *scope) {
	switch target := target.(type) {
	case variable:
		sc.vars[target.name] = v
	case attribute:
		ns, ok := s.eval(target.x, sc).(*Namespace)
		if !ok {
			fail(line, "attributes can be set on namespaces only")
		}
		ns.d.Set(target.name, v)
	case listExpr:
		list := iterate(line, v)
		if len(list) != len(target.items) {
			fail(line, "%d values for %d names", len(list), len(target.items))
		}
		for i, t := range target.items {
			s.assign(line, t, list[i], sc)
		}
	}
}

// loop is the loop variable.
type loop struct {
	items     []any
	at, depth int
	again     Func
	last      any
	changed   bool
}

func (l *loop) get(name string) (any, bool) {
	n := len(l.items)
	switch name {
	case "index":
		return l.at + 1, true
	case "index0":
		return l.at, true
	case "revindex":
		return n - l.at, true
	case "revindex0":
		return n - l.at - 1, true
	case "first":
		return l.at == 0, true
	case "last":
		return l.at == n-1, true
	case "length":
		return n, true
	case "depth":
		return l.depth + 1, true
	case "depth0":
		return l.depth, true
	case "previtem":
		if l.at > 0 {
			return l.items[l.at-1], true
		}
		return Undefined{"there is no previous item"}, true
	case "nextitem":
		if l.at < n-1 {
			return l.items[l.at+1], true
		}
		return Undefined{"there is no next item"}, true
	case "cycle":
		return Func(func(c *Call) any {
			if len(c.Pos) == 0 {
				fail(c.Line, "cycle needs values")
			}
			return c.Pos[l.at%len(c.Pos)]
		}), true
	case "changed":
		return Func(func(c *Call) any {
			now := Tuple(c.Pos)
			if l.changed && equal(l.last, now) {
				return false
			}
			l.last, l.changed = now, true
			return true
		}), true
	}
	return nil, false
}

func (s *state) loop(n forStmt, sc *scope, in any, depth int) {
	items := iterate(n.line, in)
	if n.where != nil {
		var kept []any
		for _, v := range items {
			s.step(n.line)
			inner := &scope{vars: map[string]any{}, up: sc}
			s.assign(n.line, n.target, v, inner)
			if truthy(s.eval(n.where, inner)) {
				kept = append(kept, v)
			}
		}
		items = kept
	}
	if len(items) == 0 {
		s.run(n.or, &scope{vars: map[string]any{}, up: sc})
		return
	}
	l := &loop{items: items, depth: depth}
	if n.recursive {
		l.again = func(c *Call) any {
			if len(c.Pos) != 1 {
				fail(c.Line, "loop takes one argument")
			}
			return s.capture(func() { s.loop(n, sc, c.Pos[0], depth+1) })
		}
	}
	for i, v := range items {
		s.step(n.line)
		l.at = i
		inner := &scope{vars: map[string]any{"loop": l}, up: sc}
		s.assign(n.line, n.target, v, inner)
		if s.run(n.body, inner) == broke {
			return
		}
	}
}

// macro is a function that renders its body; it sees the variables around its definition.
func (s *state) macro(m macroStmt, def *scope) Func {
	return func(c *Call) any {
		inner := &scope{vars: map[string]any{}, up: def}
		if len(c.Pos) > len(m.params) {
			fail(c.Line, "%s takes %d arguments, not %d", m.name, len(m.params), len(c.Pos))
		}
		used := 0
		for i, name := range m.params {
			v, named := c.Named[name]
			switch {
			case i < len(c.Pos) && named:
				fail(c.Line, "%s got %s twice", m.name, name)
			case i < len(c.Pos):
				v = c.Pos[i]
			case named:
				used++
			case m.defaults[i] != nil:
				v = s.eval(m.defaults[i], inner)
			default:
				v = Undefined{name}
			}
			inner.vars[name] = v
		}
		if v, ok := c.Named["caller"]; ok {
			inner.vars["caller"] = v
			used++
		}
		if used < len(c.Named) {
			for _, name := range c.order {
				if _, known := inner.vars[name]; !known {
					fail(c.Line, "%s has no parameter %s", m.name, name)
				}
			}
		}
		return s.capture(func() { s.run(m.body, inner) })
	}
}
