package tokenizer

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// decoder rewrites tokens so that joining them gives the text.
type decoder interface {
	decode(tokens []string) []string
}

// Decode returns the text of ids; with skipSpecial the special tokens are left out. Ids outside the vocabulary are
// skipped. Bytes that form no character become U+FFFD.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	tokens := make([]string, 0, len(ids))
	for _, id := range ids {
		tok := t.Token(id)
		if tok == "" || skipSpecial && t.IsSpecial(id) {
			continue
		}
		tokens = append(tokens, tok)
	}
	if t.dec == nil {
		return strings.Join(tokens, " ")
	}
	return strings.Join(t.dec.decode(tokens), "")
}

type byteLevelDec struct{}

func (byteLevelDec) decode(tokens []string) []string {
	var b strings.Builder
	for _, tok := range tokens {
		if raw, ok := fromByteLevel(tok); ok {
			b.WriteString(raw)
		} else {
			b.WriteString(tok)
		}
	}
	return []string{validUTF8(b.String())}
}

// wordPieceDec joins word pieces, a blank before each that does not continue a word.
type wordPieceDec struct {
	prefix  string
	cleanup bool
}

var wordPieceCleanup = []string{" .", ".", " ?", "?", " !", "!", " ,", ",", " ' ", "'", " n't", "n't", " 'm", "'m",
	" do not", " don't", " 's", "'s", " 've", "'ve", " 're", "'re"}

func (d wordPieceDec) decode(tokens []string) []string {
	out := make([]string, len(tokens))
	for i, tok := range tokens {
		if i > 0 {
			if rest, ok := strings.CutPrefix(tok, d.prefix); ok {
				tok = rest
			} else {
				tok = " " + tok
			}
		}
		if d.cleanup {
			for k := 0; k < len(wordPieceCleanup); k += 2 {
				tok = strings.ReplaceAll(tok, wordPieceCleanup[k], wordPieceCleanup[k+1])
			}
		}
		out[i] = tok
	}
	return out
}

// suffixDec ends a word where a token ends in suffix.
type suffixDec struct{ suffix string }

func (d suffixDec) decode(tokens []string) []string {
	out := make([]string, len(tokens))
	for i, tok := range tokens {
		blank := " "
		if i == len(tokens)-1 {
			blank = ""
		}
		out[i] = strings.ReplaceAll(tok, d.suffix, blank)
	}
	return out
}

// metaspaceDec turns the replacement character into a blank, and drops the first where one was put in front.
type metaspaceDec struct {
	replacement string
	prepends    bool
}

func (d metaspaceDec) decode(tokens []string) []string {
	out := make([]string, len(tokens))
	for i, tok := range tokens {
		if i == 0 && d.prepends {
			tok = strings.TrimPrefix(tok, d.replacement)
		}
		out[i] = strings.ReplaceAll(tok, d.replacement, " ")
	}
	return out
}

type replaceDec struct{ from, to string }

func (d replaceDec) decode(tokens []string) []string {
	out := make([]string, len(tokens))
	for i, tok := range tokens {
		out[i] = strings.ReplaceAll(tok, d.from, d.to)
	}
	return out
}

type fuseDec struct{}

func (fuseDec) decode(tokens []string) []string { return []string{strings.Join(tokens, "")} }

// stripDec takes up to left and right characters equal to content from the ends of each token.
type stripDec struct {
	content     string
	left, right int
}

func (d stripDec) decode(tokens []string) []string {
	out := make([]string, len(tokens))
	for i, tok := range tokens {
		for k := 0; k < d.left && strings.HasPrefix(tok, d.content); k++ {
			tok = tok[len(d.content):]
		}
		for k := 0; k < d.right && strings.HasSuffix(tok, d.content); k++ {
			tok = tok[:len(tok)-len(d.content)]
		}
		out[i] = tok
	}
	return out
}

// byteFallbackDec joins runs of <0xNN> to characters; a run that is no valid text becomes one U+FFFD for each byte.
type byteFallbackDec struct{}

func (byteFallbackDec) decode(tokens []string) []string {
	var out []string
	var run []byte
	flush := func() {
		switch {
		case len(run) == 0:
		case utf8.Valid(run):
			out = append(out, string(run))
		default:
			for range run {
				out = append(out, "\uFFFD")
			}
		}
		run = run[:0]
	}
	for _, tok := range tokens {
		if len(tok) == 6 && strings.HasPrefix(tok, "<0x") && tok[5] == '>' {
			if b, err := strconv.ParseUint(tok[3:5], 16, 8); err == nil {
				run = append(run, byte(b))
				continue
			}
		}
		flush()
		out = append(out, tok)
	}
	flush()
	return out
}

type seqDec []decoder

func (d seqDec) decode(tokens []string) []string {
	for _, e := range d {
		tokens = e.decode(tokens)
	}
	return tokens
}

type decoderFile struct {
	Type        string
	Prefix      *string
	Cleanup     *bool
	Suffix      *string
	Replacement string
	Scheme      string `json:"prepend_scheme"`
	PrefixSpace *bool  `json:"add_prefix_space"`
	Pattern     struct{ String, Regex *string }
	Content     string
	Start, Stop int
	Decoders    []json.RawMessage
}

func parseDecoder(b json.RawMessage) (decoder, error) {
	if isNull(b) {
		return nil, nil
	}
	var f decoderFile
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, err
	}
	switch f.Type {
	case "ByteLevel":
		return byteLevelDec{}, nil
	case "WordPiece":
		d := wordPieceDec{prefix: "##", cleanup: or(f.Cleanup, true)}
		if f.Prefix != nil {
			d.prefix = *f.Prefix
		}
		return d, nil
	case "BPEDecoder":
		if empty(f.Suffix) {
			return suffixDec{"</w>"}, nil
		}
		return suffixDec{*f.Suffix}, nil
	case "Metaspace":
		return metaspaceDec{replacement: f.Replacement, prepends: f.Scheme != "never" && or(f.PrefixSpace, true)}, nil
	case "Replace":
		if f.Pattern.String == nil {
			return nil, fmt.Errorf("decoder Replace: a regular expression is not supported")
		}
		return replaceDec{*f.Pattern.String, f.Content}, nil
	case "Fuse":
		return fuseDec{}, nil
	case "Strip":
		if f.Content == "" {
			return nil, fmt.Errorf("decoder Strip: content is empty")
		}
		return stripDec{f.Content, f.Start, f.Stop}, nil
	case "ByteFallback":
		return byteFallbackDec{}, nil
	case "Sequence":
		var seq seqDec
		for _, raw := range f.Decoders {
			d, err := parseDecoder(raw)
			if err != nil {
				return nil, err
			}
			if d != nil {
				seq = append(seq, d)
			}
		}
		return seq, nil
	}
	return nil, fmt.Errorf("type %q is not supported", f.Type)
}
