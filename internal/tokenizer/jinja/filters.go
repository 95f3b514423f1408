package jinja

import (
	"html"
	"math"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

var filters map[string]func(c *Call, v any) any

func init() {
	filters = map[string]func(c *Call, v any) any{
		"tojson": toJSON, "default": defaultFilter, "d": defaultFilter, "length": length, "count": length,
		"trim":       func(c *Call, v any) any { return strip(c, text1(c, v), true, true) },
		"upper":      func(c *Call, v any) any { return strings.ToUpper(text1(c, v)) },
		"lower":      func(c *Call, v any) any { return strings.ToLower(text1(c, v)) },
		"capitalize": func(c *Call, v any) any { return capitalize(text1(c, v)) },
		"title": func(c *Call, v any) any {
			return title(text1(c, v), func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("-([{<", r) })
		},
		"string":    func(c *Call, v any) any { return str(v) },
		"safe":      func(c *Call, v any) any { return v },
		"escape":    escape,
		"e":         escape,
		"wordcount": func(c *Call, v any) any { return len(strings.Fields(text1(c, v))) },
		"replace": func(c *Call, v any) any {
			return replace(c, text1(c, v), str(c.need(0, "old")), str(c.need(1, "new")), c.int(2, "count", -1))
		},
		"indent": indent, "join": joinFilter, "items": itemsFilter, "dictsort": dictSort, "int": intFilter, "float": floatFilter, "abs": absFilter,
		"round": roundFilter, "format": func(c *Call, v any) any { return percent(c.Line, text1(c, v), Tuple(c.Pos)) },
		"list":    func(c *Call, v any) any { return append(List{}, iterate(c.Line, v)...) },
		"first":   func(c *Call, v any) any { return end(c, v, false) },
		"last":    func(c *Call, v any) any { return end(c, v, true) },
		"reverse": reverse, "sort": sortFilter, "unique": unique, "map": mapFilter, "sum": sumFilter,
		"min":        func(c *Call, v any) any { return extreme(c, v, -1) },
		"max":        func(c *Call, v any) any { return extreme(c, v, 1) },
		"select":     func(c *Call, v any) any { return choose(c, v, false, true) },
		"reject":     func(c *Call, v any) any { return choose(c, v, false, false) },
		"selectattr": func(c *Call, v any) any { return choose(c, v, true, true) },
		"rejectattr": func(c *Call, v any) any { return choose(c, v, true, false) },
		"attr":       func(c *Call, v any) any { return c.s.attribute(c.Line, v, c.needText(0, "name")) },
		"batch":      batch,
	}
}

// text1 is the value as text; filters on text take everything.
func text1(_ *Call, v any) string { return str(v) }

func escape(_ *Call, v any) any { return html.EscapeString(str(v)) }

func defaultFilter(c *Call, v any) any {
	_, undefined := v.(Undefined)
	if undefined || c.flag(1, "boolean", false) && !truthy(v) {
		if d, ok := c.arg(0, "default_value"); ok {
			return d
		}
		return ""
	}
	return v
}

func length(c *Call, v any) any {
	switch v := v.(type) {
	case string:
		return utf8.RuneCountInString(v)
	case *Dict:
		return v.Len()
	case Undefined:
		return 0
	}
	list, ok := sequence(v)
	if !ok {
		fail(c.Line, "%s has no length", typeName(v))
	}
	return len(list)
}

func indent(c *Call, v any) any {
	pad := ""
	if s, ok := c.arg(0, "width"); ok {
		if t, ok := s.(string); ok {
			pad = t
		}
	}
	if pad == "" {
		pad = strings.Repeat(" ", max(0, min(c.int(0, "width", 4), 1<<10)))
	}
	lines := splitLines(str(v)+"\n", false)
	var b strings.Builder
	blank := c.flag(2, "blank", false)
	for i, l := range lines {
		line := l.(string)
		if i > 0 {
			b.WriteByte('\n')
		}
		if (i > 0 && (line != "" || blank)) || i == 0 && c.flag(1, "first", false) {
			b.WriteString(pad)
		}
		b.WriteString(line)
	}
	return b.String()
}

