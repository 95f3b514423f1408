package tokenizer

import (
	"encoding/json"
	"fmt"
)

// normalizer rewrites a stretch.
type normalizer interface {
	normalize(t stretch) stretch
}

func parseNormalizer(b json.RawMessage) (normalizer, error) {
	if isNull(b) {
		return nil, nil
	}
	var f struct{ Type string }
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("type %q is not supported", f.Type)
}
