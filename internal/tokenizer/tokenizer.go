package tokenizer

import "sync"

// Tokenizer is one vocabulary with everything that leads from text to ids and back.
type Tokenizer struct {
	ids    map[string]int32 // every token, added ones included
	tokens []string         // by id; "" where an id is unused
	added  *addedTokens
	norm   normalizer // nil: none
	pre    preTokenizer
	model  model
	post   postProcessor // nil: none
	dec    decoder       // nil: tokens joined by a blank

	bos, eos, pad int32
	stop          []int32
	named         map[string]string // bos_token, eos_token, ...: what templates see
	template      *template         // nil: none
	files         map[string][]byte // as read, by name
	byteMode      bool              // the model reads raw bytes
	source        *file             // what Save writes; nil: files as they were read
	scratch       sync.Pool
}

// model turns one piece of text into ids. ends, when not nil, receives the end of each id in bytes of the piece.
type model interface {
	tokenize(w *work, piece string, ids []int32, ends []int32) ([]int32, []int32)
}

// Span is a half-open range of bytes in the text given to Encode.
type Span struct{ Start, End int }

// Encode returns the ids of text. With addSpecial the post-processor's tokens (a beginning of sequence, [CLS] and [SEP])
// are put around it. Tokens such as <|im_end|> that stand in the text are recognised either way.
// Bytes that are no valid UTF-8 survive in byte-level vocabularies.
func (t *Tokenizer) Encode(text string, addSpecial bool) []int32 {
	e := t.encode(text, false)
	if addSpecial && t.post != nil {
		e = t.post.single(e)
	}
	return e.ids
}

// EncodeOffsets is Encode with the span of text that each id came from; special tokens put around it have the span {0,0}.
func (t *Tokenizer) EncodeOffsets(text string, addSpecial bool) ([]int32, []Span) {
	e := t.encode(text, true)
	if addSpecial && t.post != nil {
		e = t.post.single(e)
	}
	return e.ids, e.spans
}

// encoding is what the steps after the model work on. spans is nil unless asked for; types is nil until a
// post-processor sets it.
type encoding struct {
	ids   []int32
	types []int32
	spans []Span
}

func (t *Tokenizer) encode(text string, offsets bool) encoding {
	w, _ := t.scratch.Get().(*work)
	if w == nil {
		w = new(work)
	}
	defer t.scratch.Put(w)
	e := encoding{ids: make([]int32, 0, len(text)/4+4)}
	var ends []int32
	if offsets {
		e.spans = make([]Span, 0, len(text)/4+4)
		ends = make([]int32, 0, 16)
	}
	in := stretch{s: text, blind: !offsets}
	if !t.byteMode {
		in = replaceInvalid(in)
	}
	t.added.split(t.norm, in, func(id int32, s stretch) {
		if id >= 0 {
			e.ids = append(e.ids, id)
			if offsets {
				e.spans = append(e.spans, s.span(0, len(s.s)))
			}
			return
		}
		t.pre.split(s, func(p stretch) {
			if !offsets {
				e.ids, _ = t.model.tokenize(w, p.s, e.ids, nil)
				return
			}
			from := 0
			e.ids, ends = t.model.tokenize(w, p.s, e.ids, ends[:0])
			for _, end := range ends {
				e.spans = append(e.spans, p.span(from, int(end)))
				from = int(end)
			}
		})
	})
	return e
}

// VocabSize is the largest id plus one.
func (t *Tokenizer) VocabSize() int { return len(t.tokens) }

// ID returns the id of a token as the vocabulary writes it.
func (t *Tokenizer) ID(token string) (int32, bool) {
	id, ok := t.ids[token]
	return id, ok
}

// Token returns the token of an id as the vocabulary writes it, "" for an id outside it.
func (t *Tokenizer) Token(id int32) string {
	if id < 0 || int(id) >= len(t.tokens) {
		return ""
	}
	return t.tokens[id]
}

// BOS is the id of the beginning-of-sequence token, -1 when there is none.
func (t *Tokenizer) BOS() int32 { return t.bos }

// EOS is the id of the end-of-sequence token, -1 when there is none.
func (t *Tokenizer) EOS() int32 { return t.eos }

// PAD is the id of the padding token, -1 when there is none.
func (t *Tokenizer) PAD() int32 { return t.pad }

// StopIDs are the ids that end a generation, ascending: the end of sequence and those of generation_config.json.
func (t *Tokenizer) StopIDs() []int32 { return append([]int32(nil), t.stop...) }

// AddsBOS says whether Encode with addSpecial begins with the beginning-of-sequence token.
func (t *Tokenizer) AddsBOS() bool {
	ids := t.Encode("", true)
	return t.bos >= 0 && len(ids) > 0 && ids[0] == t.bos
}

// IsSpecial says whether Decode with skipSpecial leaves the id out.
func (t *Tokenizer) IsSpecial(id int32) bool {
	a, ok := t.added.byID[id]
	return ok && a.Special
}
