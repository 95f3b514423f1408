package tokenizer

import "unicode/utf8"

// addedToken is one entry of added_tokens: a string that is found in the text before the model sees it.
type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // only between characters that are no part of a word
	LStrip     bool   `json:"lstrip"`      // takes the white space before it along
	RStrip     bool   `json:"rstrip"`      // and after it
	Normalized bool   `json:"normalized"`  // looked for in the normalized text, itself normalized
	Special    bool   `json:"special"`     // left out by Decode with skipSpecial
}

// addedTokens finds the added tokens: first the ones that are not normalized in the text as it is, then the others in
// what the normalizer makes of the rest.
type addedTokens struct {
	list       []addedToken
	byID       map[int32]*addedToken
	plain      trie
	normalized trie
}

func newAddedTokens(list []addedToken, norm normalizer) *addedTokens {
	a := &addedTokens{list: list, byID: map[int32]*addedToken{}}
	for i := range list {
		tok := &a.list[i]
		a.byID[tok.ID] = tok
		if tok.Content == "" {
			continue
		}
		if !tok.Normalized {
			a.plain.add(tok.Content, tok.ID)
			continue
		}
		content := tok.Content
		if norm != nil {
			content = norm.normalize(stretch{s: content, blind: true}).s
		}
		a.normalized.add(content, tok.ID)
	}
	return a
}

// split calls emit with each added token (id >= 0) and with each stretch between them (id -1), normalized.
func (a *addedTokens) split(norm normalizer, text stretch, emit func(id int32, s stretch)) {
	a.find(&a.plain, text, func(id int32, s stretch) {
		if id >= 0 {
			emit(id, s)
			return
		}
		if norm != nil {
			s = norm.normalize(s)
		}
		a.find(&a.normalized, s, emit)
	})
}

func (a *addedTokens) find(tr *trie, t stretch, emit func(id int32, s stretch)) {
	s, from := t.s, 0
	if tr.next == nil {
		if s != "" {
			emit(-1, t)
		}
		return
	}
	for i := 0; i < len(s); {
		if !tr.first[s[i]] {
			i++
			continue
		}
		id, n := tr.longest(s[i:])
		if n == 0 {
			i++
			continue
		}
		start, stop := i, i+n
		i = stop
		tok := a.byID[id]
		if tok.SingleWord && (endsInWord(s[:start]) || stop < len(s) && wordAt(s, stop)) {
			continue
		}
		if tok.LStrip {
			for start > from {
				r, n := utf8.DecodeLastRuneInString(s[from:start])
				if classOf(r)&space == 0 {
					break
				}
				start -= n
			}
		}
		if tok.RStrip {
			for stop < len(s) {
				c, n := classAt(s, stop)
				if c&space == 0 {
					break
				}
				stop += n
			}
		}
		if from < start {
			emit(-1, t.cut(from, start))
		}
		emit(id, t.cut(start, stop))
		from = stop
	}
	if from < len(s) {
		emit(-1, t.cut(from, len(s)))
	}
}

func endsInWord(s string) bool {
	if s == "" {
		return false
	}
	r, _ := utf8.DecodeLastRuneInString(s)
	return classOf(r)&wordChar != 0
}

func wordAt(s string, i int) bool {
	c, _ := classAt(s, i)
	return c&wordChar != 0
}

// trie finds the longest added token at a place.
type trie struct {
	first [256]bool
	next  map[uint64]int32 // node<<8 | byte -> node
	id    []int32          // by node, -1: no token ends here
}

func (t *trie) add(s string, id int32) {
	if s == "" {
		return
	}
	if t.next == nil {
		t.next, t.id = map[uint64]int32{}, []int32{-1}
	}
	t.first[s[0]] = true
	node := int32(0)
	for i := 0; i < len(s); i++ {
		key := uint64(node)<<8 | uint64(s[i])
		n, ok := t.next[key]
		if !ok {
			n = int32(len(t.id))
			t.next[key] = n
			t.id = append(t.id, -1)
		}
		node = n
	}
	t.id[node] = id
}

func (t *trie) longest(s string) (id int32, length int) {
	node := int32(0)
	for i := 0; i < len(s); i++ {
		n, ok := t.next[uint64(node)<<8|uint64(s[i])]
		if !ok {
			break
		}
		node = n
		if t.id[node] >= 0 {
			id, length = t.id[node], i+1
		}
	}
	return id, length
}
