package jinja

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"sort"
	"strconv"
	"strings"
)

// FromJSON reads a JSON value as Python's json.loads does: objects keep their order, integers stay integers.
func FromJSON(text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	v, err := decode(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("JSON: something follows the value")
	}
	return v, nil
}

func decode(d *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("JSON: nested too deeply")
	}
	tok, err := d.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("JSON: %w", err)
	}
	switch tok := tok.(type) {
	case json.Number:
		if !strings.ContainsAny(tok.String(), ".eE") {
			if n, err := strconv.Atoi(tok.String()); err == nil {
				return n, nil
			}
			if n, ok := new(big.Int).SetString(tok.String(), 10); ok {
				return n, nil
			}
		}
		f, err := tok.Float64()
		if err != nil && f == 0 {
			return nil, fmt.Errorf("JSON: %w", err)
		}
		return f, nil
	case json.Delim:
		if tok == '[' {
			list := List{}
			for d.More() {
				v, err := decode(d, depth+1)
				if err != nil {
					return nil, err
				}
				list = append(list, v)
			}
			_, err := d.Token()
			return list, err
		}
		dict := NewDict()
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, fmt.Errorf("JSON: %w", err)
			}
			v, err := decode(d, depth+1)
			if err != nil {
				return nil, err
			}
			dict.Set(key, v)
		}
		_, err := d.Token()
		return dict, err
	}
	return tok, nil
}

// jsonWriter is Python's json.dumps.
type jsonWriter struct {
	b           bytes.Buffer
	line        int
	ascii, sort bool
	indent      string
	pretty      bool
	comma       string
	colon       string
}

// toJSON is the filter tojson as transformers defines it.
func toJSON(c *Call, v any) any {
	w := &jsonWriter{line: c.Line, ascii: c.flag(0, "ensure_ascii", false), sort: c.flag(3, "sort_keys", false), comma: ", ", colon: ": "}
	if indent, ok := c.arg(1, "indent"); ok && indent != nil {
		w.pretty, w.comma = true, ","
		if s, ok := indent.(string); ok {
			w.indent = s
		} else {
			w.indent = strings.Repeat(" ", max(0, min(c.int(1, "indent", 0), 64)))
		}
	}
	if seps, ok := c.arg(2, "separators"); ok && seps != nil {
		two, ok := sequence(seps)
		if !ok || len(two) != 2 {
			fail(c.Line, "tojson: separators are two strings")
		}
		w.comma, w.colon = str(two[0]), str(two[1])
	}
	w.value(v, "\n", 0)
	if c.s != nil {
		c.s.made(c.Line, w.b.Len())
	}
	return w.b.String()
}

func (w *jsonWriter) value(v any, newline string, depth int) {
	if depth > maxDepth {
		fail(w.line, "tojson: nested too deeply")
	}
	switch v := v.(type) {
	case nil:
		w.b.WriteString("null")
	case bool:
		w.b.WriteString(strconv.FormatBool(v))
	case int, *big.Int:
		w.b.WriteString(repr(v))
	case float64:
		s := floatRepr(v)
		w.b.WriteString(strings.NewReplacer("nan", "NaN", "inf", "Infinity").Replace(s))
	case string:
		w.text(v)
	case *Dict:
		keys := append([]any(nil), v.keys...)
		if w.sort {
			sort.SliceStable(keys, func(i, j int) bool { return less(w.line, keys[i], keys[j]) })
		}
		w.list("{", "}", len(keys), newline, func(i int, inner string) {
			switch k := keys[i].(type) {
			case string:
				w.text(k)
			case nil, bool, int, float64:
				var key jsonWriter
				key.value(k, "", 0)
				w.text(key.b.String())
			default:
				fail(w.line, "tojson: a key is a %s", typeName(k))
			}
			w.b.WriteString(w.colon)
			x, _ := v.Get(keys[i])
			w.value(x, inner, depth+1)
		})
	default:
		list, ok := sequence(v)
		if !ok {
			fail(w.line, "tojson: %s is not JSON serializable", typeName(v))
		}
		w.list("[", "]", len(list), newline, func(i int, inner string) { w.value(list[i], inner, depth+1) })
	}
}

func (w *jsonWriter) list(open, end string, n int, newline string, item func(i int, inner string)) {
	w.b.WriteString(open)
	inner := newline + w.indent
	for i := range n {
		if i > 0 {
			w.b.WriteString(w.comma)
		}
		if w.pretty {
			w.b.WriteString(inner)
		}
		item(i, inner)
	}
	if w.pretty && n > 0 {
		w.b.WriteString(newline)
	}
	w.b.WriteString(end)
}

func (w *jsonWriter) text(s string) {
	w.b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			w.b.WriteByte('\\')
			w.b.WriteRune(r)
		case r == '\n':
			w.b.WriteString(`\n`)
		case r == '\r':
			w.b.WriteString(`\r`)
		case r == '\t':
			w.b.WriteString(`\t`)
		case r == '\f':
			w.b.WriteString(`\f`)
		case r == '\b':
			w.b.WriteString(`\b`)
		case r < ' ' || w.ascii && r > '~' && r < 0x10000:
			fmt.Fprintf(&w.b, `\u%04x`, r)
		case w.ascii && r >= 0x10000:
			r -= 0x10000
			fmt.Fprintf(&w.b, `\u%04x\u%04x`, 0xD800+r>>10, 0xDC00+r&0x3FF)
		default:
			w.b.WriteRune(r)
		}
	}
	w.b.WriteByte('"')
}
