package tokenizer

import (
	"encoding/json"
	"fmt"
)

// Special tokens of NewByteLevel: ids 256 to 259, after the 256 bytes.
const (
	EndOfText = "<|endoftext|>"
	Padding   = "<|pad|>"
	ImStart   = "<|im_start|>"
	ImEnd     = "<|im_end|>"
)

// ChatML is the chat template that NewByteLevel uses by default: every message is
// <|im_start|>role, a line break, the content, <|im_end|> and a line break.
const ChatML = `{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}` +
	`{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`

// NewByteLevel returns the tokenizer without merges: token b is byte b; then <|endoftext|> (the end of sequence), <|pad|>,
// <|im_start|> and <|im_end|>. template is its chat template, ChatML when empty; a template that does not parse is an
// error that ApplyTemplate returns.
func NewByteLevel(chatTemplate string) *Tokenizer {
	if chatTemplate == "" {
		chatTemplate = ChatML
	}
	f := &file{Version: "1.0", PreTokenizer: byteLevelJSON(false), PostProcessor: byteLevelJSON(true),
		Decoder: byteLevelJSON(true), Model: modelFile{Type: "BPE", Vocab: vocabFile{}, Merges: []merge{}}}
	for b := range 256 {
		f.Model.Vocab[string(byteRune[b])] = int32(b)
	}
	for i, tok := range []string{EndOfText, Padding, ImStart, ImEnd} {
		f.AddedTokens = append(f.AddedTokens, addedToken{ID: int32(256 + i), Content: tok, Special: true})
	}
	t, err := build(f)
	if err != nil {
		panic(fmt.Sprintf("tokenizer: the built-in vocabulary: %v", err)) // constant input: only a mistake here can fail
	}
	t.eos, t.pad = 256, 257
	t.stop = []int32{256, 259}
	t.nameSpecials()
	t.template = &template{source: chatTemplate}
	return t
}

// Special tokens of NewBytePairs: ids 256 to 258, after the 256 bytes.
const (
	PairPadding = "[PAD]"
	PairStart   = "[CLS]"
	PairEnd     = "[SEP]"
)

// NewBytePairs returns the tokenizer of a byte-level encoder: token b is byte b, and a pair is read as BERT reads it,
// [CLS] a [SEP] of type 0 and b [SEP] of type 1.
func NewBytePairs() *Tokenizer {
	f := &file{Version: "1.0", PreTokenizer: byteLevelJSON(false), Decoder: byteLevelJSON(true),
		PostProcessor: json.RawMessage(fmt.Sprintf(`{"type":"BertProcessing","sep":[%q,258],"cls":[%q,257]}`, PairEnd, PairStart)),
		Model:         modelFile{Type: "BPE", Vocab: vocabFile{}, Merges: []merge{}}}
	for b := range 256 {
		f.Model.Vocab[string(byteRune[b])] = int32(b)
	}
	for i, tok := range []string{PairPadding, PairStart, PairEnd} {
		f.AddedTokens = append(f.AddedTokens, addedToken{ID: int32(256 + i), Content: tok, Special: true})
	}
	t, err := build(f)
	if err != nil {
		panic(fmt.Sprintf("tokenizer: the built-in vocabulary of pairs: %v", err)) // constant input: only a mistake here can fail
	}
	t.pad = 256
	t.named = map[string]string{"pad_token": PairPadding, "cls_token": PairStart, "sep_token": PairEnd}
	return t
}

func byteLevelJSON(useRegex bool) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":%t}`, useRegex))
}
