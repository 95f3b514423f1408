package tokenizer

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Token types of tokenizer.ggml.token_type.
const (
	ggufControl     = 3
	ggufUserDefined = 4
)

// ggufPre is what tokenizer.ggml.pre stands for.
type ggufPre struct {
	digits       bool   // every digit by itself, before anything else
	pattern      string // "": GPT-2's, inside ByteLevel
	nfc          bool
	ignoreMerges bool
	addsBOS      bool // where the metadata does not say
}

var ggufPres = map[string]ggufPre{
	"gpt-2":            {},
	"smollm":           {digits: true},
	"llama-bpe":        {pattern: patternLlama, ignoreMerges: true, addsBOS: true},
	"llama3":           {pattern: patternLlama, ignoreMerges: true, addsBOS: true},
	"llama-v3":         {pattern: patternLlama, ignoreMerges: true, addsBOS: true},
	"qwen2":            {pattern: patternQwen, nfc: true},
	"deepseek-r1-qwen": {pattern: patternQwen, nfc: true},
}

// FromGGUF makes the tokenizer of a GGUF file from its metadata: tokenizer.ggml.model "gpt2" (byte-level BPE) with
// tokenizer.ggml.pre "gpt-2", "smollm", "llama-bpe" or "qwen2", tokens, merges, token types, the ids of the special
// tokens and tokenizer.chat_template. The pipeline is the one that the models' authors publish in tokenizer.json.
func FromGGUF(meta map[string]any) (*Tokenizer, error) {
	t, err := fromGGUF(meta)
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	return t, nil
}

func fromGGUF(meta map[string]any) (*Tokenizer, error) {
	const key = "tokenizer.ggml."
	if kind := meta[key+"model"]; kind != "gpt2" {
		if kind == nil {
			return nil, fmt.Errorf("%smodel is missing", key)
		}
		return nil, fmt.Errorf("%smodel %q is not supported (known: gpt2, which is byte-level BPE)", key, kind)
	}
	name, _ := meta[key+"pre"].(string)
	pre, ok := ggufPres[name]
	if !ok {
		return nil, fmt.Errorf("%spre %q is not supported (known: gpt-2, smollm, llama-bpe, qwen2)", key, name)
	}
	tokens, ok := stringsOf(meta[key+"tokens"])
	if !ok || len(tokens) == 0 {
		return nil, fmt.Errorf("%stokens: expected a list of strings", key)
	}
	merges, ok := stringsOf(meta[key+"merges"])
	if !ok {
		return nil, fmt.Errorf("%smerges: expected a list of strings", key)
	}
	types, ok := intsOf(meta[key+"token_type"])
	if !ok || len(types) != 0 && len(types) != len(tokens) {
		return nil, fmt.Errorf("%stoken_type: expected %d integers", key, len(tokens))
	}
	ids := map[string]int32{}
	for _, id := range []string{"bos", "eos", "eot", "eom", "padding"} {
		ids[id] = -1
		if v, given := meta[key+id+"_token_id"]; given {
			n, ok := intOf(v)
			if !ok || n < 0 || n >= int64(len(tokens)) {
				return nil, fmt.Errorf("%s%s_token_id: %v is no id of a vocabulary of %d", key, id, v, len(tokens))
			}
			ids[id] = int32(n)
		}
	}
	f, err := ggufFile(pre, tokens, merges, types)
	if err != nil {
		return nil, err
	}
	addBOS := pre.addsBOS
	if v, ok := meta[key+"add_bos_token"].(bool); ok {
		addBOS = v
	}
	addEOS, _ := meta[key+"add_eos_token"].(bool)
	f.PostProcessor = ggufPost(tokens, addBOS, ids["bos"], addEOS, ids["eos"])
	t, err := build(f)
	if err != nil {
		return nil, err
	}
	for len(t.tokens) < len(tokens) {
		t.tokens = append(t.tokens, "")
	}
	t.bos, t.eos, t.pad = ids["bos"], ids["eos"], ids["padding"]
	t.nameSpecials()
	t.name("unk_token", optionalID(meta, key+"unknown_token_id", len(tokens)))
	for _, id := range []string{"eos", "eot", "eom"} {
		if ids[id] >= 0 {
			t.stop = append(t.stop, ids[id])
		}
	}
	if id, ok := t.ids["<|eot_id|>"]; ok && t.IsSpecial(id) {
		t.stop = append(t.stop, id) // Llama 3 ends a turn with it, whatever the file calls the end of sequence
	}
	slices.Sort(t.stop)
	t.stop = slices.Compact(t.stop)
	if s, ok := meta["tokenizer.chat_template"].(string); ok && s != "" {
		t.template = &template{source: s}
	}
	return t, nil
}