// path looks up "a.b.0" in v.
func (c *Call) path(v any, name any) any {
	s, ok := name.(string)
	if !ok {
		return c.s.item(c.Line, v, name)
	}
	for _, part := range strings.Split(s, ".") {
		if n, err := strconv.Atoi(part); err == nil {
			v = c.s.item(c.Line, v, n)
		} else {
			v = c.s.item(c.Line, v, part)
		}
	}
	return v
}

func joinFilter(c *Call, v any) any {
	attr, has := c.arg(1, "attribute")
	var parts []string
	for _, e := range iterate(c.Line, v) {
		if has && attr != nil {
			e = c.path(e, attr)
		}
		parts = append(parts, str(e))
	}
	sep := ""
	if d, ok := c.arg(0, "d"); ok {
		sep = str(d)
	}
	return strings.Join(parts, sep)
}

func itemsFilter(c *Call, v any) any {
	switch v := v.(type) {
	case *Dict:
		return v.items()
	case Undefined:
		return List{}
	}
	fail(c.Line, "items wants a dict, not %s", typeName(v))
	return nil
}

func dictSort(c *Call, v any) any {
	d, ok := v.(*Dict)
	if !ok {
		fail(c.Line, "dictsort wants a dict, not %s", typeName(v))
	}
	by := 0
	if c.text(1, "by", "key") == "value" {
		by = 1
	}
	out := d.items()
	sortBy(c, out, c.flag(2, "reverse", false), c.flag(0, "case_sensitive", false), func(e any) any { return e.(Tuple)[by] })
	return out
}

func sortBy(c *Call, list []any, backwards, caseSensitive bool, key func(e any) any) {
	get := func(e any) any {
		k := key(e)
		if s, ok := k.(string); ok && !caseSensitive {
			return strings.ToLower(s)
		}
		return k
	}
	sort.SliceStable(list, func(i, j int) bool {
		if backwards {
			i, j = j, i
		}
		return less(c.Line, get(list[i]), get(list[j]))
	})
}

func (c *Call) key() func(e any) any {
	attr, ok := c.Named["attribute"]
	if !ok || attr == nil {
		return func(e any) any { return e }
	}
	return func(e any) any { return c.path(e, attr) }
}

func sortFilter(c *Call, v any) any {
	out := append(List{}, iterate(c.Line, v)...)
	sortBy(c, out, c.flag(0, "reverse", false), c.flag(1, "case_sensitive", false), c.key())
	return out
}

func unique(c *Call, v any) any {
	out, key := List{}, c.key()
	var seen []any
	for _, e := range iterate(c.Line, v) {
		k := key(e)
		if s, ok := k.(string); ok && !c.flag(0, "case_sensitive", false) {
			k = strings.ToLower(s)
		}
		if !contains(c.Line, List(seen), k) {
			seen = append(seen, k)
			out = append(out, e)
		}
	}
	return out
}

func intFilter(c *Call, v any) any {
	if f, n, isInt, ok := number(v); ok {
		if isInt {
			return n
		}
		if math.Abs(f) < 1<<62 {
			return int(f)
		}
	}
	if s, ok := v.(string); ok {
		s = strings.TrimSpace(s)
		if n, err := strconv.ParseInt(s, c.int(1, "base", 10), 64); err == nil {
			return int(n)
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) < 1<<62 {
			return int(f)
		}
	}
	return c.int(0, "default", 0)
}

func floatFilter(c *Call, v any) any {
	if f, _, _, ok := number(v); ok {
		return f
	}
	if s, ok := v.(string); ok {
		if f, err := strconv.ParseFloat(strings.TrimSpace(s), 64); err == nil {
			return f
		}
	}
	if d, ok := c.arg(0, "default"); ok {
		return d
	}
	return 0.0
}

