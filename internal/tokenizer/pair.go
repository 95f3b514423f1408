package tokenizer

// EncodeSpecial is Encode with special tokens, cut to maxLen ids; the special tokens are kept. maxLen 0: no limit.
func (t *Tokenizer) EncodeSpecial(text string, maxLen int) []int32 {
	e := t.encode(text, false)
	e.truncate(t.room(maxLen, false))
	if t.post != nil {
		e = t.post.single(e)
	}
	return e.ids
}

// EncodePair returns the ids of two texts as an encoder reads them and the type of each id (0 for the first text, 1 for
// the second where the model tells them apart). Beyond maxLen ids, the longer text is cut, token by token, as
// transformers' longest_first does. maxLen 0: no limit.
func (t *Tokenizer) EncodePair(a, b string, maxLen int) (ids, types []int32) {
	x, y := t.encode(a, false), t.encode(b, false)
	if room := t.room(maxLen, true); room >= 0 {
		n, m := longestFirst(len(x.ids), len(y.ids), room)
		x.truncate(n)
		y.truncate(m)
	}
	var e encoding
	if t.post != nil {
		e = t.post.pair(x, y)
	} else {
		e.ids = append(x.ids, y.ids...)
	}
	for len(e.types) < len(e.ids) {
		e.types = append(e.types, 0)
	}
	return e.ids, e.types
}

// room is how many ids of the texts fit beside the special tokens; -1: any number.
func (t *Tokenizer) room(maxLen int, pair bool) int {
	if maxLen <= 0 {
		return -1
	}
	n := 0
	if t.post != nil {
		if pair {
			n = len(t.post.pair(encoding{}, encoding{}).ids)
		} else {
			n = len(t.post.single(encoding{}).ids)
		}
	}
	return max(0, maxLen-n)
}

func (e *encoding) truncate(n int) {
	if n >= 0 && n < len(e.ids) {
		e.ids = e.ids[:n]
		if e.spans != nil {
			e.spans = e.spans[:n]
		}
	}
}

// longestFirst is how many of a and b ids stay when together they must be at most room.
func longestFirst(a, b, room int) (int, int) {
	for a+b > room {
		if a > b {
			a--
		} else {
			b--
		}
	}
	return a, b
}
