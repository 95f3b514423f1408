package crossencoder

import "strings"

// A small encoder reads bytes, and few of them. Of two texts it is shown the words in which they differ, each place with
// viewContext words before and behind; what both texts share beyond that is left out. Words that only changed their place are marked.
const (
	viewContext = 2
	viewGap     = "\n"   // stands for what is left out
	viewMoved   = "\x02" // before a word that the other text holds at another place
)

// view returns what a small encoder is shown of two texts. Words are aligned without regard to case and spacing; when nothing
// differs otherwise, ok is false.
func view(a, b string) (va, vb string, ok bool) {
	x, y := spans(a), spans(b)
	common := align(x, y)
	if len(common) == len(x) && len(common) == len(y) {
		return "", "", false
	}
	markMoved(x, y, common)
	common = append(common, [2]int{len(x), len(y)})
	var u, v strings.Builder
	fromX, fromY := 0, 0 // first words behind the last gap
	lastX, lastY := 0, 0 // first words behind the last common one
	differs, run := false, 0
	for k, m := range common {
		if m[0] > lastX || m[1] > lastY {
			differs, run = true, 0
		}
		end := k == len(common)-1
		switch run++; {
		case end:
		case differs && run > viewContext: // what follows is left out up to the next difference
			write(&u, a, x[fromX:m[0]])
			write(&v, b, y[fromY:m[1]])
			differs, run, fromX, fromY = false, 1, m[0], m[1]
		case !differs && run > viewContext:
			fromX, fromY = m[0]+1-viewContext, m[1]+1-viewContext
		}
		lastX, lastY = m[0]+1, m[1]+1
	}
	if differs {
		write(&u, a, x[fromX:])
		write(&v, b, y[fromY:])
	}
	return u.String(), v.String(), true
}

// write appends words of text, with one space between them, behind what was written.
func write(out *strings.Builder, text string, words []word) {
	if out.Len() > 0 {
		out.WriteString(viewGap)
	}
	for i, w := range words {
		if i > 0 {
			out.WriteByte(' ')
		}
		if w.moved {
			out.WriteString(viewMoved)
		}
		out.WriteString(text[w.from:w.to])
	}
}

// markMoved marks the words outside the alignment that have an equal one outside it in the other text, one for one: what was moved is
// told from what was replaced by looking at no other byte.
func markMoved(x, y []word, common [][2]int) {
	alignedX, alignedY := map[int]bool{}, map[int]bool{}
	for _, m := range common {
		alignedX[m[0]], alignedY[m[1]] = true, true
	}
	free := map[string][]int{}
	for i, w := range x {
		if !alignedX[i] {
			free[w.text] = append(free[w.text], i)
		}
	}
	for j, w := range y {
		if at := free[w.text]; !alignedY[j] && len(at) > 0 {
			x[at[0]].moved, y[j].moved = true, true
			free[w.text] = at[1:]
		}
	}
}

// word is one word of a text: its folded letters, where it is, and whether the other text has it elsewhere.
type word struct {
	text     string
	from, to int
	moved    bool
}

func spans(s string) []word {
	var out []word
	for i := 0; i < len(s); {
		for i < len(s) && s[i] <= ' ' {
			i++
		}
		from := i
		for i < len(s) && s[i] > ' ' {
			i++
		}
		if i > from {
			out = append(out, word{strings.ToLower(s[from:i]), from, i, false})
		}
	}
	return out
}

// maxAligned bounds the table of an alignment; longer texts are aligned in runs of so many words.
const maxAligned = 512

// align returns the words, by index in x and y, of a longest common subsequence, ascending.
func align(x, y []word) [][2]int {
	var out [][2]int
	fromX, fromY := 0, 0
	for fromX < len(x) && fromY < len(y) {
		p, q := x[fromX:min(fromX+maxAligned, len(x))], y[fromY:min(fromY+maxAligned, len(y))]
		w := len(q) + 1
		best := make([]int32, (len(p)+1)*w)
		for i := len(p) - 1; i >= 0; i-- {
			for j := len(q) - 1; j >= 0; j-- {
				if p[i].text == q[j].text {
					best[i*w+j] = best[(i+1)*w+j+1] + 1
				} else {
					best[i*w+j] = max(best[(i+1)*w+j], best[i*w+j+1])
				}
			}
		}
		i, j := 0, 0
		for i < len(p) && j < len(q) {
			switch {
			case p[i].text == q[j].text:
				out = append(out, [2]int{fromX + i, fromY + j})
				i, j = i+1, j+1
			case best[(i+1)*w+j] >= best[i*w+j+1]:
				i++
			default:
				j++
			}
		}
		if i == 0 || j == 0 { // nothing in common in this run
			i, j = len(p), len(q)
		}
		fromX, fromY = fromX+i, fromY+j
	}
	return out
}
