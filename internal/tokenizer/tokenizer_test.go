package tokenizer

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"plumb/internal/testpaths"
)

func TestByteLevelRoundTrip(t *testing.T) {
	tok := NewByteLevel("")
	text := "Héllo <|im_end|>\n\x00 漢 \xff\xfe"
	ids := tok.Encode(text, true)
	if n := len(text) - len(ImEnd) + 1; len(ids) != n || tok.VocabSize() != 260 || tok.AddsBOS() || tok.BOS() != -1 {
		t.Errorf("%d ids, want %d; vocabulary %d", len(ids), n, tok.VocabSize())
	}
	if got, want := tok.Decode(ids, false), strings.ToValidUTF8(text[:len(text)-2], "")+"\uFFFD\uFFFD"; got != want {
		t.Errorf("decoded %q, want %q", got, want)
	}
	if got := tok.Decode(ids, true); strings.Contains(got, ImEnd) {
		t.Errorf("decoded %q with a special token", got)
	}
	dir := t.TempDir()
	if err := tok.Save(dir); err != nil {
		t.Fatal(err)
	}
	again, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(again.Encode(text, true), ids) || again.EOS() != 256 || again.PAD() != 257 || !slices.Equal(again.StopIDs(), []int32{256, 259}) {
		t.Error("the saved tokenizer differs")
	}
	got, err := again.ApplyTemplate([]Message{{Role: "user", Content: "hi"}}, TemplateOptions{AddGenerationPrompt: true})
	if want := "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"; err != nil || got != want {
		t.Errorf("%v: got %q, want %q", err, got, want)
	}
	second := t.TempDir()
	if err := again.Save(second); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json"} {
		a, errA := os.ReadFile(filepath.Join(dir, name))
		b, errB := os.ReadFile(filepath.Join(second, name))
		if errA != nil || errB != nil || string(a) != string(b) {
			t.Errorf("%s differs when saved again (%v, %v)", name, errA, errB)
		}
	}
}

// TestTransformersLoads saves tokenizers and lets transformers' AutoTokenizer encode with them.
func TestTransformersLoads(t *testing.T) {
	python := testpaths.Python(t, "transformers")
	toks := map[string]*Tokenizer{"bytes": NewByteLevel("")}
	if os.Getenv(testpaths.EnvModels) != "" {
		toks["smollm2"] = smolLM2(t)
	}
	texts := []string{"Hello world! It's 2024.", "<|im_start|>user\nhi<|im_end|>\n", "漢字 😀 é\u0301 \t\n", "a\x00b", " 12 345"}
	for name, tok := range toks {
		dir := t.TempDir()
		if err := tok.Save(dir); err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, s := range texts {
			var ids []string
			for _, id := range tok.Encode(s, true) {
				ids = append(ids, strconv.Itoa(int(id)))
			}
			want = append(want, strings.Join(ids, " "))
		}
		chat, err := tok.ApplyTemplate([]Message{{Role: "user", Content: "hi"}}, TemplateOptions{AddGenerationPrompt: true})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, strconv.Quote(chat), strconv.Itoa(int(tok.EOS()))+" "+strconv.Itoa(int(tok.PAD())))
		cmd := exec.Command(python, "-c", `
import ast, json, sys
from transformers import AutoTokenizer
t = AutoTokenizer.from_pretrained(sys.argv[1])
for s in ast.literal_eval(sys.argv[2]):
    print(*t.encode(s))
print(json.dumps(t.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True)))
print(t.eos_token_id, t.pad_token_id)
`, dir, pythonList(texts))
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, err.(*exec.ExitError).Stderr)
		}
		if got := strings.Split(strings.TrimSpace(string(out)), "\n"); !slices.Equal(got, want) {
			t.Errorf("%s: transformers gives\n%q, want\n%q", name, got, want)
		}
	}
}

func pythonList(texts []string) string {
	var quoted []string
	for _, s := range texts {
		quoted = append(quoted, strconv.QuoteToASCII(s))
	}
	return "[" + strings.Join(quoted, ",") + "]"
}

