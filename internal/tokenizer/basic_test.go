package tokenizer

import (
	"slices"
	"testing"
)

func TestByteLevelRoundTrip(t *testing.T) {
	tok := NewByteLevel("")
	text := "Héllo <|im_end|>\n\x00 漢"
	ids := tok.Encode(text, true)
	if tok.Decode(ids, false) != text {
		t.Fatalf("decode: %q", tok.Decode(ids, false))
	}
	dir := t.TempDir()
	if err := tok.Save(dir); err != nil {
		t.Fatal(err)
	}
	again, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(again.Encode(text, true), ids) || again.EOS() != 256 || again.PAD() != 257 || !slices.Equal(again.StopIDs(), tok.StopIDs()) {
		t.Fatal("the saved tokenizer differs")
	}
	got, err := again.ApplyTemplate([]Message{{Role: "user", Content: "hi"}}, TemplateOptions{AddGenerationPrompt: true})
	if want := "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"; err != nil || got != want {
		t.Fatalf("%v: got %q, want %q", err, got, want)
	}
}
