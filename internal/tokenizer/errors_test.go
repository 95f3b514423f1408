package tokenizer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoadErrors(t *testing.T) {
	const bpe = `"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}`
	for file, want := range map[string]string{
		``:     "unexpected end",
		`[]`:   "cannot unmarshal",
		`{}`:   `type "" is not supported`,
		`{"mo`: "unexpected end",
		`{"model":{"type":"Unigram","vocab":[["a",0.5]]}}`:                                                    `type "Unigram" is not supported`,
		`{"model":{"type":"WordLevel","vocab":{}}}`:                                                           `type "WordLevel" is not supported`,
		`{"model":{"type":"BPE","vocab":{},"merges":[]}}`:                                                     "vocabulary is empty",
		`{"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}}`:                                               "out of range",
		`{"model":{"type":"BPE","vocab":{"a":4000000000},"merges":[]}}`:                                       "4000000000",
		`{"model":{"type":"BPE","vocab":{"a":2000000000},"merges":[]}}`:                                       "out of range",
		`{"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}}`:                                           `"b" is not in the vocabulary`,
		`{"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a b"]}}`:                                     `"ab" is not in the vocabulary`,
		`{"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":["ab"]}}`:                                      "expected two tokens",
		`{"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":[["a"]]}}`:                                     "expected two tokens",
		`{"model":{"type":"BPE","unk_token":"?","vocab":{"a":0},"merges":[]}}`:                                `"?" is not in the vocabulary`,
		`{"model":{"type":"BPE","dropout":0.1,"vocab":{"a":0},"merges":[]}}`:                                  "dropout",
		`{"model":{"type":"WordPiece","vocab":{"a":0}}}`:                                                      "unk_token",
		`{"normalizer":{"type":"Precompiled"},` + bpe + `}`:                                                   `normalizer: type "Precompiled"`,
		`{"pre_tokenizer":{"type":"UnicodeScripts"},` + bpe + `}`:                                             `pre_tokenizer: type "UnicodeScripts"`,
		`{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated"},` + bpe + `}`:        "pattern",
		`{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"a"},"behavior":"Gone"},` + bpe + `}`:            `behavior "Gone"`,
		`{"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}}]},` + bpe + `}`: `"x" is not in special_tokens`,
		`{"post_processor":{"type":"Other"},` + bpe + `}`:                                                     `post_processor: type "Other"`,
		`{"decoder":{"type":"CTC"},` + bpe + `}`:                                                              `decoder: type "CTC"`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte(file), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "tokenizer.json") {
			t.Errorf("%s\n error %v, want one with %q and the file", file, err, want)
		}
	}
	if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "tokenizer.json") {
		t.Errorf("an empty folder: %v", err)
	}
	for name, content := range map[string]string{"tokenizer_config.json": `{"eos_token":[]}`, "special_tokens_map.json": `[`, "generation_config.json": `{"eos_token_id":"x"}`} {
		dir := t.TempDir()
		for n, c := range map[string]string{"tokenizer.json": "{" + bpe + "}", name: content} {
			if err := os.WriteFile(filepath.Join(dir, n), []byte(c), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v does not name it", name, err)
		}
	}
}

func TestGGUF(t *testing.T) {
	const key = "tokenizer.ggml."
	good := func() map[string]any {
		tokens := []any{"<|bos|>", "<|eot_id|>", "<tool>"}
		types := []any{int32(3), int32(3), int32(4)}
		for b := range 256 {
			tokens, types = append(tokens, string(byteRune[b])), append(types, int32(1))
		}
		return map[string]any{key + "model": "gpt2", key + "pre": "llama-bpe", key + "tokens": append(tokens, "ab"), key + "token_type": append(types, int32(1)),
			key + "merges": []string{"a b"}, key + "bos_token_id": uint32(0), key + "eos_token_id": uint32(1), "tokenizer.chat_template": "{{ bos_token }}"}
	}
	tok, err := FromGGUF(good())
	if err != nil {
		t.Fatal(err)
	}
	if ids := tok.Encode("ab<tool>", true); len(ids) != 3 || ids[0] != 0 || tok.Token(ids[1]) != "ab" || ids[2] != 2 || !tok.AddsBOS() || tok.Decode(ids, true) != "ab<tool>" {
		t.Errorf("ids %v", ids)
	}
	for what, change := range map[string]func(m map[string]any){
		"model is missing":     func(m map[string]any) { delete(m, key+"model") },
		`model "llama"`:        func(m map[string]any) { m[key+"model"] = "llama" },
		`pre "falcon"`:         func(m map[string]any) { m[key+"pre"] = "falcon" },
		"tokens: expected":     func(m map[string]any) { m[key+"tokens"] = []any{1} },
		"merges: expected":     func(m map[string]any) { delete(m, key+"merges") },
		"merge 0":              func(m map[string]any) { m[key+"merges"] = []string{"ab"} },
		"not in the vocabular": func(m map[string]any) { m[key+"merges"] = []string{"x yz"} },
		"token_type: expected": func(m map[string]any) { m[key+"token_type"] = []int32{1} },
		"bos_token_id":         func(m map[string]any) { m[key+"bos_token_id"] = uint32(9999) },
		"occurs twice":         func(m map[string]any) { m[key+"tokens"].([]any)[5] = "ab" },
	} {
		m := good()
		change(m)
		if _, err := FromGGUF(m); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("error %v, want one with %q", err, what)
		}
	}
}

func FuzzEncode(f *testing.F) {
	var all map[string]golden
	readGolden(f, "tokenizers.json.gz", &all)
	toks := map[string]*Tokenizer{}
	for name, g := range all {
		toks[name] = loadString(f, g.File)
	}
	for _, s := range goldenStrings(f)[:200] {
		f.Add(s)
	}
	f.Add("\xff\xc3\xe2\x82\xf0\x9f\x98\x00\xed\xa0\x80")
	plain := NewByteLevel("")
	f.Fuzz(func(t *testing.T, s string) {
		for name, tok := range toks {
			ids, spans := tok.EncodeOffsets(s, true)
			for i, id := range ids {
				if tok.Token(id) == "" || spans[i].Start < 0 || spans[i].End > len(s) || spans[i].Start > spans[i].End {
					t.Fatalf("%s: id %d, span %v", name, id, spans[i])
				}
			}
			tok.Decode(ids, true)
		}
		for _, name := range []string{"gpt2", "smollm", "llama3"} {
			tok := toks[name]
			if got := tok.Decode(tok.Encode(s, false), false); got != validUTF8(s) {
				t.Fatalf("%s: %q became %q", name, s, got)
			}
		}
		if got := plain.Decode(plain.Encode(s, false), false); got != validUTF8(s) {
			t.Fatalf("%q became %q", s, got)
		}
	})
}
