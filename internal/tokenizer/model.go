package tokenizer

import "fmt"

// parseModel makes the model of a file. byteMode: its pieces arrive as raw bytes.
func parseModel(f *modelFile, byteMode bool) (model, error) {
	unk := int32(-1)
	if !empty(f.UnkToken) {
		id, ok := f.Vocab[*f.UnkToken]
		if !ok {
			return nil, fmt.Errorf("the unknown token %q is not in the vocabulary", *f.UnkToken)
		}
		unk = id
	}
	switch f.Type {
	case "BPE":
		if f.Dropout != nil && *f.Dropout != 0 {
			return nil, fmt.Errorf("BPE with dropout is not supported")
		}
		merges := make([]mergeRule, len(f.Merges))
		for i, m := range f.Merges {
			merges[i] = mergeRule(m)
		}
		m, err := newBPE(f.Vocab, merges, byteMode, deref(f.Prefix), deref(f.Suffix))
		if err != nil {
			return nil, err
		}
		m.unk, m.ignoreMerges, m.byteFallback, m.fuseUnk = unk, f.IgnoreMerges, f.ByteFallback, f.FuseUnk
		if m.ignoreMerges && byteMode {
			m.indexBytes()
		}
		return m, nil
	case "WordPiece":
		if unk < 0 {
			return nil, fmt.Errorf("WordPiece needs an unk_token")
		}
		prefix, maxChars := "##", 100
		if f.Prefix != nil {
			prefix = *f.Prefix
		}
		if f.MaxChars > 0 {
			maxChars = f.MaxChars
		}
		return newWordPiece(f.Vocab, prefix, maxChars, unk), nil
	}
	return nil, fmt.Errorf("type %q is not supported (known: BPE, WordPiece)", f.Type)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