func absFilter(c *Call, v any) any {
	f, n, isInt, ok := number(v)
	if !ok {
		fail(c.Line, "abs wants a number, not %s", typeName(v))
	}
	if isInt {
		return max(n, -n)
	}
	return math.Abs(f)
}

func roundFilter(c *Call, v any) any {
	f, _, _, ok := number(v)
	if !ok {
		fail(c.Line, "round wants a number, not %s", typeName(v))
	}
	p := math.Pow(10, float64(c.int(0, "precision", 0)))
	switch c.text(1, "method", "common") {
	case "ceil":
		return math.Ceil(f*p) / p
	case "floor":
		return math.Floor(f*p) / p
	}
	return math.RoundToEven(f*p) / p
}

func end(c *Call, v any, last bool) any {
	list := iterate(c.Line, v)
	if len(list) == 0 {
		return Undefined{"an item of an empty sequence"}
	}
	if last {
		return list[len(list)-1]
	}
	return list[0]
}

func reverse(c *Call, v any) any {
	list := iterate(c.Line, v)
	out := make(List, len(list))
	for i, e := range list {
		out[len(list)-1-i] = e
	}
	if _, ok := v.(string); ok {
		return joinFilter(&Call{Line: c.Line}, out)
	}
	return out
}

func sumFilter(c *Call, v any) any {
	key := c.key()
	var total any = 0
	if start, ok := c.arg(1, "start"); ok {
		total = start
	}
	for _, e := range iterate(c.Line, v) {
		total = arithmetic(c.Line, "+", total, key(e))
	}
	return total
}

func extreme(c *Call, v any, sign int) any {
	list := iterate(c.Line, v)
	if len(list) == 0 {
		return Undefined{"an item of an empty sequence"}
	}
	best, key := list[0], c.key()
	for _, e := range list[1:] {
		a, b := key(e), key(best)
		if sign > 0 {
			a, b = b, a
		}
		if less(c.Line, a, b) {
			best = e
		}
	}
	return best
}

// mapFilter is map(attribute=...) and map('filter', ...).
func mapFilter(c *Call, v any) any {
	out := List{}
	if attr, ok := c.Named["attribute"]; ok {
		otherwise, has := c.Named["default"]
		for _, e := range iterate(c.Line, v) {
			x := c.path(e, attr)
			if _, undefined := x.(Undefined); undefined && has {
				x = otherwise
			}
			out = append(out, x)
		}
		return out
	}
	name := c.needText(0, "filter")
	if filters[name] == nil {
		fail(c.Line, "the filter %q is not known", name)
	}
	rest := &Call{s: c.s, Line: c.Line, Pos: c.Pos[1:], Named: c.Named}
	for _, e := range iterate(c.Line, v) {
		out = append(out, filters[name](rest, e))
	}
	return out
}

// choose is select, reject and their attr forms.
func choose(c *Call, v any, attr, want bool) any {
	out := List{}
	pos := c.Pos
	var name any
	if attr {
		name = c.need(0, "attribute")
		pos = pos[1:]
	}
	test := func(_ *Call, v any) bool { return truthy(v) }
	rest := &Call{s: c.s, Line: c.Line, Named: c.Named}
	if len(pos) > 0 {
		t, _ := pos[0].(string)
		if tests[t] == nil {
			fail(c.Line, "the test %s is not known", repr(pos[0]))
		}
		test, rest.Pos = tests[t], pos[1:]
	}
	for _, e := range iterate(c.Line, v) {
		x := e
		if attr {
			x = c.path(e, name)
		}
		if test(rest, x) == want {
			out = append(out, e)
		}
	}
	return out
}

func batch(c *Call, v any) any {
	n := c.int(0, "linecount", 1)
	if n < 1 {
		fail(c.Line, "batch wants a positive number")
	}
	out := List{}
	for list := iterate(c.Line, v); len(list) > 0; {
		k := min(n, len(list))
		out = append(out, append(List{}, list[:k]...))
		list = list[k:]
	}
	return out
}
