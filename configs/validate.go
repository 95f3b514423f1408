package configs

import (
	"errors"
	"fmt"
	"reflect"
	"sort"
	"strings"
)

// validate calls Validate() []error of v and of every struct below it, and puts each error at the line of its key.
func validate(root *Node, path string, v reflect.Value, faults *Faults) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == nodeType {
			return
		}
		check(root, path, v, faults)
		validateFields(root, path, v, faults)
	case reflect.Slice:
		for i := range v.Len() {
			validate(root, fmt.Sprintf("%s[%d]", path, i), v.Index(i), faults)
		}
	case reflect.Map:
		if v.Type().Key().Kind() != reflect.String {
			return
		}
		keys := v.MapKeys()
		sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
		for _, k := range keys {
			e := reflect.New(v.Type().Elem()).Elem() // map elements have no address, a Validate may want one
			e.Set(v.MapIndex(k))
			validate(root, join(path, k.String()), e, faults)
		}
	}
}

func validateFields(root *Node, path string, v reflect.Value, faults *Faults) {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		at := path
		if inline := f.Type.Kind() == reflect.Struct && name == "" && (strings.Contains(options, "inline") || f.Anonymous); !inline {
			if name == "" {
				name = strings.ToLower(f.Name)
			}
			at = join(path, name)
		}
		validate(root, at, v.Field(i), faults)
	}
}

func check(root *Node, path string, v reflect.Value, faults *Faults) {
	type validator interface{ Validate() []error }
	var errs []error
	if v.CanAddr() {
		if x, ok := v.Addr().Interface().(validator); ok {
			errs = x.Validate()
		}
	} else if x, ok := v.Interface().(validator); ok {
		errs = x.Validate()
	}
	for _, err := range errs {
		if err == nil {
			continue
		}
		key, msg := path, err.Error()
		var keyed interface{ FaultKey() string }
		if errors.As(err, &keyed) && keyed.FaultKey() != "" {
			key = join(path, keyed.FaultKey())
			msg = strings.TrimPrefix(msg, keyed.FaultKey()+": ")
		}
		if faults.covers(key) {
			continue // the value could not be read; what it defaults to is not the user's doing
		}
		n, exact := root.at(key)
		f := Fault{File: n.file, Line: n.line, Key: key, Msg: msg}
		if !exact && !strings.HasPrefix(n.file, "--set ") && n == root {
			f.Line = root.line
			if root.path == "" {
				f.Line = 0 // not in the file at all: the default is at fault, or a key is missing
			}
		}
		faults.put(f)
	}
}

// at finds the part of a full path below n, or the nearest part above it.
func (n *Node) at(path string) (found *Node, exact bool) {
	rest := strings.TrimPrefix(strings.TrimPrefix(path, n.path), ".")
	for rest != "" {
		next := (*Node)(nil)
		if n.kind == mapping {
			for i, k := range n.keys { // a key may hold dots
				if rest == k || strings.HasPrefix(rest, k+".") || strings.HasPrefix(rest, k+"[") {
					next, rest = n.elems[i], strings.TrimPrefix(rest[len(k):], ".")
					break
				}
			}
		} else if n.kind == sequence {
			var i int
			if _, err := fmt.Sscanf(rest, "[%d]", &i); err == nil && i >= 0 && i < len(n.elems) {
				next, rest = n.elems[i], strings.TrimPrefix(rest[strings.Index(rest, "]")+1:], ".")
			}
		}
		if next == nil {
			return n, false
		}
		n = next
	}
	return n, true
}
