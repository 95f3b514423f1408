package tokenizer

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"os"
	"testing"

	"plumb/internal/testpaths"
)

// BenchmarkEncode encodes the texts of HH-RLHF, one by one; tools/oracle/tokenizer_speed.py does it with Hugging Face's.
func BenchmarkEncode(b *testing.B) {
	f, err := os.Open(testpaths.Shared(b, "hh-rlhf", "harmless-base-1700.jsonl.gz"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		b.Fatal(err)
	}
	var texts []string
	size := 0
	for in := bufio.NewReader(z); ; {
		line, err := in.ReadBytes('\n')
		if err != nil {
			break
		}
		var row struct{ Chosen, Rejected string }
		if err := json.Unmarshal(line, &row); err != nil {
			b.Fatal(err)
		}
		texts = append(texts, row.Chosen, row.Rejected)
		size += len(row.Chosen) + len(row.Rejected)
	}
	mini, err := Load(testpaths.MiniLM(b))
	if err != nil {
		b.Fatal(err)
	}
	for name, tok := range map[string]*Tokenizer{"smollm2": smolLM2(b), "minilm": mini} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				for _, s := range texts {
					tok.Encode(s, true)
				}
			}
		})
	}
}
