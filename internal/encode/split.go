package encode

import (
	"unicode/utf8"

	"plumb/datasets"
)

// Split returns the prompt of a preference and the completions without it. A record with a prompt
// is returned as it is. Without one the prompt is implicit: what both sides have in common from
// the start, in turns of a conversation or characters of a text, of which a last space
// belongs to the completions. Where one side begins with all of the other, its last turn or
// character stays with the completions, so that neither is empty.
func Split(rec *datasets.Record) (prompt, chosen, rejected []datasets.Message) {
	if len(rec.Prompt) > 0 || len(rec.Chosen) == 0 || len(rec.Rejected) == 0 {
		return rec.Prompt, rec.Chosen, rec.Rejected
	}
	if rec.Chat() {
		n := 0
		for n < min(len(rec.Chosen), len(rec.Rejected))-1 && rec.Chosen[n] == rec.Rejected[n] {
			n++
		}
		return rec.Chosen[:n], rec.Chosen[n:], rec.Rejected[n:]
	}
	c, r := text(rec.Chosen), text(rec.Rejected)
	n := commonText(c, r)
	return datasets.Text(c[:n]), datasets.Text(c[n:]), datasets.Text(r[n:])
}

// commonText returns the bytes of the implicit prompt of two texts.
func commonText(a, b string) int {
	n, last := 0, 0
	for n < len(a) && n < len(b) {
		_, size := utf8.DecodeRuneInString(a[n:])
		if len(b)-n < size || a[n:n+size] != b[n:n+size] {
			if n > 0 && a[n-1] == ' ' {
				return n - 1
			}
			return n
		}
		last = n
		n += size
	}
	return last
}
