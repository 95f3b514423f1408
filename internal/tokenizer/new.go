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

func byteLevelJSON(useRegex bool) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":%t}`, useRegex))
}
