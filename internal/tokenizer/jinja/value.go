package jinja

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"
)

// Values are nil, bool, int, *big.Int, float64, string, List, Tuple, *Dict, *Namespace, Undefined and Func. They are
// never changed in place, but for namespaces.
type (
	// List is a Python list.
	List []any
	// Tuple is a Python tuple.
	Tuple []any
	// Func is anything that can be called.
	Func func(c *Call) any
	// Undefined is what a missing name, key or attribute gives: empty, false, and without attributes of its own.
	Undefined struct{ What string }
	// Namespace holds what a template assigns across scopes.
	Namespace struct{ d Dict }
)

// Call is the arguments of a function, filter, test or method.
type Call struct {
	s     *state
	Line  int
	Pos   []any
	Named map[string]any
	order []string // of the named ones
}

// Dict is a Python dictionary: it keeps the order of insertion.
type Dict struct {
	keys   []any
	values map[any]any
}

// NewDict returns an empty dictionary.
func NewDict() *Dict { return &Dict{values: map[any]any{}} }

// hashable turns equal keys into the same Go value.
func hashable(k any) (any, bool) {
	switch k := k.(type) {
	case bool:
		if k {
			return 1, true
		}
		return 0, true
	case float64:
		if k == math.Trunc(k) && math.Abs(k) < 1<<53 {
			return int(k), true
		}
		return k, true
	case nil, int, string, Undefined:
		return k, true
	case *big.Int:
		return "\x00big" + k.String(), true
	case Tuple:
		return "\x00tuple" + repr(k), true
	}
	return nil, false
}

// Set adds or replaces a key; it reports whether the key can be one.
func (d *Dict) Set(k, v any) bool {
	h, ok := hashable(k)
	if !ok {
		return false
	}
	if d.values == nil {
		d.values = map[any]any{}
	}
	if _, there := d.values[h]; !there {
		d.keys = append(d.keys, k)
	}
	d.values[h] = v
	return true
}

// Get returns the value of a key.
func (d *Dict) Get(k any) (any, bool) {
	h, ok := hashable(k)
	if !ok {
		return nil, false
	}
	v, ok := d.values[h]
	return v, ok
}

// Len is the number of keys.
func (d *Dict) Len() int { return len(d.keys) }

func (d *Dict) items() List {
	out := make(List, len(d.keys))
	for i, k := range d.keys {
		v, _ := d.Get(k)
		out[i] = Tuple{k, v}
	}
	return out
}

func truthy(v any) bool {
	switch v := v.(type) {
	case nil, Undefined:
		return false
	case bool:
		return v
	case int:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case List:
		return len(v) > 0
	case Tuple:
		return len(v) > 0
	case *Dict:
		return v.Len() > 0
	}
	return true
}

// str is Python's str.
func str(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case Undefined:
		return ""
	}
	return repr(v)
}

// repr is Python's repr.
func repr(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case Undefined:
		return "Undefined"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case int:
		return strconv.Itoa(v)
	case *big.Int:
		return v.String()
	case float64:
		return floatRepr(v)
	case string:
		return stringRepr(v)
	case List:
		return "[" + join(v, ", ") + "]"
	case Tuple:
		if len(v) == 1 {
			return "(" + repr(v[0]) + ",)"
		}
		return "(" + join(v, ", ") + ")"
	case *Dict:
		var b strings.Builder
		for i, k := range v.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			x, _ := v.Get(k)
			b.WriteString(repr(k) + ": " + repr(x))
		}
		return "{" + b.String() + "}"
	case *Namespace:
		return "<Namespace " + repr(&v.d) + ">"
	}
	return fmt.Sprintf("<%s>", typeName(v))
}

func join(list []any, sep string) string {
	parts := make([]string, len(list))
	for i, e := range list {
		parts[i] = repr(e)
	}
	return strings.Join(parts, sep)
}

func floatRepr(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case f == 0:
		if math.Signbit(f) {
			return "-0.0"
		}
		return "0.0"
	}
	if a := math.Abs(f); a >= 1e16 || a < 1e-4 {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

func stringRepr(s string) string {
	quote := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	var b strings.Builder
	b.WriteByte(quote)
	for _, r := range s {
		switch {
		case r == rune(quote) || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7F || r > 0x7F && r < 0x100 && !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x7F || unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte(quote)
	return b.String()
}

func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "NoneType"
	case Undefined:
		return "undefined"
	case bool:
		return "bool"
	case int, *big.Int:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case List:
		return "list"
	case Tuple:
		return "tuple"
	case *Dict:
		return "dict"
	case *Namespace:
		return "namespace"
	}
	return "function"
}

// number gives v as a float64 and, where it is one, as an int.
func number(v any) (f float64, i int, isInt, ok bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, 1, true, true
		}
		return 0, 0, true, true
	case int:
		return float64(v), v, true, true
	case float64:
		return v, 0, false, true
	case *big.Int:
		f, _ := new(big.Float).SetInt(v).Float64()
		return f, 0, false, true
	}
	return 0, 0, false, false
}

// sequence is the elements of a list or a tuple.
func sequence(v any) ([]any, bool) {
	switch v := v.(type) {
	case List:
		return v, true
	case Tuple:
		return v, true
	}
	return nil, false
}

func equal(a, b any) bool {
	if x, ok := a.(*big.Int); ok {
		if y, ok := b.(*big.Int); ok {
			return x.Cmp(y) == 0
		}
	}
	if x, i, xi, ok := number(a); ok {
		y, j, yi, ok := number(b)
		return ok && (xi && yi && i == j || !(xi && yi) && x == y)
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case Undefined:
		_, ok := b.(Undefined)
		return ok
	case string:
		s, ok := b.(string)
		return ok && s == a
	case List:
		l, ok := b.(List)
		return ok && equalItems(a, l)
	case Tuple:
		l, ok := b.(Tuple)
		return ok && equalItems(a, l)
	case *Dict:
		d, ok := b.(*Dict)
		if !ok || a.Len() != d.Len() {
			return false
		}
		for _, k := range a.keys {
			x, _ := a.Get(k)
			if y, there := d.Get(k); !there || !equal(x, y) {
				return false
			}
		}
		return true
	case *Namespace:
		return b == any(a)
	}
	return false
}

func equalItems(a, b []any) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// less is Python's a < b; it fails on types without an order.
func less(line int, a, b any) bool {
	if x, i, xi, ok := number(a); ok {
		if y, j, yi, ok := number(b); ok {
			if xi && yi {
				return i < j
			}
			return x < y
		}
	}
	if x, ok := a.(string); ok {
		if y, ok := b.(string); ok {
			return x < y
		}
	}
	x, ok := sequence(a)
	y, ok2 := sequence(b)
	if ok && ok2 {
		for i := range min(len(x), len(y)) {
			if !equal(x[i], y[i]) {
				return less(line, x[i], y[i])
			}
		}
		return len(x) < len(y)
	}
	fail(line, "%s and %s have no order", typeName(a), typeName(b))
	return false
}
