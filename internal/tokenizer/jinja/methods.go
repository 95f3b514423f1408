package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// method is the method of a value, nil where it has none of that name. Methods that change a value are left out, as
// in the immutable sandbox.
func method(x any, name string) any {
	switch x := x.(type) {
	case string:
		if m := stringMethods[name]; m != nil {
			return Func(func(c *Call) any { return m(c, x) })
		}
	case *Dict:
		if m := dictMethods[name]; m != nil {
			return Func(func(c *Call) any { return m(c, x) })
		}
	case List, Tuple:
		list, _ := sequence(x)
		switch name {
		case "index":
			return Func(func(c *Call) any {
				for i, e := range list {
					if equal(e, c.need(0, "value")) {
						return i
					}
				}
				fail(c.Line, "%s is not in the list", repr(c.Pos[0]))
				return nil
			})
		case "count":
			return Func(func(c *Call) any {
				n := 0
				for _, e := range list {
					if equal(e, c.need(0, "value")) {
						n++
					}
				}
				return n
			})
		case "copy":
			return Func(func(*Call) any { return x })
		}
	}
	return nil
}

var dictMethods = map[string]func(c *Call, d *Dict) any{
	"items":  func(_ *Call, d *Dict) any { return d.items() },
	"keys":   func(_ *Call, d *Dict) any { return append(List{}, d.keys...) },
	"copy":   func(_ *Call, d *Dict) any { return d },
	"values": func(_ *Call, d *Dict) any { return dictValues(d) },
	"get": func(c *Call, d *Dict) any {
		if v, ok := d.Get(c.need(0, "key")); ok {
			return v
		}
		v, _ := c.arg(1, "default")
		return v
	},
}

func dictValues(d *Dict) List {
	out := List{}
	for _, k := range d.keys {
		v, _ := d.Get(k)
		out = append(out, v)
	}
	return out
}

var stringMethods map[string]func(c *Call, s string) any

func init() {
	all := func(is func(r rune) bool) func(c *Call, s string) any {
		return func(_ *Call, s string) any {
			for _, r := range s {
				if !is(r) {
					return false
				}
			}
			return s != ""
		}
	}
	stringMethods = map[string]func(c *Call, s string) any{
		"strip":        func(c *Call, s string) any { return strip(c, s, true, true) },
		"lstrip":       func(c *Call, s string) any { return strip(c, s, true, false) },
		"rstrip":       func(c *Call, s string) any { return strip(c, s, false, true) },
		"upper":        func(_ *Call, s string) any { return strings.ToUpper(s) },
		"lower":        func(_ *Call, s string) any { return strings.ToLower(s) },
		"casefold":     func(_ *Call, s string) any { return strings.ToLower(s) },
		"title":        func(_ *Call, s string) any { return title(s, func(r rune) bool { return !unicode.IsLetter(r) }) },
		"capitalize":   func(_ *Call, s string) any { return capitalize(s) },
		"startswith":   func(c *Call, s string) any { return affix(c, s, strings.HasPrefix) },
		"endswith":     func(c *Call, s string) any { return affix(c, s, strings.HasSuffix) },
		"removeprefix": func(c *Call, s string) any { return strings.TrimPrefix(s, c.needText(0, "prefix")) },
		"removesuffix": func(c *Call, s string) any { return strings.TrimSuffix(s, c.needText(0, "suffix")) },
		"split":        func(c *Call, s string) any { return split(c, s, false) },
		"rsplit":       func(c *Call, s string) any { return split(c, s, true) },
		"splitlines":   func(c *Call, s string) any { return splitLines(s, c.flag(0, "keepends", false)) },
		"partition": func(c *Call, s string) any {
			return partition(s, c.needText(0, "sep"), strings.Index(s, c.needText(0, "sep")), false)
		},
		"rpartition": func(c *Call, s string) any {
			return partition(s, c.needText(0, "sep"), strings.LastIndex(s, c.needText(0, "sep")), true)
		},
		"replace": func(c *Call, s string) any {
			return replace(c, s, c.needText(0, "old"), c.needText(1, "new"), c.int(2, "count", -1))
		},
		"join": func(c *Call, s string) any {
			var parts []string
			for _, e := range iterate(c.Line, c.need(0, "iterable")) {
				t, ok := e.(string)
				if !ok {
					fail(c.Line, "join takes strings, not %s", typeName(e))
				}
				parts = append(parts, t)
			}
			return strings.Join(parts, s)
		},
		"find":    func(c *Call, s string) any { return runeIndex(s, strings.Index(s, c.needText(0, "sub"))) },
		"rfind":   func(c *Call, s string) any { return runeIndex(s, strings.LastIndex(s, c.needText(0, "sub"))) },
		"count":   func(c *Call, s string) any { return strings.Count(s, c.needText(0, "sub")) },
		"isdigit": all(unicode.IsDigit),
		"isalpha": all(unicode.IsLetter),
		"isspace": all(isSpace),
		"isalnum": all(func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }),
		"isupper": func(_ *Call, s string) any { return s == strings.ToUpper(s) && s != strings.ToLower(s) },
		"islower": func(_ *Call, s string) any { return s == strings.ToLower(s) && s != strings.ToUpper(s) },
		"zfill": func(c *Call, s string) any {
			sign := ""
			if s != "" && (s[0] == '-' || s[0] == '+') {
				sign, s = s[:1], s[1:]
			}
			n := max(0, min(c.int(0, "width", 0), 1<<20)-utf8.RuneCountInString(s)-len(sign))
			return sign + strings.Repeat("0", n) + s
		},
		"format": format,
	}
}

