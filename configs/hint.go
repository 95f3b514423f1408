package configs

import (
	"reflect"
	"strings"
)

// hint suggests what an unknown key may have meant: the nearest key of the same level, else the same key at another level.
func (d *decoder) hint(key string, known []field, skip []string) string {
	best, distance := "", max(2, len(key)/3)+1
	for _, f := range known {
		if n := levenshtein(key, f.key); n < distance {
			best, distance = f.key, n
		}
	}
	for _, s := range skip {
		if n := levenshtein(key, s); n < distance {
			best, distance = s, n
		}
	}
	if best != "" {
		return "; the nearest is " + best
	}
	if path := find(key, d.top, d.root.path, 0); path != "" {
		return "; there is " + path
	}
	names := make([]string, len(known))
	for i, f := range known {
		names[i] = f.key
	}
	if len(names) == 0 || len(names) > 12 {
		return ""
	}
	return "; known here: " + strings.Join(append(names, skip...), ", ")
}

// find returns the path of the first field of that key below a struct type, "" when there is none.
func find(key string, t reflect.Type, path string, depth int) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == nodeType || depth > 6 {
		return ""
	}
	list := fields(t)
	for _, f := range list {
		if f.key == key {
			return join(path, key)
		}
	}
	for _, f := range list {
		if p := find(key, t.FieldByIndex(f.index).Type, join(path, f.key), depth+1); p != "" {
			return p
		}
	}
	return ""
}

// levenshtein counts the insertions, deletions and replacements of bytes that turn a into b.
func levenshtein(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