// ggufFile is the tokenizer.json of a byte-level vocabulary, without its post-processor.
func ggufFile(pre ggufPre, tokens, merges []string, types []int64) (*file, error) {
	f := &file{Version: "1.0", Decoder: byteLevelJSON(true),
		Model: modelFile{Type: "BPE", IgnoreMerges: pre.ignoreMerges, Vocab: make(vocabFile, len(tokens)), Merges: make([]merge, len(merges))}}
	for i, tok := range tokens {
		if tok == "" {
			continue
		}
		if _, twice := f.Model.Vocab[tok]; twice {
			return nil, fmt.Errorf("token %q occurs twice, the second time with id %d", tok, i)
		}
		f.Model.Vocab[tok] = int32(i)
		if len(types) > 0 && (types[i] == ggufControl || types[i] == ggufUserDefined) {
			f.AddedTokens = append(f.AddedTokens, addedToken{ID: int32(i), Content: tok, Special: types[i] == ggufControl})
		}
	}
	for i, m := range merges {
		left, right, ok := cutMerge(m)
		if !ok {
			return nil, fmt.Errorf("merge %d is %q: expected two tokens and a blank between them", i, m)
		}
		f.Model.Merges[i] = merge{left, right}
	}
	if pre.nfc {
		f.Normalizer = json.RawMessage(`{"type":"NFC"}`)
	}
	switch {
	case pre.digits:
		f.PreTokenizer = json.RawMessage(fmt.Sprintf(`{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},%s]}`, byteLevelJSON(true)))
	case pre.pattern != "":
		pattern, err := marshal(pre.pattern)
		if err != nil {
			return nil, err
		}
		f.PreTokenizer = json.RawMessage(fmt.Sprintf(`{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":%s},"behavior":"Isolated","invert":false},%s]}`,
			pattern, byteLevelJSON(false)))
	default:
		f.PreTokenizer = byteLevelJSON(true)
	}
	return f, nil
}

// ggufPost is the post-processor that puts the beginning and the end of sequence around a text, where asked for.
func ggufPost(tokens []string, addBOS bool, bos int32, addEOS bool, eos int32) json.RawMessage {
	addBOS, addEOS = addBOS && bos >= 0, addEOS && eos >= 0
	if !addBOS && !addEOS {
		return byteLevelJSON(true)
	}
	type object = map[string]any
	special := object{}
	token := func(id int32, typ int) object {
		special[tokens[id]] = object{"id": tokens[id], "ids": []int32{id}, "tokens": []string{tokens[id]}}
		return object{"SpecialToken": object{"id": tokens[id], "type_id": typ}}
	}
	var single, pair []object
	for typ, seq := range []string{"A", "B"} {
		var one []object
		if addBOS {
			one = append(one, token(bos, typ))
		}
		one = append(one, object{"Sequence": object{"id": seq, "type_id": typ}})
		if addEOS {
			one = append(one, token(eos, typ))
		}
		if typ == 0 {
			single = one
		}
		pair = append(pair, one...)
	}
	b, err := marshal(object{"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special})
	if err != nil {
		return byteLevelJSON(true) // strings and integers always marshal
	}
	return b
}

// optionalID is an id of the metadata, -1 where there is none or it is no id.
func optionalID(meta map[string]any, key string, size int) int32 {
	if n, ok := intOf(meta[key]); ok && n >= 0 && n < int64(size) {
		return int32(n)
	}
	return -1
}

func stringsOf(v any) ([]string, bool) {
	switch v := v.(type) {
	case []string:
		return v, true
	case []any:
		out := make([]string, len(v))
		for i, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, false
			}
			out[i] = s
		}
		return out, true
	}
	return nil, false
}

func intsOf(v any) ([]int64, bool) {
	switch v := v.(type) {
	case nil:
		return nil, true
	case []int32:
		return widen(v), true
	case []uint32:
		return widen(v), true
	case []int64:
		return v, true
	case []any:
		out := make([]int64, len(v))
		for i, e := range v {
			n, ok := intOf(e)
			if !ok {
				return nil, false
			}
			out[i] = n
		}
		return out, true
	}
	return nil, false
}

func widen[T int32 | uint32](v []T) []int64 {
	out := make([]int64, len(v))
	for i, n := range v {
		out[i] = int64(n)
	}
	return out
}

func intOf(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int8:
		return int64(v), true
	case int16:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	case uint8:
		return int64(v), true
	case uint16:
		return int64(v), true
	case uint32:
		return int64(v), true
	case uint64:
		return int64(v), v < 1<<62
	case float64: // metadata that came through JSON
		return int64(v), v == float64(int64(v))
	}
	return 0, false
}
