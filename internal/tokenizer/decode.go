package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
)

// decoder rewrites tokens so that joining them gives the text.
type decoder interface {
	decode(tokens []string) []string
}

// Decode returns the text of ids; with skipSpecial the special tokens are left out. Ids outside the vocabulary are
// skipped. Bytes that form no character become U+FFFD.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	tokens := make([]string, 0, len(ids))
	for _, id := range ids {
		tok := t.Token(id)
		if tok == "" || skipSpecial && t.IsSpecial(id) {
			continue
		}
		tokens = append(tokens, tok)
	}
	if t.dec == nil {
		return strings.Join(tokens, " ")
	}
	return strings.Join(t.dec.decode(tokens), "")
}

type byteLevelDec struct{}

func (byteLevelDec) decode(tokens []string) []string {
	var b strings.Builder
	for _, tok := range tokens {
		if raw, ok := fromByteLevel(tok); ok {
			b.WriteString(raw)
		} else {
			b.WriteString(tok)
		}
	}
	return []string{validUTF8(b.String())}
}

func parseDecoder(b json.RawMessage) (decoder, error) {
	if isNull(b) {
		return nil, nil
	}
	var f struct{ Type string }
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, err
	}
	if f.Type == "ByteLevel" {
		return byteLevelDec{}, nil
	}
	return nil, fmt.Errorf("type %q is not supported", f.Type)
}
