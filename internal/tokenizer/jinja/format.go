package jinja

import (
	"fmt"
	"strconv"
	"strings"
)

// format is str.format with fields that are empty, numbers or names, without format specifications.
func format(c *Call, s string) any {
	var b strings.Builder
	auto := 0
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], "{{") || strings.HasPrefix(s[i:], "}}"):
			b.WriteByte(s[i])
			i++
		case s[i] == '{':
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				fail(c.Line, "format: a field has no end")
			}
			name := s[i+1 : i+end]
			n, err := strconv.Atoi(name)
			if name == "" {
				n, err = auto, nil
				auto++
			}
			v, ok := c.Named[name]
			if err == nil {
				v, ok = c.arg(n, "")
			}
			if !ok {
				fail(c.Line, "format: there is no field %q", name)
			}
			b.WriteString(str(v))
			i += end
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// percent is the operator % on a string: %s, %r, %d, %i, %f, %x and %% with Go's reading of flags and widths, which is C's.
func percent(line int, f string, v any) string {
	args, ok := v.(Tuple)
	if !ok {
		args = Tuple{v}
	}
	var b strings.Builder
	used := 0
	for i := 0; i < len(f); i++ {
		if f[i] != '%' {
			b.WriteByte(f[i])
			continue
		}
		j := i + 1
		for j < len(f) && strings.IndexByte("-+ 0#.123456789", f[j]) >= 0 {
			j++
		}
		if j == len(f) {
			fail(line, "a broken format %q", f)
		}
		if f[j] == '%' {
			b.WriteByte('%')
			i = j
			continue
		}
		if used == len(args) {
			fail(line, "too few values for the format %q", f)
		}
		spec, x := f[i:j], args[used]
		if len(spec) > 8 {
			fail(line, "a broken format %q", f)
		}
		used++
		num, n, isInt, isNum := number(x)
		switch f[j] {
		case 's':
			fmt.Fprintf(&b, spec+"s", str(x))
		case 'r':
			fmt.Fprintf(&b, spec+"s", repr(x))
		case 'd', 'i', 'x', 'X', 'o':
			if !isNum {
				fail(line, "%%%c wants a number, not %s", f[j], typeName(x))
			}
			if !isInt {
				n = int(num)
			}
			fmt.Fprintf(&b, spec+strings.Replace(f[j:j+1], "i", "d", 1), n)
		case 'f', 'F', 'e', 'g':
			if !isNum {
				fail(line, "%%%c wants a number, not %s", f[j], typeName(x))
			}
			fmt.Fprintf(&b, spec+f[j:j+1], num)
		default:
			fail(line, "the format %%%c is not known", f[j])
		}
		i = j
	}
	if ok && used < len(args) {
		fail(line, "too many values for the format %q", f)
	}
	return b.String()
}
