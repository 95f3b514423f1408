package dedup

import (
	"context"
	_ "embed" // the weights below
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"plumb/internal/kernels"
)

//go:embed aligned.json
var alignedJSON []byte

// AlignedVerifier tells copies from look-alikes without a model: two texts are aligned word by word, and a logistic
// regression weighs what is left over. It sees changed numbers, names and negations, typos, missing ends and new
// order; it cannot know that two words mean the same, or the opposite. A cross-encoder can.
type AlignedVerifier struct {
	Weights []float64 `json:"weights"` // of alignFeatures, the constant first
	Trained string    `json:"trained"` // on what
}

// Aligned returns the verifier with the weights that were trained on planted pairs (TrainAligned).
func Aligned() *AlignedVerifier {
	v, err := parseAligned(alignedJSON)
	if err != nil {
		panic("dedup: embedded weights: " + err.Error()) // the build is broken, not the input
	}
	return v
}

// OpenAligned reads weights that Save wrote.
func OpenAligned(path string) (*AlignedVerifier, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	v, err := parseAligned(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

func parseAligned(b []byte) (*AlignedVerifier, error) {
	v := new(AlignedVerifier)
	if err := json.Unmarshal(b, v); err != nil {
		return nil, err
	}
	if len(v.Weights) != alignCount {
		return nil, fmt.Errorf("%d weights, expected %d", len(v.Weights), alignCount)
	}
	return v, nil
}

// Save writes the weights as JSON.
func (v *AlignedVerifier) Save(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// Score returns the probability that the two texts of each pair say the same.
func (v *AlignedVerifier) Score(ctx context.Context, pairs [][2]string) ([]float64, error) {
	out, err := v.Logits(ctx, pairs)
	for i, z := range out {
		out[i] = sigmoid(z)
	}
	return out, err
}

// Logits returns the logits of Score's probabilities.
func (v *AlignedVerifier) Logits(ctx context.Context, pairs [][2]string) ([]float64, error) {
	out := make([]float64, len(pairs))
	kernels.Parallel((len(pairs)+15)/16, func(g int) {
		for i := g * 16; i < min((g+1)*16, len(pairs)) && ctx.Err() == nil; i++ {
			out[i] = v.logit(alignFeatures(pairs[i][0], pairs[i][1]))
		}
	})
	return out, ctx.Err()
}

func (v *AlignedVerifier) logit(x [alignCount]float64) float64 {
	z := 0.0
	for i, w := range v.Weights {
		z += w * x[i]
	}
	return z
}

func sigmoid(z float64) float64 { return 1 / (1 + math.Exp(-z)) }

// The features of a pair; each is 0 for equal texts. "Inner" words stand before the last word that both texts share, so
// that a cut end is not taken for a change.
const (
	alignBias       = iota // 1
	alignContent           // share of content words left over, both sides
	alignSwapped           // ln(1 + content words left over inside, on the side that has fewer)
	alignOneSided          // share of words by which one side has more left over
	alignNumberSwap        // numbers left over inside on both sides
	alignNumberMiss        // numbers left over inside on one side
	alignNegation          // inner negations, difference
	alignName              // names left over inside on both sides
	alignOrder             // share of neighbouring pairs of words without a partner
	alignTypos             // share of words that match but for a letter or two
	alignInner             // share of words left over inside
	alignTail              // share of words in an end that only one side has
	alignFunction          // share of function words left over
	alignNothing           // no word in common
	alignCount
)

type alignWord struct {
	text string
	kind uint8 // 0 content, then:
	name bool
}

const (
	wordContent = iota
	wordFunction
	wordNumber // or an operator
	wordNegation
)

var negations = map[string]bool{}
var contracted = map[string][2]string{}
var numberWords = map[string]bool{}

func init() {
	for _, w := range strings.Fields("not no never none nothing nobody nowhere neither nor without") {
		negations[w] = true
	}
	for _, w := range strings.Fields("do does did is are was were has have had would should could might must need") {
		contracted[w+"nt"] = [2]string{w, "not"}
	}
	contracted["cant"], contracted["cannot"], contracted["wont"] = [2]string{"can", "not"}, [2]string{"can", "not"}, [2]string{"will", "not"}
	contracted["im"], contracted["youre"], contracted["theyre"] = [2]string{"i", "am"}, [2]string{"you", "are"}, [2]string{"they", "are"}
	for _, w := range strings.Fields("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen twenty thirty forty " +
		"fifty sixty seventy eighty ninety hundred thousand million billion half twice") {
		numberWords[w] = true
	}
}

// alignWords splits a text into normalised words. A word counts as a name when it has a capital within a sentence of a text
// that does not capitalise most words.
func alignWords(text string) []alignWord {
	var out []alignWord
	capitals, sentenceStart := 0, true
	var buf []byte
	text = foldUnicode(tagless(text))
	at := 0
	for _, raw := range strings.Fields(text) {
		at += strings.Index(text[at:], raw)
		buf = appendFolded(buf[:0], text, at, at+len(raw)) // the words around a sign decide whether it is an operator
		at += len(raw)
		r, _ := utf8.DecodeRuneInString(strings.TrimLeft(raw, "\"'(*_`\u201c\u2018["))
		upper := unicode.IsUpper(r)
		if upper {
			capitals++
		}
		for i, w := range splitOperators(string(buf)) {
			name := upper && !sentenceStart && i == 0
			if c, ok := contracted[w]; ok {
				out = append(out, classify(c[0], false), classify(c[1], false))
				continue
			}
			out = append(out, classify(w, name))
		}
		sentenceStart = strings.HasSuffix(strings.TrimRight(raw, "\"'*_`)\u201d\u2019"), ".") || strings.HasSuffix(raw, "?") || strings.HasSuffix(raw, "!") ||
			strings.HasSuffix(raw, ":")
	}
	if capitals*2 > len(out) {
		for i := range out {
			out[i].name = false
		}
	}
	return out
}

// tagless puts line ends in the place of tags: they part words, and no operator has its operand behind one.
func tagless(s string) string {
	if strings.IndexByte(s, '<') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] == '<' {
			if n := tagLength(s[i:]); n > 0 {
				b.WriteByte('\n')
				i += n
				continue
			}
		}
		b.WriteByte(s[i])
		i++
	}
	return b.String()
}

func classify(w string, name bool) alignWord {
	kind := uint8(wordContent)
	switch {
	case negations[w]:
		kind = wordNegation
	case strings.IndexFunc(w, unicode.IsNumber) >= 0 || numberWords[w] || len(w) <= maxOperator && strings.Trim(w, operatorSigns) == "":
		kind = wordNumber
	case functionWords[hashBytes([]byte(w))]:
		kind = wordFunction
	}
	return alignWord{w, kind, name}
}

// leftovers are the words of one side without a partner.
type leftovers struct {
	content, function, numbers, negations, names int
	inner, innerContent, tail, total             int
}

// maxTypos bounds the words that are compared letter by letter.
const maxTypos = 64

func alignFeatures(left, right string) (f [alignCount]float64) {
	a, b := alignWords(left), alignWords(right)
	f[alignBias] = 1
	matchA, matchB := make([]bool, len(a)), make([]bool, len(b))
	where := map[string][]int{}
	for j, w := range b {
		where[w.text] = append(where[w.text], j)
	}
	for i, w := range a {
		if list := where[w.text]; len(list) > 0 {
			matchA[i], matchB[list[0]] = true, true
			where[w.text] = list[1:]
		}
	}
	typos := matchTypos(a, b, matchA, matchB)
	x, y := count(a, matchA), count(b, matchB)
	words := float64(max(len(a)+len(b), 1))
	f[alignContent] = float64(x.content+y.content) / words
	f[alignSwapped] = math.Log1p(float64(min(x.innerContent, y.innerContent)))
	f[alignOneSided] = math.Abs(float64(x.total-y.total)) / words
	f[alignNumberSwap] = indicator(x.numbers > 0 && y.numbers > 0)
	f[alignNumberMiss] = indicator((x.numbers > 0) != (y.numbers > 0))
	f[alignNegation] = math.Min(math.Abs(float64(x.negations-y.negations)), 2)
	f[alignName] = indicator(x.names > 0 && y.names > 0)
	f[alignOrder] = unpaired(a, b)
	f[alignTypos] = 2 * float64(typos) / words
	f[alignInner] = float64(x.inner+y.inner) / words
	f[alignTail] = float64(x.tail+y.tail) / words
	f[alignFunction] = float64(x.function+y.function) / words
	f[alignNothing] = indicator(x.total == len(a) && y.total == len(b))
	return f
}

func indicator(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// matchTypos pairs leftover words that differ by one letter (two from eight letters on, swapped neighbours count one).
func matchTypos(a, b []alignWord, matchA, matchB []bool) int {
	var restA, restB []int
	for i, m := range matchA {
		if !m && a[i].kind != wordNumber && len(restA) < maxTypos {
			restA = append(restA, i)
		}
	}
	for j, m := range matchB {
		if !m && b[j].kind != wordNumber && len(restB) < maxTypos {
			restB = append(restB, j)
		}
	}
	n := 0
	for _, i := range restA {
		for _, j := range restB {
			if matchB[j] || a[i].kind == wordNegation || b[j].kind == wordNegation {
				continue
			}
			if strings.Trim(a[i].text, operatorSigns) == strings.Trim(b[j].text, operatorSigns) { // i++ is no slip of i, and i no function word
				a[i].kind, b[j].kind = wordContent, wordContent
				continue
			}
			short := min(utf8.RuneCountInString(a[i].text), utf8.RuneCountInString(b[j].text))
			if short < 3 || short < 5 && a[i].name && b[j].name { // Rome is not Rose
				continue
			}
			limit := 1
			if short >= 8 {
				limit = 2
			}
			if editDistance(a[i].text, b[j].text, limit) <= limit && sameSigns(a[i].text, b[j].text) {
				matchA[i], matchB[j] = true, true
				n++
				break
			}
		}
	}
	return n
}

func count(w []alignWord, match []bool) (l leftovers) {
	last := -1
	for i, m := range match {
		if m {
			last = i
		}
	}
	for i, x := range w {
		if match[i] {
			continue
		}
		l.total++
		if i > last {
			l.tail++
		} else {
			l.inner++
		}
		switch x.kind {
		case wordContent:
			l.content++
		case wordFunction:
			l.function++
		}
		if i > last+1 { // the word behind the last common one may have taken the place of another
			continue
		}
		switch x.kind {
		case wordContent:
			l.innerContent++
		case wordNumber:
			l.numbers++
		case wordNegation:
			l.negations++
		}
		if x.name {
			l.names++
		}
	}
	return l
}

// unpaired is the share of pairs of neighbouring words that the other text lacks.
func unpaired(a, b []alignWord) float64 {
	if len(a) < 2 || len(b) < 2 {
		return 0
	}
	n := map[[2]string]int{}
	for i := 1; i < len(a); i++ {
		n[[2]string{a[i-1].text, a[i].text}]++
	}
	common := 0
	for i := 1; i < len(b); i++ {
		k := [2]string{b[i-1].text, b[i].text}
		if n[k] > 0 {
			n[k]--
			common++
		}
	}
	return 1 - 2*float64(common)/float64(len(a)+len(b)-2)
}

// editDistance is the number of letters inserted, dropped, replaced or swapped with their neighbour (optimal string
// alignment); any number above limit when it is more.
func editDistance(a, b string, limit int) int {
	x, y := []rune(a), []rune(b)
	if d := len(x) - len(y); d > limit || -d > limit {
		return limit + 1
	}
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		best := i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
			best = min(best, row[j])
		}
		if best > limit {
			return best
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}
