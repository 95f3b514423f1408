package tokenizer

import (
	"encoding/json"
	"fmt"
)

// preTokenizer cuts a stretch into the pieces that the model sees one by one.
type preTokenizer interface {
	split(t stretch, emit func(stretch))
}

type wholePre struct{}

func (wholePre) split(t stretch, emit func(stretch)) {
	if t.s != "" {
		emit(t)
	}
}

// scanPre cuts by a scanner, after a split at every digit where digits is set.
type scanPre struct {
	scan   scanner
	digits bool
}

func (p scanPre) split(t stretch, emit func(stretch)) {
	if !p.digits {
		for i := 0; i < len(t.s); {
			j := p.scan(t.s, i)
			emit(t.cut(i, j))
			i = j
		}
		return
	}
	eachDigit(t.s, func(from, to int) {
		part := t.s[:to] // what a scanner looks ahead at ends with the part
		for i := from; i < to; {
			j := p.scan(part, i)
			emit(t.cut(i, j))
			i = j
		}
	})
}

// seqPre applies one pre-tokenizer to the pieces of the one before.
type seqPre []preTokenizer

func (p seqPre) split(t stretch, emit func(stretch)) {
	switch len(p) {
	case 0:
		emit(t)
	case 1:
		p[0].split(t, emit)
	default:
		p[0].split(t, func(u stretch) { p[1:].split(u, emit) })
	}
}

// digitsPre isolates numeric characters, one by one or in runs.
type digitsPre struct{ individual bool }

func (p digitsPre) split(t stretch, emit func(stretch)) {
	if p.individual {
		eachDigit(t.s, func(from, to int) { emit(t.cut(from, to)) })
		return
	}
	for i := 0; i < len(t.s); {
		c, n := classAt(t.s, i)
		j := i + n
		for j < len(t.s) {
			d, w := classAt(t.s, j)
			if (c^d)&digit != 0 {
				break
			}
			j += w
		}
		emit(t.cut(i, j))
		i = j
	}
}

// byteLevelPre optionally puts a blank in front, cuts by GPT-2's pattern, and writes bytes as visible characters (not
// in byte mode, where the model does without).
type byteLevelPre struct {
	prefixSpace, cut, raw bool
}

func (p byteLevelPre) split(t stretch, emit func(stretch)) {
	if t.s == "" {
		return
	}
	if p.prefixSpace && t.s[0] != ' ' {
		b := rewrite(t)
		b.put(" ", 0, 0)
		b.keep(0, len(t.s))
		t = b.done()
	}
	for i := 0; i < len(t.s); {
		j := len(t.s)
		if p.cut {
			j = scanGPT2(t.s, i)
		}
		piece := t.cut(i, j)
		if !p.raw {
			b := rewrite(piece)
			for k := 0; k < len(piece.s); k++ {
				b.put(string(byteRune[piece.s[k]]), k, k+1)
			}
			piece = b.done()
		}
		emit(piece)
		i = j
	}
}

// preFile is any pre-tokenizer of tokenizer.json.
type preFile struct {
	Type        string          `json:"type"`
	List        []preFile       `json:"pretokenizers"`
	PrefixSpace *bool           `json:"add_prefix_space"`
	UseRegex    *bool           `json:"use_regex"`
	Individual  bool            `json:"individual_digits"`
	Pattern     json.RawMessage `json:"pattern"`
	Behavior    string          `json:"behavior"`
	Invert      bool            `json:"invert"`
	Replacement string          `json:"replacement"`
	Scheme      string          `json:"prepend_scheme"`
	SplitPieces *bool           `json:"split"`
	Delimiter   string          `json:"delimiter"`
}

func or(p *bool, otherwise bool) bool {
	if p == nil {
		return otherwise
	}
	return *p
}

// parsePre sets t.pre and says whether the model works on raw bytes.
func (t *Tokenizer) parsePre(f *file) (byteMode bool, err error) {
	if isNull(f.PreTokenizer) {
		t.pre = wholePre{}
		return false, nil
	}
	var top preFile
	if err := json.Unmarshal(f.PreTokenizer, &top); err != nil {
		return false, err
	}
	list := flatten(nil, top)
	last := len(list) - 1
	byteMode = last >= 0 && list[last].Type == "ByteLevel" && f.Model.Type == "BPE" && !f.Model.ByteFallback &&
		empty(f.Model.Prefix) && empty(f.Model.Suffix)
	for i := range list {
		byteMode = byteMode && (i == last || list[i].Type != "ByteLevel")
	}
	var seq seqPre
	for i, p := range list {
		next, err := parseOnePre(p, byteMode && i == last)
		if err != nil {
			return false, err
		}
		seq = append(seq, next)
	}
	t.pre = fuse(seq)
	return byteMode, nil
}

