package jinja

import "strconv"

type parser struct {
	toks  []token
	at    int
	depth int
}

func (p *parser) tok() token { return p.toks[p.at] }

func (p *parser) next() token {
	t := p.toks[p.at]
	if t.kind != tokEOF {
		p.at++
	}
	return t
}

func (p *parser) isOp(text string) bool {
	return p.tok().kind == tokOp && p.tok().text == text
}

func (p *parser) isName(text string) bool {
	return p.tok().kind == tokName && p.tok().text == text
}

func (p *parser) takeOp(text string) bool {
	if p.isOp(text) {
		p.at++
		return true
	}
	return false
}

func (p *parser) takeName(text string) bool {
	if p.isName(text) {
		p.at++
		return true
	}
	return false
}

func (p *parser) wantOp(text string) {
	if !p.takeOp(text) {
		p.unexpected(strconv.Quote(text))
	}
}

func (p *parser) wantName() string {
	if p.tok().kind != tokName {
		p.unexpected("a name")
	}
	return p.next().text
}

func (p *parser) unexpected(want string) {
	t := p.tok()
	if t.kind == tokEOF {
		fail(t.line, "the template ends where %s is expected", want)
	}
	fail(t.line, "%q where %s is expected", t.text, want)
}

// deeper guards against templates that would exhaust the stack.
func (p *parser) deeper() func() {
	if p.depth++; p.depth > maxDepth {
		fail(p.tok().line, "nested too deeply")
	}
	return func() { p.depth-- }
}

func (p *parser) expression() expr {
	defer p.deeper()()
	x := p.or()
	for p.takeName("if") {
		c := condExpr{test: p.or(), yes: x}
		if p.takeName("else") {
			c.no = p.expression()
		}
		x = c
	}
	return x
}

func (p *parser) or() expr {
	x := p.and()
	for p.isName("or") {
		line := p.next().line
		x = binary{"or", x, p.and(), line}
	}
	return x
}

func (p *parser) and() expr {
	x := p.not()
	for p.isName("and") {
		line := p.next().line
		x = binary{"and", x, p.not(), line}
	}
	return x
}

func (p *parser) not() expr {
	if p.isName("not") {
		defer p.deeper()()
		line := p.next().line
		return unary{"not", p.not(), line}
	}
	return p.comparison()
}

func (p *parser) comparison() expr {
	c := compare{first: p.sum(), line: p.tok().line}
	for {
		op := ""
		switch t := p.tok(); {
		case t.kind == tokOp:
			switch t.text {
			case "==", "!=", "<", ">", "<=", ">=":
				op = t.text
			}
		case p.isName("in"):
			op = "in"
		case p.isName("not") && p.toks[p.at+1].kind == tokName && p.toks[p.at+1].text == "in":
			p.at++
			op = "not in"
		}
		if op == "" {
			break
		}
		p.at++
		c.ops = append(c.ops, op)
		c.rest = append(c.rest, p.sum())
	}
	if len(c.ops) == 0 {
		return c.first
	}
	return c
}

func (p *parser) sum() expr {
	x := p.concat()
	for p.isOp("+") || p.isOp("-") {
		t := p.next()
		x = binary{t.text, x, p.concat(), t.line}
	}
	return x
}

func (p *parser) concat() expr {
	x := p.product()
	for p.isOp("~") {
		t := p.next()
		x = binary{"~", x, p.product(), t.line}
	}
	return x
}

func (p *parser) product() expr {
	x := p.power()
	for p.isOp("*") || p.isOp("/") || p.isOp("//") || p.isOp("%") {
		t := p.next()
		x = binary{t.text, x, p.power(), t.line}
	}
	return x
}

func (p *parser) power() expr {
	x := p.unary(true)
	for p.isOp("**") {
		t := p.next()
		x = binary{"**", x, p.unary(true), t.line}
	}
	return x
}

func (p *parser) unary(filters bool) expr {
	defer p.deeper()()
	var x expr
	if t := p.tok(); p.isOp("-") || p.isOp("+") {
		p.at++
		x = unary{t.text, p.unary(false), t.line}
	} else {
		x = p.primary()
	}
	x = p.postfix(x)
	if filters {
		x = p.filters(x)
	}
	return x
}