// TestLongInputs: the time must not grow with the square of the length; a quadratic merge would take minutes.
func TestLongInputs(t *testing.T) {
	const n = 1 << 18
	var all map[string]golden
	readGolden(t, "tokenizers.json.gz", &all)
	for _, name := range []string{"gpt2", "llama3", "llama2", "bert", "added tokens"} {
		tok := loadString(t, all[name].File)
		for _, s := range []string{strings.Repeat("a", n), strings.Repeat(" ", n), strings.Repeat("the", n/3), strings.Repeat("\n", n), strings.Repeat("e\u0301", n/3),
			"e" + strings.Repeat("\u0301\u0323", n/8), strings.Repeat("\xff", n), strings.Repeat("<|", n/2)} {
			done := make(chan int, 1)
			go func() { done <- len(tok.Encode(s, false)) }()
			select {
			case got := <-done:
				if got == 0 && !strings.HasPrefix(s, " ") && !strings.HasPrefix(s, "\n") && name != "bert" {
					t.Errorf("%s: %.10q...: no ids", name, s)
				}
			case <-time.After(time.Minute):
				t.Fatalf("%s: %.10q...: not done after a minute", name, s)
			}
		}
	}
}

func loadString(t testing.TB, file string) *Tokenizer {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	tok, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// TestMergesAgree: the heap and the scan are two ways to one result.
func TestMergesAgree(t *testing.T) {
	var all map[string]golden
	readGolden(t, "tokenizers.json.gz", &all)
	m := loadString(t, all["gpt2"].File).model.(*bpe)
	for _, s := range goldenStrings(t) {
		if s == "" || len(s) > scanLongest {
			continue
		}
		run := func(merge func(*work)) (ids []int32) {
			w := &work{}
			m.symbolsOfBytes(w, s)
			for i := range w.syms {
				w.syms[i].prev, w.syms[i].next = int32(i-1), int32(i+1)
			}
			w.syms[len(w.syms)-1].next = -1
			merge(w)
			for i := int32(0); i >= 0; i = w.syms[i].next {
				ids = append(ids, w.syms[i].id)
			}
			return ids
		}
		if a, b := run(m.mergeScanning), run(m.mergeHeap); !slices.Equal(a, b) {
			t.Fatalf("%q: %v by scanning, %v by heap", s, a, b)
		}
	}
}

func TestTruncation(t *testing.T) {
	var all map[string]golden
	readGolden(t, "tokenizers.json.gz", &all)
	tok := loadString(t, all["bert"].File)
	long := strings.Repeat("word and ", 50)
	full := tok.EncodeSpecial(long, 0)
	for _, n := range []int{2, 3, 10, 50} {
		ids := tok.EncodeSpecial(long, n)
		if len(ids) != n || ids[0] != full[0] || ids[n-1] != full[len(full)-1] || !slices.Equal(ids[:n-1], full[:n-1]) {
			t.Errorf("at most %d: %v", n, ids)
		}
	}
	ids, types := tok.EncodePair(long, "short one", 20)
	whole, _ := tok.EncodePair("", "short one", 0)
	if len(ids) != 20 || len(types) != 20 || !slices.Equal(ids[20-len(whole)+2:], whole[2:]) || types[0] != 0 || types[19] != 1 {
		t.Errorf("%v %v: the second text was not kept whole", ids, types)
	}
	for _, c := range [][5]int{{10, 10, 9, 5, 4}, {10, 3, 8, 5, 3}, {3, 10, 8, 3, 5}, {4, 4, 20, 4, 4}, {5, 5, 0, 0, 0}} {
		if a, b := longestFirst(c[0], c[1], c[2]); a+b > c[2] && c[2] < c[0]+c[1] || a < 0 || b < 0 || c[0] > c[1] && b != c[4] {
			t.Errorf("%v: kept %d and %d", c, a, b)
		}
	}
}

func TestOffsets(t *testing.T) {
	tok := NewByteLevel("")
	for _, s := range goldenStrings(t) {
		ids, spans := tok.EncodeOffsets(s, false)
		at := 0
		for i, sp := range spans {
			if sp.Start != at {
				t.Fatalf("%q: span %d is %v, want a start at %d", s, i, sp, at)
			}
			if at = sp.End; ids[i] < 256 && s[sp.Start:sp.End] != string([]byte{byte(ids[i])}) {
				t.Fatalf("%q: span %d is %v for byte %d", s, i, sp, ids[i])
			}
		}
		if at != len(s) {
			t.Fatalf("%q: spans end at %d", s, at)
		}
	}
	var all map[string]golden
	readGolden(t, "tokenizers.json.gz", &all)
	bert := loadString(t, all["bert"].File)
	text := "  Hello,\tWÖRLD the été 漢"
	ids, spans := bert.EncodeOffsets(text, true)
	if spans[0] != (Span{}) || spans[len(spans)-1] != (Span{}) {
		t.Errorf("special tokens have spans %v", spans)
	}
	joined := ""
	for _, sp := range spans {
		joined += text[sp.Start:sp.End]
	}
	if want := "Hello,WÖRLDtheété漢"; joined != want {
		t.Errorf("ids %v cover %q, want %q", ids, joined, want)
	}
}
