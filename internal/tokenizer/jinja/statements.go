package jinja

// Statements.
type (
	node interface{}
	text struct{ s string }
	out  struct {
		x    expr
		line int
	}
	ifStmt struct {
		tests  []expr
		bodies [][]node // one more than tests where there is an else
	}
	forStmt struct {
		target    expr
		in, where expr
		body, or  []node
		recursive bool
		line      int
	}
	setStmt struct {
		target expr
		x      expr
		body   []node // the block form
		wraps  []filterExpr
		line   int
	}
	macroStmt struct {
		name     string
		params   []string
		defaults []expr // aligned with params, nil: none
		body     []node
		line     int
	}
	callStmt struct {
		macro macroStmt // its body as the caller
		x     call
		line  int
	}
	filterStmt struct {
		wraps []filterExpr
		body  []node
	}
	withStmt struct {
		targets []expr
		values  []expr
		body    []node
	}
	jump struct{ kind string } // break, continue
)

// statements reads up to a tag that is not one of its own, which it leaves behind "{%".
func (p *parser) statements() []node {
	defer p.deeper()()
	var list []node
	for {
		t := p.tok()
		switch t.kind {
		case tokText:
			list = append(list, text{p.next().text})
		case tokVarBegin:
			p.at++
			x := p.tuple("", p.expression)
			p.end(tokVarEnd)
			list = append(list, out{x, t.line})
		case tokBlockBegin:
			name := p.toks[p.at+1]
			if name.kind != tokName {
				fail(t.line, "a tag has no name")
			}
			read := statementParsers[name.text]
			if read == nil {
				return list
			}
			p.at += 2
			list = append(list, read(p, name.line))
		default:
			return list
		}
	}
}

func (p *parser) end(kind tokKind) {
	if p.tok().kind != kind {
		p.unexpected("the end of the tag")
	}
	p.at++
}

// body reads the statements of a block and the name of the tag that ends it, one of names.
func (p *parser) body(names ...string) ([]node, string) {
	list := p.statements()
	if p.tok().kind != tokBlockBegin {
		p.unexpected("{% " + names[len(names)-1] + " %}")
	}
	p.at++
	name := p.wantName()
	for _, n := range names {
		if n == name {
			return list, name
		}
	}
	fail(p.tok().line, "unknown tag %q, or one at a wrong place: %q is expected", name, names[len(names)-1])
	return nil, ""
}

func (p *parser) block(end string) []node {
	p.end(tokBlockEnd)
	list, _ := p.body(end)
	p.end(tokBlockEnd)
	return list
}

var statementParsers map[string]func(p *parser, line int) node

func init() {
	statementParsers = map[string]func(p *parser, line int) node{
		"if": (*parser).ifStmt, "for": (*parser).forStmt, "set": (*parser).setStmt, "macro": (*parser).macroStmt, "call": (*parser).callStmt,
		"filter": (*parser).filterStmt, "with": (*parser).withStmt,
		"break":    func(p *parser, _ int) node { p.end(tokBlockEnd); return jump{"break"} },
		"continue": func(p *parser, _ int) node { p.end(tokBlockEnd); return jump{"continue"} },
		// A generation block marks what the assistant wrote; its text is the text.
		"generation": func(p *parser, _ int) node { return withStmt{body: p.block("endgeneration")} },
	}
}

func (p *parser) ifStmt(int) node {
	var s ifStmt
	for {
		s.tests = append(s.tests, p.expression())
		p.end(tokBlockEnd)
		list, name := p.body("elif", "else", "endif")
		s.bodies = append(s.bodies, list)
		switch name {
		case "else":
			s.bodies = append(s.bodies, p.block("endif"))
			return s
		case "endif":
			p.end(tokBlockEnd)
			return s
		}
	}
}

// target reads what is assigned to: names, a tuple of them, or the attribute of a namespace.
func (p *parser) target() expr {
	return p.tuple("=", func() expr {
		if p.takeOp("(") {
			x := p.target()
			p.wantOp(")")
			return x
		}
		t := p.tok()
		name := p.wantName()
		if p.takeOp(".") {
			return attribute{variable{name, t.line}, p.wantName(), t.line}
		}
		return variable{name, t.line}
	})
}

func (p *parser) forStmt(line int) node {
	s := forStmt{target: p.target(), line: line}
	if !p.takeName("in") {
		p.unexpected(`"in"`)
	}
	s.in = p.tuple("", p.or)
	if p.takeName("if") {
		s.where = p.expression()
	}
	s.recursive = p.takeName("recursive")
	p.end(tokBlockEnd)
	list, name := p.body("else", "endfor")
	s.body = list
	if name == "else" {
		s.or = p.block("endfor")
	} else {
		p.end(tokBlockEnd)
	}
	return s
}

func (p *parser) setStmt(line int) node {
	s := setStmt{target: p.target(), line: line}
	if p.takeOp("=") {
		s.x = p.tuple("", p.expression)
		p.end(tokBlockEnd)
		return s
	}
	s.wraps = p.wraps()
	s.body = p.block("endset")
	return s
}

// wraps reads the filters of a block: | f | g(1).
func (p *parser) wraps() []filterExpr {
	var list []filterExpr
	for p.takeOp("|") {
		list = append(list, p.wrap())
	}
	return list
}

func (p *parser) wrap() filterExpr {
	f := filterExpr{line: p.tok().line, name: p.wantName()}
	if p.isOp("(") {
		f.args = p.arguments()
	}
	if filters[f.name] == nil {
		fail(f.line, "the filter %q is not known", f.name)
	}
	return f
}

func (p *parser) filterStmt(int) node {
	s := filterStmt{wraps: []filterExpr{p.wrap()}}
	s.wraps = append(s.wraps, p.wraps()...)
	s.body = p.block("endfilter")
	return s
}

func (p *parser) params(m *macroStmt) {
	p.wantOp("(")
	for !p.isOp(")") {
		m.params = append(m.params, p.wantName())
		var x expr
		if p.takeOp("=") {
			x = p.expression()
		}
		m.defaults = append(m.defaults, x)
		if !p.takeOp(",") {
			break
		}
	}
	p.wantOp(")")
}

func (p *parser) macroStmt(line int) node {
	m := macroStmt{name: p.wantName(), line: line}
	p.params(&m)
	m.body = p.block("endmacro")
	return m
}

func (p *parser) callStmt(line int) node {
	s := callStmt{line: line, macro: macroStmt{name: "caller", line: line}}
	if p.isOp("(") {
		p.params(&s.macro)
	}
	c, ok := p.expression().(call)
	if !ok {
		fail(line, "a call is expected")
	}
	s.x = c
	s.macro.body = p.block("endcall")
	return s
}

func (p *parser) withStmt(int) node {
	var s withStmt
	for p.tok().kind != tokBlockEnd {
		s.targets = append(s.targets, variable{p.wantName(), p.tok().line})
		p.wantOp("=")
		s.values = append(s.values, p.expression())
		if !p.takeOp(",") {
			break
		}
	}
	s.body = p.block("endwith")
	return s
}
