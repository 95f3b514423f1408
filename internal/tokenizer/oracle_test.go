package tokenizer

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"plumb/internal/testpaths"
	"plumb/internal/weights"
)

// golden is what tools/oracle/tokenizer.py wrote for one tokenizer: ids of the strings first, first+step, ...
type golden struct {
	First, Step int
	File        string
	IDs         [][]int32
	Decoded     map[string]string
	Pairs       [][2][]int32
}

func goldenStrings(t testing.TB) []string {
	t.Helper()
	var texts []string
	readGolden(t, "strings.json.gz", &texts)
	if len(texts) < 2000 {
		t.Fatalf("%d strings, at least 2000 wanted", len(texts))
	}
	return texts
}

// compare checks ids, decoded text, spans and pairs, and returns how many strings agree.
func (g golden) compare(t *testing.T, tok *Tokenizer, texts []string) (same, all int) {
	t.Helper()
	var own []string
	for i := g.First; i < len(texts); i += g.Step {
		own = append(own, texts[i])
	}
	if len(own) != len(g.IDs) || len(own) == 0 {
		t.Fatalf("%d strings, %d goldens", len(own), len(g.IDs))
	}
	complain := 5
	for i, s := range own {
		got := tok.Encode(s, true)
		ok := slices.Equal(got, g.IDs[i])
		if !ok && complain > 0 {
			complain--
			t.Errorf("%q: ids %v, want %v", s, got, g.IDs[i])
		}
		want, differs := g.Decoded[strconv.Itoa(i)]
		if !differs {
			want = s
		}
		if text := tok.Decode(g.IDs[i], true); g.Decoded != nil && text != want {
			ok = false
			if complain > 0 {
				complain--
				t.Errorf("%q: decoded %q, want %q", s, text, want)
			}
		}
		with, spans := tok.EncodeOffsets(s, true)
		if !slices.Equal(with, got) || len(spans) != len(got) {
			t.Fatalf("%q: EncodeOffsets gives %v and %d spans, Encode %v", s, with, len(spans), got)
		}
		for k, sp := range spans {
			if sp.Start < 0 || sp.End < sp.Start || sp.End > len(s) {
				t.Fatalf("%q: span %d is %v", s, k, sp)
			}
		}
		if ok {
			same++
		}
	}
	for i, p := range g.Pairs {
		ids, types := tok.EncodePair(own[i], own[i+30], 0)
		if !slices.Equal(ids, p[0]) || !slices.Equal(types, p[1]) {
			t.Errorf("pair %q, %q: %v %v, want %v", own[i], own[i+30], ids, types, p)
		}
	}
	if same != len(own) {
		t.Errorf("%d of %d strings agree", same, len(own))
	}
	return same, len(own)
}

// TestSmallTokenizers compares every feature with Hugging Face's library on vocabularies that the oracle trained.
func TestSmallTokenizers(t *testing.T) {
	texts := goldenStrings(t)
	var all map[string]golden
	readGolden(t, "tokenizers.json.gz", &all)
	if len(all) < 20 {
		t.Fatalf("%d tokenizers", len(all))
	}
	for name, g := range all {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte(g.File), 0o644); err != nil {
				t.Fatal(err)
			}
			tok, err := Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			same, n := g.compare(t, tok, texts)
			t.Logf("%d of %d strings agree", same, n)
		})
	}
}

func realGolden(t *testing.T, name string) golden {
	t.Helper()
	var all map[string]golden
	readGolden(t, "real.json.gz", &all)
	g, ok := all[name]
	if !ok {
		t.Fatalf("no golden %q", name)
	}
	return g
}

// smolLM2 is the tokenizer in SmolLM2's GGUF file.
func smolLM2(t testing.TB) *Tokenizer {
	t.Helper()
	set, err := weights.Open(testpaths.SmolLM2(t))
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	tok, err := FromGGUF(set.Metadata())
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestSmolLM2(t *testing.T) {
	tok := smolLM2(t)
	same, n := realGolden(t, "smollm2").compare(t, tok, goldenStrings(t))
	t.Logf("%d of %d strings agree", same, n)
	if tok.VocabSize() != 49152 || tok.BOS() != 1 || tok.EOS() != 2 || tok.PAD() != 2 || tok.AddsBOS() || !slices.Equal(tok.StopIDs(), []int32{2}) {
		t.Errorf("size %d, bos %d, eos %d, pad %d, stop %v", tok.VocabSize(), tok.BOS(), tok.EOS(), tok.PAD(), tok.StopIDs())
	}
	dir := t.TempDir()
	if err := tok.Save(dir); err != nil {
		t.Fatal(err)
	}
	again, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	realGolden(t, "smollm2").compare(t, again, goldenStrings(t))
	if again.Template() != tok.Template() || again.VocabSize() != tok.VocabSize() || again.EOS() != 2 || again.PAD() != 2 || again.BOS() != 1 {
		t.Error("the saved tokenizer differs")
	}
}

func TestMiniLM(t *testing.T) {
	tok, err := Load(testpaths.MiniLM(t))
	if err != nil {
		t.Fatal(err)
	}
	same, n := realGolden(t, "minilm").compare(t, tok, goldenStrings(t))
	t.Logf("%d of %d strings agree", same, n)
	if tok.PAD() != 0 {
		t.Errorf("pad %d", tok.PAD())
	}
}
