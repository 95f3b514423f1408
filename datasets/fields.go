package datasets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
)

// fields is a row taken apart one level deep. Null fields are absent.
type fields struct {
	m     map[string]json.RawMessage
	loose bool
	raw   []byte
	extra *[]metaEntry    // fields of messages that no Message holds, as metadata
	read  map[string]bool // fields that a decoder took; nil inside a row, where rest is not asked for
}

func parseFields(r row) (fields, error) {
	f, err := unpack(r.raw)
	f.loose, f.read = r.loose, map[string]bool{}
	return f, err
}

func unpack(raw []byte) (fields, error) {
	f := fields{extra: new([]metaEntry)}
	if err := json.Unmarshal(raw, &f.m); err != nil {
		return f, errors.New("not JSON: " + jsonFault(raw))
	}
	for k, v := range f.m {
		if string(v) == "null" {
			delete(f.m, k)
		}
	}
	return f, nil
}

func (f fields) has(names ...string) bool {
	for _, n := range names {
		if _, ok := f.m[n]; !ok {
			return false
		}
	}
	return true
}

// took notes that a decoder has read a field: rest keeps the others.
func (f fields) took(name string) {
	if f.read != nil {
		f.read[name] = true
	}
}

// names lists the fields for messages to people.
func (f fields) names() string {
	list := make([]string, 0, len(f.m))
	for k := range f.m {
		list = append(list, k)
	}
	sort.Strings(list)
	if len(list) > 12 {
		list = append(list[:12], "...")
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// kind is the first byte of a field's JSON: '"', '[', '{', a digit, 't', 'f', or 0 when absent.
func (f fields) kind(name string) byte {
	v, ok := f.m[name]
	if !ok || len(v) == 0 {
		return 0
	}
	return v[0]
}

// text takes a string field; absent gives "".
func (f fields) text(name string) (string, error) {
	v, ok := f.m[name]
	if !ok {
		return "", nil
	}
	f.took(name)
	return textOf(v, name)
}

// whole is a text field without its error, looked at but not taken.
func (f fields) whole(name string) string {
	s, _ := textOf(f.m[name], name)
	return s
}

func textOf(v json.RawMessage, name string) (string, error) {
	if len(v) == 0 || v[0] != '"' {
		return "", fmt.Errorf("%s: a string was expected, got %s", name, excerpt(v))
	}
	if bytes.IndexByte(v, '\\') < 0 { // nothing is escaped, and the row was valid JSON and UTF-8
		return string(v[1 : len(v)-1]), nil
	}
	var s string
	if err := json.Unmarshal(v, &s); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// must is text that has to be there.
func (f fields) must(name string) (string, error) {
	if !f.has(name) {
		return "", fmt.Errorf("field %q is missing", name)
	}
	return f.text(name)
}

// scalar takes a string or a number as a string: for ids.
func (f fields) scalar(names ...string) string {
	for _, name := range names {
		v := f.m[name]
		if len(v) == 0 {
			continue
		}
		if v[0] == '"' {
			if s, err := textOf(v, name); err == nil && s != "" {
				f.took(name)
				return s
			}
		} else if v[0] == '-' || v[0] >= '0' && v[0] <= '9' {
			f.took(name)
			return string(v)
		}
	}
	return ""
}

// number takes a number, or a string that holds one; nil when absent or empty.
func (f fields) number(names ...string) (*float64, error) {
	for _, name := range names {
		v, ok := f.m[name]
		if !ok {
			continue
		}
		f.took(name)
		n, err := numberOf(v, name)
		if n != nil || err != nil {
			return n, err
		}
	}
	return nil, nil
}

func numberOf(v json.RawMessage, name string) (*float64, error) {
	s := string(v)
	if len(v) > 0 && v[0] == '"' {
		s, _ = textOf(v, name)
		if s = strings.TrimSpace(s); s == "" {
			return nil, nil
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return nil, fmt.Errorf("%s: a finite number was expected, got %s", name, excerpt(v))
	}
	return &n, nil
}

// boolean takes true or false, 1 or 0, or a string with one of them.
func (f fields) boolean(name string) (*bool, error) {
	v, ok := f.m[name]
	if !ok {
		return nil, nil
	}
	s := string(v)
	if v[0] == '"' {
		s, _ = textOf(v, name)
	}
	var b bool
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "1", "1.0":
		b = true
	case "false", "0", "0.0", "-1":
	case "":
		return nil, nil
	default:
		return nil, fmt.Errorf("%s: true or false was expected, got %s", name, excerpt(v))
	}
	f.took(name)
	return &b, nil
}

// array takes a list field apart.
func (f fields) array(name string) ([]json.RawMessage, error) {
	v, ok := f.m[name]
	if !ok {
		return nil, fmt.Errorf("field %q is missing", name)
	}
	f.took(name)
	if f.loose && v[0] == '"' {
		s, err := textOf(v, name)
		if err != nil {
			return nil, err
		}
		v = json.RawMessage(strings.TrimSpace(s))
	}
	if len(v) > 0 && v[0] == '{' {
		if list := transposed(v); list != nil {
			return list, nil
		}
	}
	if len(v) == 0 || v[0] != '[' {
		return nil, fmt.Errorf("%s: a list was expected, got %s", name, excerpt(v))
	}
	var list []json.RawMessage
	if err := json.Unmarshal(v, &list); err != nil {
		if f.loose {
			return nil, fmt.Errorf("%s: a list in a cell must be JSON, got %s: json.dumps what pandas would write as Python, or write texts that begin so as JSON lines", name, excerpt(v))
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return list, nil
}

// transposed turns {"role": ["user", ...], "content": ["hi", ...]} into the list of objects that it stands for: Hugging Face datasets
// keeps a Sequence of dictionaries so. nil when the object is something else.
func transposed(v json.RawMessage) []json.RawMessage {
	var columns map[string][]json.RawMessage
	if json.Unmarshal(v, &columns) != nil || len(columns) == 0 {
		return nil
	}
	n := -1
	for _, c := range columns {
		if n >= 0 && len(c) != n {
			return nil
		}
		n = len(c)
	}
	out := make([]json.RawMessage, n)
	for i := range out {
		one := make(map[string]json.RawMessage, len(columns))
		for name, c := range columns {
			one[name] = c[i]
		}
		b, err := json.Marshal(one)
		if err != nil {
			return nil
		}
		out[i] = b
	}
	return out
}

// object takes a field that is an object.
func (f fields) object(name string) (fields, error) {
	v, ok := f.m[name]
	if !ok {
		return fields{}, fmt.Errorf("field %q is missing", name)
	}
	f.took(name)
	return objectOf(v, name)
}

func objectOf(v json.RawMessage, name string) (fields, error) {
	if len(v) == 0 || v[0] != '{' {
		return fields{}, fmt.Errorf("%s: an object was expected, got %s", name, excerpt(v))
	}
	f, err := unpack(v)
	if err != nil {
		return f, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// jsonText keeps a JSON value as compact text: an object or list as it is, a string as what it holds.
func jsonText(v json.RawMessage) (string, error) {
	if len(v) == 0 || string(v) == "null" {
		return "", nil
	}
	if v[0] == '"' {
		s, err := textOf(v, "value")
		if err != nil {
			return "", err
		}
		if s == "" || s == "[]" {
			return "", nil
		}
		if !json.Valid([]byte(s)) {
			return "", errors.New("JSON was expected inside the string")
		}
		v = json.RawMessage(s)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, v); err != nil {
		return "", err
	}
	if s := b.String(); s != "[]" {
		return s, nil
	}
	return "", nil
}

// tools takes the tool definitions of a row, in any of the fields that hold them.
func (f fields) tools() (string, error) {
	for _, name := range []string{"tools", "functions"} {
		if v, ok := f.m[name]; ok {
			f.took(name)
			s, err := jsonText(v)
			if err != nil {
				return "", fmt.Errorf("%s: %w", name, err)
			}
			if s != "" && s[0] != '[' {
				return "", fmt.Errorf("%s: a list was expected, got %s", name, excerpt(json.RawMessage(s)))
			}
			if s != "" {
				return s, nil
			}
		}
	}
	return "", nil
}

// excerpt cuts a value for an error message.
func excerpt(v []byte) string {
	s := strings.ToValidUTF8(string(v), "\uFFFD")
	if r := []rune(s); len(r) > 40 {
		s = string(r[:40]) + "..."
	}
	return s
}