func runeIndex(s string, i int) int {
	if i < 0 {
		return i
	}
	return utf8.RuneCountInString(s[:i])
}

func strip(c *Call, s string, left, right bool) string {
	is := isSpace
	if v, ok := c.arg(0, "chars"); ok && v != nil {
		chars := c.text(0, "chars", "")
		is = func(r rune) bool { return strings.ContainsRune(chars, r) }
	}
	if left {
		s = strings.TrimLeftFunc(s, is)
	}
	if right {
		s = strings.TrimRightFunc(s, is)
	}
	return s
}

func affix(c *Call, s string, has func(s, t string) bool) bool {
	v := c.need(0, "affix")
	if list, ok := v.(Tuple); ok {
		for _, e := range list {
			if t, ok := e.(string); ok && has(s, t) {
				return true
			}
		}
		return false
	}
	return has(s, c.needText(0, "affix"))
}

func replace(c *Call, s, old, new string, n int) string {
	if count := strings.Count(s, old); count > 0 && len(new) > 0 {
		if c.s != nil {
			c.s.made(c.Line, min(count*len(new), maxOutput+1))
		}
	}
	return strings.Replace(s, old, new, n)
}

func split(c *Call, s string, right bool) List {
	limit := c.int(1, "maxsplit", -1)
	out := List{}
	if v, ok := c.arg(0, "sep"); ok && v != nil {
		sep := c.text(0, "sep", "")
		if sep == "" {
			fail(c.Line, "split at an empty string")
		}
		parts := strings.Split(s, sep)
		if limit >= 0 && len(parts) > limit+1 {
			if right {
				k := len(parts) - limit
				parts = append([]string{strings.Join(parts[:k], sep)}, parts[k:]...)
			} else {
				parts = append(parts[:limit:limit], strings.Join(parts[limit:], sep))
			}
		}
		for _, p := range parts {
			out = append(out, p)
		}
		return out
	}
	if right && limit >= 0 {
		var back []string
		s = strings.TrimRightFunc(s, isSpace)
		for s != "" {
			i := strings.LastIndexFunc(s, isSpace)
			if i < 0 || len(back) == limit {
				back = append(back, s)
				break
			}
			_, w := utf8.DecodeRuneInString(s[i:])
			back = append(back, s[i+w:])
			s = strings.TrimRightFunc(s[:i], isSpace)
		}
		for i := len(back) - 1; i >= 0; i-- {
			out = append(out, back[i])
		}
		return out
	}
	s = strings.TrimLeftFunc(s, isSpace)
	for s != "" {
		i := strings.IndexFunc(s, isSpace)
		if limit >= 0 && len(out) == limit {
			return append(out, s)
		}
		if i < 0 {
			return append(out, s)
		}
		out = append(out, s[:i])
		s = strings.TrimLeftFunc(s[i:], isSpace)
	}
	return out
}

func splitLines(s string, keep bool) List {
	out := List{}
	for s != "" {
		i := strings.IndexFunc(s, func(r rune) bool {
			return r >= '\n' && r <= '\r' || r >= 0x1C && r <= 0x1E || r == 0x85 || r == 0x2028 || r == 0x2029
		})
		if i < 0 {
			return append(out, s)
		}
		_, w := utf8.DecodeRuneInString(s[i:])
		if strings.HasPrefix(s[i:], "\r\n") {
			w = 2
		}
		line := s[:i]
		if keep {
			line = s[:i+w]
		}
		out = append(out, line)
		s = s[i+w:]
	}
	return out
}

func partition(s, sep string, i int, right bool) Tuple {
	switch {
	case i >= 0:
		return Tuple{s[:i], sep, s[i+len(sep):]}
	case right:
		return Tuple{"", "", s}
	}
	return Tuple{s, "", ""}
}

func capitalize(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return ""
	}
	return string(unicode.ToTitle(r)) + strings.ToLower(s[n:])
}

// title writes the first letter of each word in upper case, the others in lower case.
func title(s string, between func(r rune) bool) string {
	var b strings.Builder
	start := true
	for _, r := range s {
		if start {
			b.WriteRune(unicode.ToTitle(r))
		} else {
			b.WriteRune(unicode.ToLower(r))
		}
		start = between(r)
	}
	return b.String()
}
