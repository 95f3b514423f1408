package dedup

import (
	"context"
	"strings"
	"testing"

	"plumb/datasets"
)

// TestOperatorsStay: texts that differ in an operator, an exponent or where their numbers end are not equal.
func TestOperatorsStay(t *testing.T) {
	for _, texts := range [][]string{
		{"6 * 3", "6 - 3", "6 > 3", "6 ~ 3", "6 + 3", "6 / 3", "6 3", "6 ** 3", "6 >> 3", "6 >= 3", "6 = 3", "6 -> 3"},
		{"6 – 3", "6 + 3", "6 3"},
		{"6 · 3", "6 + 3", "6 3"},
		{"6 >3", "6 -3", "6 3"},
		{"a**b", "a*b", "a b", "a>b", "a->b", "a>>b"},
		{"return a * b", "return a - b", "return a + b", "return a b", "return a > b"},
		{"f(x)*g(x)", "f(x)-g(x)", "f(x)>g(x)", "f(x) g(x)"},
		{"a[1] * (b)", "a[1] - (b)", "a[1] (b)"},
		{"x <- y", "x < y", "x < -y"},
		{"x > y", "x > -y", "x -> y"},
		{"x<- 5", "x< 5"},
		{"x *= y", "x -= y", "x = y", "x => y", "x >= y"},
		{"x = -y", "x = y"},
		{"f(-x)", "f(x)"},
		{"a > -1", "a -1", "a > 1"},
		{"$a * $b", "$a - $b", "$a $b"},
		{"x |> f", "x | f"},
		{`"ab" * 3`, `"ab" > 3`, `"ab" 3`},
		{"10²", "102", "10 2", "10³"},
		{"xⁿ", "xn"},
		{"H₂O", "H2O"},
		{"10⁻³", "10-3", "103"},
		{"1½", "11/2", "1 1/2"},
		{"[1,2,3]", "[12,3]", "123"},
		{"1,2,300", "12,300", "1,2300"},
		{"6 -- 3", "6 * 3", "6 3"},
		{"n--m", "n - m"},
		{"5--3", "5 - 3", "5-3"},
		{"a·b", "a - b", "a b"},
		{"**6** * 3", "**6** - 3", "**6** > 3"},
	} {
		seen := map[string]string{}
		for _, s := range texts {
			n := Normalise(s)
			if old, ok := seen[n]; ok {
				t.Errorf("%q and %q are both %q", old, s, n)
			}
			seen[n] = s
		}
	}
}

// TestMarkupStillGoes: the signs of operators vanish where they are bullets, emphasis, quotations, headings or dashes.
func TestMarkupStillGoes(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"* one\n* two\n  * three", "one two three"},
		{"- one\n- two\n  - 3 of them", "one two 3 of them"},
		{"user: * one\n- two", "user one two"},
		{"Some **bold** text and *x* and ***both*** and ~~gone~~ too", "some bold text and x and both and gone too"},
		{"**Term**: - its meaning", "term its meaning"},
		{"**a** b **c** d", "a b c d"},
		{"*a b* c (*d*) \"**e**\"", "a b c d e"},
		{"这是**重点**内容", "这是 重点 内容"},
		{"> quoted\n> > more\n>> again", "quoted more again"},
		{"# Title\n## Part 2", "title part 2"},
		{"- Hello, - he said. - Bye! - Oh", "hello he said bye oh"},
		{"— Hello, — he said —", "hello he said"},
		{"“Yes” - he said", "yes he said"},
		{"one -- two --> three --all", "one - two three all"},
		{"a\n---\nb\n***\nc\n===", "a b c ==="},
		{"<br>- one<br>* two", "one two"},
		{"· one\n• two", "one two"},
		{"pages 3–4, 1990 — 1995, –5", "pages 3-4 1990 - 1995 -5"},
		{"covid-19 well-known 3-year-old", "covid 19 well known 3 year old"},
		{"[link](x) * ", "link x"},
		{"f*** you ****", "f you"},
		{"brand™ ① ﬁne", "brandtm 1 fine"},
	} {
		if got := Normalise(c.in); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}

