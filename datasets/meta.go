package datasets

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
)

// metaEntry is one pair of metadata. Metadata is written as a list of pairs and not as an object, so that rows with different keys have
// one type: readers that infer columns (Arrow, Hugging Face datasets) would otherwise refuse the file.
type metaEntry struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// metaEntries sorts metadata by key.
func metaEntries(m map[string]string) []metaEntry {
	if len(m) == 0 {
		return nil
	}
	list := make([]metaEntry, 0, len(m))
	for k, v := range m {
		list = append(list, metaEntry{k, v})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Key < list[j].Key })
	return list
}

// metaList reads the field "meta": a list of pairs, or an object.
func (f fields) metaList() (map[string]string, error) {
	v, ok := f.m["meta"]
	if !ok {
		return nil, nil
	}
	f.took("meta")
	if f.loose && v[0] == '"' {
		s, _ := textOf(v, "meta")
		if s = strings.TrimSpace(s); s == "" {
			return nil, nil
		}
		if v = json.RawMessage(s); !json.Valid(v) {
			return map[string]string{"meta": s}, nil
		}
	}
	m := map[string]string{}
	switch v[0] {
	case '[':
		var list []map[string]json.RawMessage
		if err := json.Unmarshal(v, &list); err != nil {
			return nil, fmt.Errorf("meta: a list of {key, value} was expected: %w", err)
		}
		for _, e := range list {
			key, value, ok := metaPair(e)
			if _, twice := m[key]; !ok || twice {
				return map[string]string{"meta": string(v)}, nil // a list of something else, kept as it stands
			}
			m[key] = value
		}
	case '{':
		var obj map[string]json.RawMessage
		if err := json.Unmarshal(v, &obj); err != nil {
			return nil, fmt.Errorf("meta: %w", err)
		}
		for k, x := range obj {
			m[k] = metaValue(x)
		}
	default:
		return nil, fmt.Errorf("meta: a list of {key, value} or an object was expected, got %s", excerpt(v))
	}
	if len(m) == 0 {
		return nil, nil
	}
	return m, nil
}

// metaPair takes {key, value} apart; not ok when something else is there. The value may be null, or left out.
func metaPair(e map[string]json.RawMessage) (key, value string, ok bool) {
	key, err := textOf(e["key"], "key")
	v, given := e["value"]
	if err != nil || len(e) > 2 || len(e) == 2 && !given {
		return "", "", false
	}
	if string(v) != "null" {
		value = metaValue(v)
	}
	return key, value, true
}

// metaValue is a string as it is, anything else as its JSON.
func metaValue(v json.RawMessage) string {
	if len(v) > 0 && v[0] == '"' {
		var s string
		if json.Unmarshal(v, &s) == nil {
			return s
		}
	}
	return string(v)
}

func fieldSet(names ...string) map[string]bool {
	set := map[string]bool{}
	for _, n := range names {
		set[n] = true
	}
	return set
}

// rest keeps every field that the decoder did not take as metadata, so that nothing a user added is lost on the way in.
func (f fields) rest(meta map[string]string) map[string]string {
	for _, e := range *f.extra {
		if meta == nil {
			meta = map[string]string{}
		}
		meta[e.Key] = e.Value
	}
	for k, v := range f.m {
		if f.read[k] || f.loose && string(v) == `""` {
			continue
		}
		if meta == nil {
			meta = map[string]string{}
		}
		if _, taken := meta[k]; !taken {
			meta[k] = metaValue(v)
		}
	}
	return meta
}
