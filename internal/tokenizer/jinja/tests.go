package jinja

import (
	"math/big"
	"strings"
)

var tests map[string]func(c *Call, v any) bool

func init() {
	isUndefined := func(_ *Call, v any) bool { _, ok := v.(Undefined); return ok }
	compared := func(op string) func(c *Call, v any) bool {
		return func(c *Call, v any) bool { return c.s.compare(c.Line, op, v, c.need(0, "other")) }
	}
	parity := func(want int) func(c *Call, v any) bool {
		return func(c *Call, v any) bool { return equal(arithmetic(c.Line, "%", v, 2), want) }
	}
	isInt := func(v any) bool {
		switch v.(type) {
		case int, *big.Int:
			return true
		}
		return false
	}
	tests = map[string]func(c *Call, v any) bool{
		"undefined": isUndefined,
		"defined":   func(c *Call, v any) bool { return !isUndefined(c, v) },
		"none":      func(_ *Call, v any) bool { return v == nil },
		"boolean":   func(_ *Call, v any) bool { _, ok := v.(bool); return ok },
		"true":      func(_ *Call, v any) bool { return v == any(true) },
		"false":     func(_ *Call, v any) bool { return v == any(false) },
		"string":    func(_ *Call, v any) bool { _, ok := v.(string); return ok },
		"integer":   func(_ *Call, v any) bool { return isInt(v) },
		"float":     func(_ *Call, v any) bool { _, ok := v.(float64); return ok },
		"number":    func(_ *Call, v any) bool { _, _, _, ok := number(v); return ok },
		"mapping":   func(_ *Call, v any) bool { _, ok := v.(*Dict); return ok },
		"callable":  func(_ *Call, v any) bool { _, ok := v.(Func); return ok },
		"sequence": func(_ *Call, v any) bool {
			switch v.(type) {
			case string, List, Tuple, *Dict, Undefined:
				return true
			}
			return false
		},
		"iterable": func(_ *Call, v any) bool {
			switch v.(type) {
			case string, List, Tuple, *Dict, Undefined:
				return true
			}
			return false
		},
		"in":          func(c *Call, v any) bool { return contains(c.Line, c.need(0, "seq"), v) },
		"divisibleby": func(c *Call, v any) bool { return equal(arithmetic(c.Line, "%", v, c.need(0, "num")), 0) },
		"even":        parity(0),
		"odd":         parity(1),
		"lower":       func(_ *Call, v any) bool { return stringMethods["islower"](nil, str(v)).(bool) },
		"upper":       func(_ *Call, v any) bool { return stringMethods["isupper"](nil, str(v)).(bool) },
		"sameas": func(c *Call, v any) bool {
			o := c.need(0, "other")
			return typeName(o) == typeName(v) && equal(o, v)
		},
		"filter": func(_ *Call, v any) bool { return filters[str(v)] != nil },
		"test":   func(_ *Call, v any) bool { return tests[str(v)] != nil },
	}
	for op, names := range map[string]string{"==": "eq equalto ==", "!=": "ne !=", "<": "lt lessthan <", "<=": "le <=", ">": "gt greaterthan >", ">=": "ge >="} {
		for _, name := range strings.Fields(names) {
			tests[name] = compared(op)
		}
	}
}
