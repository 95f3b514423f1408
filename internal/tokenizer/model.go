package tokenizer

import "fmt"

func parseModel(f *modelFile, byteMode bool) (model, error) {
	switch f.Type {
	case "BPE", "":
		merges := make([]mergeRule, len(f.Merges))
		for i, m := range f.Merges {
			merges[i] = mergeRule(m)
		}
		m, err := newBPE(f.Vocab, merges, byteMode, deref(f.Prefix), deref(f.Suffix))
		if err != nil {
			return nil, err
		}
		m.ignoreMerges, m.byteFallback, m.fuseUnk = f.IgnoreMerges, f.ByteFallback, f.FuseUnk
		if m.ignoreMerges && byteMode {
			m.indexBytes()
		}
		if !empty(f.UnkToken) {
			id, ok := f.Vocab[*f.UnkToken]
			if !ok {
				return nil, fmt.Errorf("the unknown token %q is not in the vocabulary", *f.UnkToken)
			}
			m.unk = id
		}
		return m, nil
	}
	return nil, fmt.Errorf("type %q is not supported (known: BPE)", f.Type)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