func (p *parser) primary() expr {
	t := p.next()
	switch t.kind {
	case tokName:
		switch t.text {
		case "true", "True":
			return constant{true}
		case "false", "False":
			return constant{false}
		case "none", "None":
			return constant{nil}
		}
		return variable{t.text, t.line}
	case tokString:
		s := t.text
		for p.tok().kind == tokString {
			s += p.next().text
		}
		return constant{s}
	case tokInt:
		n, err := strconv.Atoi(t.text)
		if err != nil {
			fail(t.line, "the number %s is too large", t.text)
		}
		return constant{n}
	case tokFloat:
		f, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			fail(t.line, "the number %s is too large", t.text)
		}
		return constant{f}
	case tokOp:
		switch t.text {
		case "(":
			x := p.tuple(")", p.expression)
			p.wantOp(")")
			return x
		case "[":
			var l listExpr
			for !p.isOp("]") {
				l.items = append(l.items, p.expression())
				if !p.takeOp(",") {
					break
				}
			}
			p.wantOp("]")
			return l
		case "{":
			var d dictExpr
			for !p.isOp("}") {
				d.keys = append(d.keys, p.expression())
				p.wantOp(":")
				d.values = append(d.values, p.expression())
				if !p.takeOp(",") {
					break
				}
			}
			p.wantOp("}")
			return d
		}
	}
	p.at--
	p.unexpected("an expression")
	return nil
}

// tuple reads one expression, or several with commas between them, up to end, which it leaves.
func (p *parser) tuple(end string, one func() expr) expr {
	var items []expr
	comma := false
	for !(end != "" && p.isOp(end)) && p.tok().kind != tokBlockEnd && p.tok().kind != tokVarEnd && !p.isName("in") {
		items = append(items, one())
		if comma = p.takeOp(","); !comma {
			break
		}
	}
	if len(items) == 1 && !comma {
		return items[0]
	}
	if len(items) == 0 && end == "" {
		p.unexpected("an expression")
	}
	return listExpr{items, true}
}

func (p *parser) postfix(x expr) expr {
	for p.tok().kind == tokOp {
		t := p.tok()
		switch t.text {
		case ".":
			p.at++
			if p.tok().kind == tokInt {
				n, _ := strconv.Atoi(p.next().text)
				x = index{x, constant{n}, t.line}
			} else {
				x = attribute{x, p.wantName(), t.line}
			}
		case "[":
			p.at++
			x = p.subscript(x, t.line)
		case "(":
			x = call{x, p.arguments(), t.line}
		default:
			return x
		}
	}
	return x
}

func (p *parser) subscript(x expr, line int) expr {
	var parts [3]expr
	n, colon := 0, false
	for !p.isOp("]") {
		if p.takeOp(":") {
			colon = true
			if n++; n > 2 {
				p.unexpected(`"]"`)
			}
			continue
		}
		parts[n] = p.expression()
		if !p.isOp(":") {
			break
		}
	}
	p.wantOp("]")
	if colon {
		return slice{x, parts[0], parts[1], parts[2], line}
	}
	if parts[0] == nil {
		fail(line, "an index is missing")
	}
	return index{x, parts[0], line}
}

func (p *parser) arguments() arguments {
	var a arguments
	p.wantOp("(")
	for !p.isOp(")") {
		if p.tok().kind == tokName && p.toks[p.at+1].kind == tokOp && p.toks[p.at+1].text == "=" {
			a.names = append(a.names, p.next().text)
			p.at++
			a.named = append(a.named, p.expression())
		} else {
			if len(a.names) > 0 {
				p.unexpected("a named argument")
			}
			a.pos = append(a.pos, p.expression())
		}
		if !p.takeOp(",") {
			break
		}
	}
	p.wantOp(")")
	return a
}

// filters reads | filter and is test behind an expression.
func (p *parser) filters(x expr) expr {
	for {
		t := p.tok()
		switch {
		case p.isOp("|"):
			p.at++
			f := filterExpr{x: x, name: p.wantName(), line: t.line}
			if p.isOp("(") {
				f.args = p.arguments()
			}
			if filters[f.name] == nil {
				fail(t.line, "the filter %q is not known", f.name)
			}
			x = f
		case p.isName("is"):
			p.at++
			x = p.test(x, t.line)
		case p.isOp("("):
			x = call{x, p.arguments(), t.line}
		default:
			return x
		}
	}
}

func (p *parser) test(x expr, line int) expr {
	e := testExpr{x: x, not: p.takeName("not"), line: line}
	e.name = p.wantName()
	if tests[e.name] == nil {
		fail(line, "the test %q is not known", e.name)
	}
	t := p.tok()
	switch {
	case p.isOp("("):
		e.args = p.arguments()
	case t.kind == tokString || t.kind == tokInt || t.kind == tokFloat || p.isOp("[") || p.isOp("{"),
		t.kind == tokName && t.text != "else" && t.text != "or" && t.text != "and" && t.text != "is" && t.text != "if" && t.text != "in" && t.text != "not":
		e.args.pos = []expr{p.postfix(p.primary())}
	}
	return e
}