func empty(s *string) bool { return s == nil || *s == "" }

func flatten(list []preFile, p preFile) []preFile {
	if p.Type != "Sequence" {
		return append(list, p)
	}
	for _, q := range p.List {
		list = flatten(list, q)
	}
	return list
}

// fuse recognises the combinations that matter for speed.
func fuse(seq seqPre) preTokenizer {
	if n := len(seq); n > 0 {
		if b, ok := seq[n-1].(byteLevelPre); ok && b.raw && !b.prefixSpace {
			if b.cut {
				seq[n-1] = scanPre{scan: scanGPT2}
			} else if n > 1 {
				seq = seq[:n-1] // it would only pass pieces on
			}
		}
	}
	if len(seq) == 2 {
		d, ok := seq[0].(digitsPre)
		s, ok2 := seq[1].(scanPre)
		if ok && ok2 && d.individual && !s.digits {
			return scanPre{scan: s.scan, digits: true}
		}
	}
	if len(seq) == 1 {
		return seq[0]
	}
	return seq
}

func parseOnePre(p preFile, raw bool) (preTokenizer, error) {
	switch p.Type {
	case "ByteLevel":
		return byteLevelPre{prefixSpace: or(p.PrefixSpace, true), cut: or(p.UseRegex, true), raw: raw}, nil
	case "Digits":
		return digitsPre{p.Individual}, nil
	}
	return parseCut(p)
}

// parseCut makes the pre-tokenizers that are a matcher and a behavior.
func parseCut(p preFile) (preTokenizer, error) {
	white := func(r rune) bool { return classOf(r)&space != 0 }
	switch p.Type {
	case "BertPreTokenizer":
		return bertPre{}, nil
	case "Whitespace":
		return wordPre{}, nil
	case "WhitespaceSplit":
		return splitPre{find: runs(false, white), how: removed}, nil
	case "Punctuation":
		how, ok := behaviors[p.Behavior]
		if !ok && p.Behavior != "" {
			return nil, fmt.Errorf("pre-tokenizer Punctuation: behavior %q is not supported", p.Behavior)
		}
		if p.Behavior == "" {
			how = isolated
		}
		return splitPre{find: runs(true, isBertPunct), how: how}, nil
	case "CharDelimiterSplit":
		if p.Delimiter == "" {
			return nil, fmt.Errorf("pre-tokenizer CharDelimiterSplit: delimiter is empty")
		}
		return splitPre{find: literal(p.Delimiter), how: removed}, nil
	case "Metaspace":
		if p.Replacement == "" {
			p.Replacement = "\u2581"
		}
		scheme := p.Scheme
		if scheme == "" {
			scheme = "always"
			if !or(p.PrefixSpace, true) {
				scheme = "never"
			}
		}
		return metaspacePre{p.Replacement, scheme, or(p.SplitPieces, true)}, nil
	case "Split":
		how, ok := behaviors[p.Behavior]
		if !ok {
			return nil, fmt.Errorf("pre-tokenizer Split: behavior %q is not supported", p.Behavior)
		}
		var pat struct{ Regex *string }
		if err := json.Unmarshal(p.Pattern, &pat); err != nil {
			return nil, fmt.Errorf("pre-tokenizer Split: pattern: %w", err)
		}
		// The known patterns match everywhere: isolated, and removed when inverted, keep just the matches.
		if pat.Regex != nil && (how == isolated || how == removed && p.Invert) {
			if scan := knownPatterns[*pat.Regex]; scan != nil {
				return scanPre{scan: scan}, nil
			}
		}
		m, err := parseMatcher(p.Pattern)
		if err != nil {
			return nil, fmt.Errorf("pre-tokenizer Split: %w", err)
		}
		return splitPre{find: m, how: how, invert: p.Invert}, nil
	}
	return nil, fmt.Errorf("type %q is not supported", p.Type)
}
