package tokenizer

import (
	"encoding/json"
	"fmt"
	"slices"
)

// postProcessor puts special tokens around one text or a pair of texts.
type postProcessor interface {
	single(e encoding) encoding
	pair(a, b encoding) encoding
}

// templatePost is every post-processor: a list of parts for one text and one for a pair.
type templatePost struct {
	one, two []part
}

// part is special ids (which may be several), or a text: 'A' or 'B'.
type part struct {
	ids []int32
	seq byte
	typ int32
}

func (p templatePost) single(e encoding) encoding  { return compose(p.one, e, encoding{}) }
func (p templatePost) pair(a, b encoding) encoding { return compose(p.two, a, b) }

func compose(parts []part, a, b encoding) encoding {
	var out encoding
	spans := a.spans != nil
	n := len(a.ids) + len(b.ids) + len(parts) + 4
	out.ids = make([]int32, 0, n)
	out.types = make([]int32, 0, n)
	for _, p := range parts {
		ids, from := p.ids, []Span(nil)
		switch p.seq {
		case 'A':
			ids, from = a.ids, a.spans
		case 'B':
			ids, from = b.ids, b.spans
		}
		out.ids = append(out.ids, ids...)
		for range ids {
			out.types = append(out.types, p.typ)
		}
		if spans {
			if from == nil {
				from = make([]Span, len(ids))
			}
			out.spans = append(out.spans, from...)
		}
	}
	return out
}

type postFile struct {
	Type       string
	Single     []map[string]partFile
	Pair       []map[string]partFile
	Special    map[string]struct{ IDs []int32 } `json:"special_tokens"`
	Sep, Cls   []any
	Processors []json.RawMessage
}

type partFile struct {
	ID   string `json:"id"`
	Type int32  `json:"type_id"`
}

func parsePost(b json.RawMessage) (postProcessor, error) {
	if isNull(b) {
		return nil, nil
	}
	var f postFile
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, err
	}
	switch f.Type {
	case "ByteLevel":
		return nil, nil // it only trims offsets
	case "TemplateProcessing":
		one, err := f.parts(f.Single)
		if err != nil {
			return nil, fmt.Errorf("single: %w", err)
		}
		two, err := f.parts(f.Pair)
		if err != nil {
			return nil, fmt.Errorf("pair: %w", err)
		}
		return templatePost{one, two}, nil
	case "BertProcessing", "RobertaProcessing":
		cls, err := namedID(f.Cls, "cls")
		if err != nil {
			return nil, err
		}
		sep, err := namedID(f.Sep, "sep")
		if err != nil {
			return nil, err
		}
		one := []part{{ids: cls}, {seq: 'A'}, {ids: sep}}
		if f.Type == "BertProcessing" {
			return templatePost{one, append(slices.Clone(one), part{seq: 'B', typ: 1}, part{ids: sep, typ: 1})}, nil
		}
		return templatePost{one, append(slices.Clone(one), part{ids: sep}, part{seq: 'B'}, part{ids: sep})}, nil
	case "Sequence":
		var found postProcessor
		for _, raw := range f.Processors {
			p, err := parsePost(raw)
			if err != nil {
				return nil, err
			}
			if p == nil {
				continue
			}
			if found != nil {
				return nil, fmt.Errorf("a Sequence with two processors that add tokens is not supported")
			}
			found = p
		}
		return found, nil
	}
	return nil, fmt.Errorf("type %q is not supported", f.Type)
}

// namedID reads ["[SEP]", 102].
func namedID(v []any, what string) ([]int32, error) {
	if len(v) == 2 {
		if id, ok := intOf(v[1]); ok && id >= 0 && id <= maxID {
			return []int32{int32(id)}, nil
		}
	}
	return nil, fmt.Errorf("%s: expected a token and its id", what)
}

func (f *postFile) parts(list []map[string]partFile) ([]part, error) {
	out := make([]part, 0, len(list))
	for _, e := range list {
		for kind, p := range e {
			switch {
			case kind == "Sequence" && (p.ID == "A" || p.ID == "B"):
				out = append(out, part{seq: p.ID[0], typ: p.Type})
			case kind == "SpecialToken":
				s, ok := f.Special[p.ID]
				if !ok {
					return nil, fmt.Errorf("special token %q is not in special_tokens", p.ID)
				}
				out = append(out, part{ids: s.IDs, typ: p.Type})
			default:
				return nil, fmt.Errorf("unknown part %q %q", kind, p.ID)
			}
		}
	}
	return out, nil
}
