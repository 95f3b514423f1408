package tokenizer

import (
	"compress/gzip"
	"encoding/json"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// readGolden reads a gzipped JSON file of testdata.
func readGolden(t testing.TB, name string, into any) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(z).Decode(into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// TestEveryCodePoint compares the classes and the normalizers with Hugging Face's on all of Unicode.
func TestEveryCodePoint(t *testing.T) {
	var want struct {
		Sets  map[string][][2]rune
		Norms map[string]map[string]uint32
	}
	readGolden(t, "unicode.json.gz", &want)
	for name, c := range map[string]class{"letter": letter, "number": number, "space": space, "whitespace_split": space,
		"punctuation": punct, "digit": digit, "word": wordChar} {
		in := make([]bool, unicode.MaxRune+1)
		if len(want.Sets[name]) == 0 {
			t.Errorf("%s: the golden is empty", name)
		}
		for _, r := range want.Sets[name] {
			for x := r[0]; x <= r[1]; x++ {
				in[x] = true
			}
		}
		wrong := 0
		for r := rune(0); r <= unicode.MaxRune; r++ {
			if !surrogate(r) && in[r] != (classOf(r)&c != 0) {
				if wrong++; wrong < 10 {
					t.Errorf("%s: U+%04X: want %v", name, r, in[r])
				}
			}
		}
	}
	for _, e := range []struct {
		name, before string
		n            normalizer
	}{
		{"NFC", "", formNorm{norm.NFC}}, {"NFD", "", formNorm{norm.NFD}}, {"NFKC", "", formNorm{norm.NFKC}}, {"NFKD", "", formNorm{norm.NFKD}},
		{"NFD after U+0345", "a\u0345", formNorm{norm.NFD}}, {"NFC after U+0345", "a\u0345", formNorm{norm.NFC}},
		{"lowercase", "", lowerNorm{}}, {"strip", "", marksNorm{}}, {"bert clean", "", bertNorm{clean: true}},
		{"bert chinese", "", bertNorm{chinese: true}}, {"bert strip", "", bertNorm{strip: true}}, {"bert lowercase", "", bertNorm{lower: true}},
	} {
		pages := want.Norms[e.name]
		if len(pages) == 0 {
			t.Errorf("%s: the golden is empty", e.name)
		}
		for page := range (unicode.MaxRune + 1) >> 8 {
			var got []string
			same := true
			for r := rune(page << 8); r < rune(page+1)<<8; r++ {
				if !surrogate(r) {
					in := e.before + string(r)
					out := e.n.normalize(stretch{s: in, blind: true}).s
					same = same && out == in
					got = append(got, out)
				}
			}
			sum, changed := pages[strconv.Itoa(int(page))]
			if changed == same || changed && sum != crc32.ChecksumIEEE([]byte(strings.Join(got, "\x00"))) {
				t.Errorf("%s: page U+%02Xxx differs", e.name, page)
			}
		}
	}
}

func surrogate(r rune) bool { return r >= 0xD800 && r < 0xE000 }
