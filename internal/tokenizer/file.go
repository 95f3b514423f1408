package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
)

// file is tokenizer.json.
type file struct {
	Version       string          `json:"version"`
	Truncation    json.RawMessage `json:"truncation"`
	Padding       json.RawMessage `json:"padding"`
	AddedTokens   []addedToken    `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         modelFile       `json:"model"`
}

// modelFile is the model part of tokenizer.json: BPE and WordPiece.
type modelFile struct {
	Type         string    `json:"type"`
	Dropout      *float64  `json:"dropout,omitempty"`
	UnkToken     *string   `json:"unk_token"`
	Prefix       *string   `json:"continuing_subword_prefix"`
	Suffix       *string   `json:"end_of_word_suffix,omitempty"`
	FuseUnk      bool      `json:"fuse_unk,omitempty"`
	ByteFallback bool      `json:"byte_fallback,omitempty"`
	IgnoreMerges bool      `json:"ignore_merges,omitempty"`
	MaxChars     int       `json:"max_input_chars_per_word,omitempty"`
	Vocab        vocabFile `json:"vocab"`
	Merges       []merge   `json:"merges"`
}

// merge is written "left right" by old files and ["left", "right"] by new ones.
type merge mergeRule

func (m *merge) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		left, right, ok := cutMerge(s)
		if !ok {
			return fmt.Errorf("merge %q: expected two tokens and a blank between them", s)
		}
		*m = merge{left, right}
		return nil
	}
	var two []string
	if err := json.Unmarshal(b, &two); err != nil {
		return err
	}
	if len(two) != 2 {
		return fmt.Errorf("merge %s: expected two tokens", b)
	}
	*m = merge{two[0], two[1]}
	return nil
}

func (m merge) MarshalJSON() ([]byte, error) { return marshal([2]string{m.left, m.right}) }

func cutMerge(s string) (left, right string, ok bool) {
	for i := 1; i < len(s)-1; i++ {
		if s[i] == ' ' {
			return s[:i], s[i+1:], true
		}
	}
	return "", "", false
}

// vocabFile is a token -> id map that is written in the order of the ids.
type vocabFile map[string]int32

// UnmarshalJSON leaves the list of a Unigram model alone: build names the model that is not supported.
func (v *vocabFile) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return nil
	}
	return json.Unmarshal(b, (*map[string]int32)(v))
}

func (v vocabFile) MarshalJSON() ([]byte, error) {
	type entry struct {
		token string
		id    int32
	}
	list := make([]entry, 0, len(v))
	for token, id := range v {
		list = append(list, entry{token, id})
	}
	sort.Slice(list, func(i, j int) bool {
		if list[i].id != list[j].id {
			return list[i].id < list[j].id
		}
		return list[i].token < list[j].token
	})
	var b bytes.Buffer
	b.WriteByte('{')
	for i, e := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := marshal(e.token)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		fmt.Fprintf(&b, ":%d", e.id)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// marshal is json.Marshal without the escapes for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

const maxID = 1 << 24 // no vocabulary is near it; a hostile id must not make us allocate gigabytes

// build makes the tokenizer that a file describes. Beginning, end and padding are set by the caller.
func build(f *file) (*Tokenizer, error) {
	if f.Model.Type == "" && f.Model.Merges != nil {
		f.Model.Type = "BPE" // files of the first versions do not say
	}
	if f.Model.Type != "BPE" && f.Model.Type != "WordPiece" {
		return nil, fmt.Errorf("model: type %q is not supported (known: BPE, WordPiece)", f.Model.Type)
	}
	t := &Tokenizer{ids: make(map[string]int32, len(f.Model.Vocab)+len(f.AddedTokens)), bos: -1, eos: -1, pad: -1, source: f}
	top := int32(-1)
	note := func(tok string, id int32) error {
		if id < 0 || id > maxID {
			return fmt.Errorf("token %q: id %d out of range", tok, id)
		}
		t.ids[tok] = id
		top = max(top, id)
		return nil
	}
	for tok, id := range f.Model.Vocab {
		if err := note(tok, id); err != nil {
			return nil, err
		}
	}
	for _, a := range f.AddedTokens {
		if err := note(a.Content, a.ID); err != nil {
			return nil, err
		}
	}
	if top < 0 {
		return nil, fmt.Errorf("the vocabulary is empty")
	}
	t.tokens = make([]string, top+1)
	for tok, id := range f.Model.Vocab {
		if old := t.tokens[id]; old == "" || tok < old {
			t.tokens[id] = tok
		}
	}
	for _, a := range f.AddedTokens {
		t.tokens[a.ID] = a.Content
	}
	var err error
	if t.norm, err = parseNormalizer(f.Normalizer); err != nil {
		return nil, fmt.Errorf("normalizer: %w", err)
	}
	t.added = newAddedTokens(f.AddedTokens, t.norm)
	if t.byteMode, err = t.parsePre(f); err != nil {
		return nil, fmt.Errorf("pre_tokenizer: %w", err)
	}
	if t.model, err = parseModel(&f.Model, t.byteMode); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if t.post, err = parsePost(f.PostProcessor); err != nil {
		return nil, fmt.Errorf("post_processor: %w", err)
	}
	if t.dec, err = parseDecoder(f.Decoder); err != nil {
		return nil, fmt.Errorf("decoder: %w", err)
	}
	return t, nil
}

func isNull(b json.RawMessage) bool { return len(b) == 0 || string(b) == "null" }
