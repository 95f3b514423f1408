package jinja

import (
	"math"
	"strings"
)

func (s *state) unary(x unary, sc *scope) any {
	v := s.eval(x.x, sc)
	if x.op == "not" {
		return !truthy(v)
	}
	f, i, isInt, ok := number(v)
	if !ok {
		fail(x.line, "%s has no sign", typeName(v))
	}
	if x.op == "-" {
		f, i = -f, -i
	}
	if isInt {
		return i
	}
	return f
}

func (s *state) binary(x binary, sc *scope) any {
	a := s.eval(x.x, sc)
	switch x.op {
	case "and":
		if !truthy(a) {
			return a
		}
		return s.eval(x.y, sc)
	case "or":
		if truthy(a) {
			return a
		}
		return s.eval(x.y, sc)
	}
	b := s.eval(x.y, sc)
	for _, v := range []any{a, b} {
		if u, ok := v.(Undefined); ok && x.op != "~" {
			fail(x.line, "%s is undefined", u.What)
		}
	}
	switch x.op {
	case "~":
		p, q := str(a), str(b)
		s.made(x.line, len(p)+len(q))
		return p + q
	case "+":
		if p, ok := a.(string); ok {
			if q, ok := b.(string); ok {
				s.made(x.line, len(p)+len(q))
				return p + q
			}
		}
		if p, ok := a.(List); ok {
			if q, ok := b.(List); ok {
				s.made(x.line, len(p)+len(q))
				return append(append(List{}, p...), q...)
			}
		}
		if p, ok := a.(Tuple); ok {
			if q, ok := b.(Tuple); ok {
				return append(append(Tuple{}, p...), q...)
			}
		}
	case "*":
		if n, ok := b.(int); ok {
			if v, ok := s.repeat(x.line, a, n); ok {
				return v
			}
		}
		if n, ok := a.(int); ok {
			if v, ok := s.repeat(x.line, b, n); ok {
				return v
			}
		}
	case "%":
		if f, ok := a.(string); ok {
			return percent(x.line, f, b)
		}
	}
	return arithmetic(x.line, x.op, a, b)
}

func (s *state) repeat(line int, v any, n int) (any, bool) {
	n = max(n, 0)
	switch v := v.(type) {
	case string:
		if len(v) > 0 && n > maxOutput/len(v) {
			s.made(line, maxOutput+1)
		}
		s.made(line, len(v)*n)
		return strings.Repeat(v, n), true
	case List:
		if len(v) > 0 && n > maxOutput/len(v) {
			s.made(line, maxOutput+1)
		}
		s.made(line, len(v)*n)
		var out List
		for range n {
			out = append(out, v...)
		}
		return out, true
	}
	return nil, false
}

func arithmetic(line int, op string, a, b any) any {
	x, i, xi, ok := number(a)
	y, j, yi, ok2 := number(b)
	if !ok || !ok2 {
		fail(line, "%s %s %s is not defined", typeName(a), op, typeName(b))
	}
	ints := xi && yi
	if y == 0 && (op == "/" || op == "//" || op == "%") {
		fail(line, "division by zero")
	}
	switch op {
	case "+":
		if ints {
			return i + j
		}
		return x + y
	case "-":
		if ints {
			return i - j
		}
		return x - y
	case "*":
		if ints {
			return i * j
		}
		return x * y
	case "/":
		return x / y
	case "//":
		if ints {
			return floorDiv(i, j)
		}
		return math.Floor(x / y)
	case "%":
		if ints {
			return i - j*floorDiv(i, j)
		}
		return x - y*math.Floor(x/y)
	}
	if ints && j >= 0 && math.Abs(math.Pow(x, y)) < 1<<53 {
		return int(math.Pow(x, y))
	}
	return math.Pow(x, y)
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

func (s *state) compare(line int, op string, a, b any) bool {
	switch op {
	case "==":
		return equal(a, b)
	case "!=":
		return !equal(a, b)
	case "in":
		return contains(line, b, a)
	case "not in":
		return !contains(line, b, a)
	}
	for _, v := range []any{a, b} {
		if u, ok := v.(Undefined); ok {
			fail(line, "%s is undefined", u.What)
		}
	}
	switch op {
	case "<":
		return less(line, a, b)
	case ">":
		return less(line, b, a)
	case "<=":
		return less(line, a, b) || equal(a, b)
	}
	return less(line, b, a) || equal(a, b)
}

func contains(line int, in, v any) bool {
	switch in := in.(type) {
	case string:
		s, ok := v.(string)
		if !ok {
			fail(line, "%s in str is not defined", typeName(v))
		}
		return strings.Contains(in, s)
	case *Dict:
		_, ok := in.Get(v)
		return ok
	case Undefined:
		return false
	}
	list, ok := sequence(in)
	if !ok {
		fail(line, "in %s is not defined", typeName(in))
	}
	for _, e := range list {
		if equal(e, v) {
			return true
		}
	}
	return false
}
