package jinja

import (
	"strings"
	"time"
)

const longestRange = 100_000 // the sandbox's limit

var globals = map[string]any{
	"range": Func(func(c *Call) any {
		from, to, step := 0, c.int(0, "stop", 0), 1
		if len(c.Pos) > 1 {
			from, to, step = c.int(0, "start", 0), c.int(1, "stop", 0), c.int(2, "step", 1)
		}
		if step == 0 {
			fail(c.Line, "range: the step is zero")
		}
		out := List{}
		for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
			if len(out) == longestRange {
				fail(c.Line, "range: more than %d numbers", longestRange)
			}
			out = append(out, i)
		}
		c.s.made(c.Line, 16*len(out))
		return out
	}),
	"dict": Func(func(c *Call) any { return fromCall(c) }),
	"namespace": Func(func(c *Call) any {
		d := fromCall(c)
		for _, k := range d.keys {
			if strings.HasPrefix(str(k), "_") {
				fail(c.Line, "a namespace cannot hold %s", repr(k))
			}
		}
		return &Namespace{d: *d}
	}),
	"raise_exception": Func(func(c *Call) any {
		panic(&Error{Line: c.Line, Message: str(c.need(0, "message")), Raised: true})
	}),
}

// fromCall is dict(other, name=value, ...).
func fromCall(c *Call) *Dict {
	d := NewDict()
	if len(c.Pos) > 0 {
		if from, ok := c.Pos[0].(*Dict); ok {
			for _, k := range from.keys {
				v, _ := from.Get(k)
				d.Set(k, v)
			}
		} else {
			for _, pair := range iterate(c.Line, c.Pos[0]) {
				kv, ok := sequence(pair)
				if !ok || len(kv) != 2 || !d.Set(kv[0], kv[1]) {
					fail(c.Line, "dict wants pairs")
				}
			}
		}
	}
	for _, name := range c.order {
		d.Set(name, c.Named[name])
	}
	return d
}

// Clock is the function strftime_now for a fixed time: templates get no clock, so that a rendering can be repeated.
func Clock(at time.Time) Func {
	return func(c *Call) any { return strftime(at, c.needText(0, "format")) }
}

var strftimeVerbs = map[byte]string{'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'B': "January", 'b': "Jan", 'h': "Jan", 'A': "Monday", 'a': "Mon", 'H': "15", 'I': "03",
	'M': "04", 'S': "05", 'p': "PM", 'j': "002", 'F': "2006-01-02", 'T': "15:04:05", 'D': "01/02/06", 'R': "15:04", 'e': "_2", 'Z': "", 'z': ""}

func strftime(at time.Time, format string) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		strip := format[i] == '-' && i+1 < len(format)
		if strip {
			i++
		}
		verb, ok := strftimeVerbs[format[i]]
		switch {
		case !ok && format[i] == '%':
			b.WriteByte('%')
		case !ok:
			b.WriteString("%" + format[i:i+1])
		case verb != "":
			s := at.Format(verb)
			if strip {
				if s = strings.TrimLeft(s, "0 "); s == "" {
					s = "0"
				}
			}
			b.WriteString(s)
		}
	}
	return b.String()
}