// TestVariantsAreEqual: dashes, markup and middle dots do not part what reads the same.
func TestVariantsAreEqual(t *testing.T) {
	for _, texts := range [][]string{
		{"Paris - the capital", "Paris – the capital", "Paris — the capital", "Paris—the capital", "Paris -- the capital", "Paris--the capital",
			"**Paris** - the capital", "*Paris* — the capital", "Paris - __the__ capital", "`Paris` - the capital", "<b>Paris</b> - the <i>capital</i>",
			"Paris - <em>the</em> capital"},
		{"`ls` - list", "ls - list", "**`ls`** – list"},
		{"Settings > Privacy", "**Settings** > **Privacy**", "`Settings` > `Privacy`", "Settings > _Privacy_"},
		{"Paris–London", "Paris-London", "Paris London"},
		{"“Yes” – he said", "\"Yes\" - he said", "Yes he said"},
		{"1990 – 1995", "1990 - 1995"},
		{"Home · About", "Home • About", "Home About"},
		{"col·legi", "col legi"},
		{"约翰·史密斯", "约翰 史密斯"},
		{"3 · 4", "3 * 4"},
		{"a·b", "a*b"},
		{"1,00,000", "100,000", "100000"},
		{"12,34,56,789.5", "123,456,789.5", "123456789.5"},
	} {
		for _, s := range texts[1:] {
			if a, b := Normalise(texts[0]), Normalise(s); a != b {
				t.Errorf("%q is %q, %q is %q", texts[0], a, s, b)
			}
		}
	}
}

// TestSignsOfOneSide: a sign attached to one word of a text makes it another text.
func TestSignsOfOneSide(t *testing.T) {
	var pairs [][2]string
	for _, c := range []struct {
		text   string
		values []string
	}{
		{"Write a program in %s to reverse a linked list in place and explain what every line of the code does for a beginner.", []string{"C++", "C", "C#"}},
		{"This film about the war at sea may be shown to people aged %s in every cinema of the country from next week.", []string{"18+", "18", "<18"}},
		{"Give the patient the drug when the value measured in the morning is %s and write it down in the book of the ward.", []string{"5", "<5", "<=5", ">=5", ">5", "+5"}},
		{"What does the loop do in the end when the last line of its body is %s and the list holds no element at all?", []string{"i++", "i"}},
		{"What does the loop do in the end when the last line of its body is %s and the list holds no element at all?", []string{"iterator++", "iterator", "!iterator"}},
	} {
		for i, a := range c.values {
			for _, b := range c.values[:i] {
				pairs = append(pairs, [2]string{strings.Replace(c.text, "%s", a, 1), strings.Replace(c.text, "%s", b, 1)})
			}
		}
	}
	s, err := Aligned().Score(context.Background(), pairs)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range pairs {
		if s[i] >= Defaults().Verifier.Threshold {
			t.Errorf("%q and %q: score %.3f", p[0], p[1], s[i])
		}
	}
}

// long is a text around an expression, so long that MinHash proposes what differs in the expression alone.
func long(expression string) string {
	return "def area_of_the_board(width, height, margin):\n    # The board is measured with its margin, in centimetres, as the customer has asked.\n" +
		"    if margin is None:\n        margin = 0\n    return " + expression + "\n\nThis function answers the question about the board and its margin."
}

// TestRecordsWithOtherOperatorsStay: neither the hash stage nor MinHash with the verifier takes one expression for another, and answers that
// differ in an operator are no ties.
func TestRecordsWithOtherOperatorsStay(t *testing.T) {
	for name, text := range map[string]func(string) string{"short": func(s string) string { return "return " + s }, "long": long} {
		var in []datasets.Record
		for i, op := range []string{"a * b", "a - b", "a > b", "a ** b", "a / b", "a+b", "a<<b"} {
			in = append(in, pairOf(string(rune('a'+i)), "Write it.", text(op), "No."), pairOf(string(rune('A'+i)), "Or "+op+"?", "x", "y"))
		}
		out, ledger, _ := runAll(t, Defaults(), in, Tools{})
		if len(out) != len(in) {
			t.Errorf("%s: %d of %d records stay\n%s", name, len(out), len(in), ledger)
		}
		tie := []datasets.Record{pairOf("1", "Which?", text("a * b"), text("a - b")), pairOf("2", "Another?", text("a > b"), text("a * b"))}
		_, _, rep := runAll(t, Defaults(), tie, Tools{})
		if p := rep.Preference; p.Ties+p.NearTies > 0 {
			t.Errorf("%s: %d ties, %d near ties", name, p.Ties, p.NearTies)
		}
	}
	pairs := [][2]string{{long("a * b"), long("a - b")}, {long("a*b"), long("a+b")}, {long("a ** b"), long("a * b")}, {long("a * b"), long("a  *  b")}}
	s, err := Aligned().Score(context.Background(), pairs)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range pairs {
		if same := i == len(pairs)-1; s[i] >= Defaults().Verifier.Threshold != same {
			t.Errorf("%q and %q: score %.3f", p[0], p[1], s[i])
		}
	}
}
