package configs

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

type decoder struct {
	faults *Faults
	root   *Node
	top    reflect.Type
}

var (
	nodeType     = reflect.TypeFor[Node]()
	durationType = reflect.TypeFor[time.Duration]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// field is one key of a struct: inlined structs are flattened into their parent.
type field struct {
	key   string
	index []int
}

// fields lists the keys of a struct in the order of its fields.
func fields(t reflect.Type) []field {
	var list []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		if f.Type.Kind() == reflect.Struct && name == "" && (strings.Contains(options, "inline") || f.Anonymous) {
			for _, sub := range fields(f.Type) {
				list = append(list, field{sub.key, append([]int{i}, sub.index...)})
			}
			continue
		}
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		list = append(list, field{name, []int{i}})
	}
	return list
}

func (d *decoder) fault(n *Node, format string, args ...any) {
	d.faults.put(n.Fault(format, args...))
}

func (d *decoder) structure(n *Node, v reflect.Value, skip []string) {
	switch n.kind {
	case null:
		return // "dpo:" with nothing below: all defaults
	case mapping:
	default:
		d.fault(n, "found %s, want keys with values", n.describe())
		return
	}
	known := fields(v.Type())
next:
	for i, key := range n.keys {
		for _, f := range known {
			if f.key == key {
				d.value(n.elems[i], v.FieldByIndex(f.index))
				continue next
			}
		}
		for _, s := range skip {
			if s == key {
				continue next
			}
		}
		d.fault(n.elems[i], "unknown key%s", d.hint(key, known, skip))
	}
}

func (d *decoder) value(n *Node, v reflect.Value) {
	switch {
	case v.Type() == nodeType:
		v.Set(reflect.ValueOf(*n))
		return
	case v.Type() == durationType:
		if x, err := time.ParseDuration(n.text); n.kind == scalar && err == nil {
			v.SetInt(int64(x))
			return
		}
		d.fault(n, "found %s, want a duration such as 90s or 1h30m", n.describe())
		return
	case v.CanAddr() && v.Addr().Type().Implements(textType):
		if n.kind != scalar {
			d.fault(n, "found %s, want a text", n.describe())
			return
		}
		fresh := reflect.New(v.Type())
		if err := fresh.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.text)); err != nil {
			d.fault(n, "%s: %v", n.describe(), err)
			return
		}
		v.Set(fresh.Elem())
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, nil)
	case reflect.Pointer:
		d.pointer(n, v)
	case reflect.Slice:
		d.slice(n, v)
	case reflect.Map:
		d.dict(n, v)
	case reflect.Interface:
		if v.NumMethod() == 0 {
			if x := n.native(); x != nil {
				v.Set(reflect.ValueOf(x))
			} else {
				v.SetZero()
			}
			return
		}
		d.fault(n, "cannot be set in a file")
	default:
		d.scalar(n, v)
	}
}

func (d *decoder) pointer(n *Node, v reflect.Value) {
	if n.kind == null {
		v.SetZero()
		return
	}
	fresh := reflect.New(v.Type().Elem())
	if !v.IsNil() {
		fresh.Elem().Set(v.Elem()) // defaults below a pointer; a copy, so that the caller's defaults stay as they were
	}
	before := len(d.faults.List)
	d.value(n, fresh.Elem())
	if len(d.faults.List) == before || fresh.Elem().Kind() == reflect.Struct {
		v.Set(fresh)
	}
}

// slice replaces the default list: appending to it would leave no way to shorten it.
func (d *decoder) slice(n *Node, v reflect.Value) {
	switch n.kind {
	case null:
		v.SetZero()
		return
	case sequence:
	default:
		d.fault(n, "found %s, want a list, [a, b]", n.describe())
		return
	}
	if len(n.elems) == 0 { // Resolve writes a nil list as [], which is to be read back as it was
		v.SetZero()
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.elems), len(n.elems))
	for i, e := range n.elems {
		d.value(e, list.Index(i))
	}
	v.Set(list)
}

