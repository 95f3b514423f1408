package tokenizer

import "fmt"

// FromGGUF makes the tokenizer of a GGUF file from its metadata.
func FromGGUF(meta map[string]any) (*Tokenizer, error) {
	return nil, fmt.Errorf("gguf: tokenizer.ggml.model %v is not supported", meta["tokenizer.ggml.model"])
}
