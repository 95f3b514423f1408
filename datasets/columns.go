package datasets

import (
	"encoding/json"
	"slices"
	"sort"
	"strings"
)

// FileSchema is what the rows of a file look like before they have a meaning.
type FileSchema struct {
	File      string   `json:"file"`
	Container string   `json:"container"`
	Format    string   `json:"format"`
	Columns   []Column `json:"columns"`
}

// Column is one field of the rows of a file.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"` // Arrow's in tables; in text what JSON shows, "or" between types that differ from row to row
	Rows int64  `json:"rows"` // in which it is there and not null
}

// columnsLooked is how many lists and objects of a column are looked into; the kinds of other values are told by their first byte.
const columnsLooked = 5000

// columnCounts gathers the columns of text.
type columnCounts map[string]*columnCount

type columnCount struct {
	rows  int64
	types []string
}

func (c columnCounts) add(f fields) {
	for name, v := range f.m {
		n := c[name]
		if n == nil {
			n = &columnCount{}
			c[name] = n
		}
		n.rows++
		if n.rows > columnsLooked && len(v) > 0 && (v[0] == '[' || v[0] == '{') {
			continue
		}
		if t := typeOf(v, 0); !slices.Contains(n.types, t) && len(n.types) < 4 {
			n.types = append(n.types, t)
		}
	}
}

// columns lists what was gathered, by name; types come from the Arrow schema where there is one.
func (r *reader) columns() []Column {
	var list []Column
	if r.from != nil {
		for i, f := range r.from.Schema().Fields() {
			c := Column{Name: f.Name, Type: f.Type.String()}
			if own, ok := r.recs.(*ownTable); ok {
				c.Rows = own.filled[i]
			} else if n := r.opt.columns[f.Name]; n != nil {
				c.Rows = n.rows
			}
			list = append(list, c)
		}
		return list
	}
	for name, n := range r.opt.columns {
		sort.Strings(n.types)
		list = append(list, Column{name, strings.Join(n.types, " or "), n.rows})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}

// typeOf words the type of a JSON value: of a list by its first element.
func typeOf(v json.RawMessage, depth int) string {
	if len(v) == 0 {
		return "null"
	}
	switch v[0] {
	case '"':
		return "string"
	case 't', 'f':
		return "bool"
	case 'n':
		return "null"
	case '{':
		var m map[string]json.RawMessage
		if depth > 1 || json.Unmarshal(v, &m) != nil {
			return "object"
		}
		names := make([]string, 0, len(m))
		for k := range m {
			names = append(names, k)
		}
		sort.Strings(names)
		if len(names) > 6 {
			names = append(names[:6], "...")
		}
		return "{" + strings.Join(names, ", ") + "}"
	case '[':
		var list []json.RawMessage
		if depth > 1 || json.Unmarshal(v, &list) != nil || len(list) == 0 {
			return "list"
		}
		return "list of " + typeOf(list[0], depth+1)
	}
	return "number"
}