func (d *decoder) dict(n *Node, v reflect.Value) {
	if v.Type().Key().Kind() != reflect.String {
		d.fault(n, "cannot be set in a file")
		return
	}
	switch n.kind {
	case null:
		v.SetZero()
		return
	case mapping:
	default:
		d.fault(n, "found %s, want keys with values", n.describe())
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), len(n.keys))
	for i, key := range n.keys {
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(n.elems[i], e)
		m.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), e)
	}
	v.Set(m)
}

func (d *decoder) scalar(n *Node, v reflect.Value) {
	want := ""
	switch v.Kind() {
	case reflect.String:
		if n.kind == scalar {
			v.SetString(n.text)
			return
		}
		want = "a text"
	case reflect.Bool:
		if n.kind == scalar && !n.quoted && (n.text == "true" || n.text == "false") {
			v.SetBool(n.text == "true")
			return
		}
		want = "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		want = "an integer"
		if n.kind == scalar && !n.quoted {
			x, err := strconv.ParseInt(plain(n.text), 0, 64)
			if err == nil && !v.OverflowInt(x) {
				v.SetInt(x)
				return
			}
			if err == nil || strings.Contains(err.Error(), "range") {
				want = fmt.Sprintf("an integer that fits in %d bits", v.Type().Bits())
			}
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		want = "an integer of 0 or more"
		if n.kind == scalar && !n.quoted {
			x, err := strconv.ParseUint(strings.TrimPrefix(plain(n.text), "+"), 0, 64)
			if err == nil && !v.OverflowUint(x) {
				v.SetUint(x)
				return
			}
			if err == nil || strings.Contains(err.Error(), "range") {
				want += fmt.Sprintf(" that fits in %d bits", v.Type().Bits())
			}
		}
	case reflect.Float32, reflect.Float64:
		want = "a number"
		if x, ok := number(n); ok {
			if !v.OverflowFloat(x) {
				v.SetFloat(x)
				return
			}
			want = "a smaller number"
		}
	default:
		d.fault(n, "cannot be set in a file")
		return
	}
	d.fault(n, "found %s, want %s", n.describe(), want)
}

// plain guards against octal: 010 in YAML 1.2 is ten.
func plain(s string) string {
	sign := ""
	if s != "" && (s[0] == '-' || s[0] == '+') {
		sign, s = s[:1], s[1:]
	}
	if len(s) > 1 && s[0] == '0' && s[1] >= '0' && s[1] <= '9' {
		s = strings.TrimLeft(s, "0")
		if s == "" {
			s = "0"
		}
	}
	return sign + s
}

// number reads a float. The library takes 1e-5 for a text, for YAML 1.1 wants a point in a float; here it is a number.
func number(n *Node) (float64, bool) {
	if n.kind != scalar || n.quoted {
		return 0, false
	}
	switch strings.ToLower(strings.TrimPrefix(n.text, "+")) {
	case ".inf":
		return math.Inf(1), true
	case "-.inf":
		return math.Inf(-1), true
	case ".nan":
		return math.NaN(), true
	case "inf", "-inf", "infinity", "-infinity", "nan": // ParseFloat takes these words, YAML does not
		return 0, false
	}
	x, err := strconv.ParseFloat(n.text, 64)
	if err != nil {
		i, ierr := strconv.ParseInt(plain(n.text), 0, 64) // 0x10, 1_000
		return float64(i), ierr == nil
	}
	return x, true
}

// native is the part as plain Go values, for fields of type any.
func (n *Node) native() any {
	switch n.kind {
	case scalar:
		if n.quoted {
			return n.text
		}
		if n.text == "true" || n.text == "false" {
			return n.text == "true"
		}
		if i, err := strconv.ParseInt(plain(n.text), 0, 64); err == nil {
			return i
		}
		if x, ok := number(n); ok {
			return x
		}
		return n.text
	case mapping:
		m := make(map[string]any, len(n.keys))
		for i, k := range n.keys {
			m[k] = n.elems[i].native()
		}
		return m
	case sequence:
		list := make([]any, len(n.elems))
		for i, e := range n.elems {
			list[i] = e.native()
		}
		return list
	default:
		return nil
	}
}
