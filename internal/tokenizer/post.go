package tokenizer

import (
	"encoding/json"
	"fmt"
)

// postProcessor puts special tokens around one text or a pair of texts.
type postProcessor interface {
	single(e encoding) encoding
	pair(a, b encoding) encoding
}

func parsePost(b json.RawMessage) (postProcessor, error) {
	if isNull(b) {
		return nil, nil
	}
	var f struct{ Type string }
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, err
	}
	if f.Type == "ByteLevel" {
		return nil, nil
	}
	return nil, fmt.Errorf("type %q is not supported", f.Type)
}
