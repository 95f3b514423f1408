package dedup

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"plumb/dedup/plant"
	"plumb/internal/run"
)

func TestNormalise(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"  Hello,   World! ", "hello world"},
		{"<p>Hello <b>World</b></p>", "hello world"},
		{"**Hello** _world_", "hello world"},
		{"“Hello” — ‘world’…", "hello world"},
		{"don't", "dont"},
		{"1,000 and 1.5 and -3 and .5", "1000 and 1.5 and -3 and .5"},
		{"a < b && c > d", "a < b && c > d"},
		{"x != y", "x != y"},
		{"C# is not C++", "c# is not c++"},
		{"snake_case and a*b", "snake_case and a*b"},
		{"Tom &amp; Jerry&nbsp;run", "tom & jerry run"},
		{"ＦＵＬＬ　ｗｉｄｔｈ", "full width"},
		{"Ünïcode Straße", "ünïcode straße"},
		{"50% of $20", "50% of $20"},
		{"well-known state-of-the-art 3-4", "well known state of the art 3-4"},
		{"???", ""},
		{"", ""},
		{"a\x00b", "a b"},
	} {
		if got := Normalise(c.in); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}

func FuzzNormalise(f *testing.F) {
	f.Add("<p>Hello</p> & 1,000.5 -3 C# \xff…")
	f.Fuzz(func(t *testing.T, s string) {
		n := Normalise(s)
		if strings.Contains(n, "  ") || strings.HasPrefix(n, " ") || strings.HasSuffix(n, " ") {
			t.Errorf("%q: spaces in %q", s, n)
		}
		w := newLexer(Defaults().MinHash)
		h := slices.Clone(w.shingles(s))
		if (len(h) == 0) != (n == "") {
			t.Errorf("%q: %d shingles of %q", s, len(h), n)
		}
	})
}

// TestShinglesAreTheSetsOfTheText counts shingles the slow way, for ASCII, other scripts and words.
func TestShinglesAreTheSetsOfTheText(t *testing.T) {
	for _, text := range []string{"the quick brown fox jumps over the quick brown dog", "быстрая лиса прыгает и быстрая собака", "ab", "plain text с хвостом"} {
		for _, c := range []MinHashConfig{{Shingle: "char", ShingleSize: 5, Hashes: 16}, {Shingle: "char", ShingleSize: 8, Hashes: 16}, {Shingle: "word", ShingleSize: 2, Hashes: 16}} {
			want := map[string]bool{}
			if c.Shingle == "char" {
				r := []rune(text)
				for i := range max(len(r)-c.ShingleSize+1, 1) {
					want[string(r[i:min(i+c.ShingleSize, len(r))])] = true
				}
			} else {
				f := strings.Fields(text)
				for i := range max(len(f)-c.ShingleSize+1, 1) {
					want[strings.Join(f[i:min(i+c.ShingleSize, len(f))], " ")] = true
				}
			}
			if got := newLexer(c).set(nil, text); len(got) != len(want) || !slices.IsSorted(got) {
				t.Errorf("%q %s %d: %d shingles, want %d", text, c.Shingle, c.ShingleSize, len(got), len(want))
			}
		}
	}
	// A run of ASCII inside another script is the shingle it is in an ASCII text.
	w := newLexer(Defaults().MinHash)
	if a, b := w.set(nil, "hello world"), w.set(nil, "hello world привет"); overlap(a, b) != len(a) {
		t.Errorf("%d of %d shingles found again", overlap(a, b), len(a))
	}
}

// TestSketchEstimatesJaccard holds the mean over many sketches to the true similarity, and its spread to less than
// MinHash's, for sets smaller and larger than the sketch.
func TestSketchEstimatesJaccard(t *testing.T) {
	const k = 128
	r := run.Rand(1, "test sketch")
	for _, c := range []struct{ n, common int }{{4, 2}, {60, 30}, {130, 104}, {900, 720}} {
		truth := float64(c.common) / float64(2*c.n-c.common)
		var sum, squares float64
		const rounds = 400
		for range rounds {
			a, b := make([]uint64, c.n), make([]uint64, c.n)
			for i := range a {
				a[i], b[i] = r.Uint64(), r.Uint64()
				if i < c.common {
					b[i] = a[i]
				}
			}
			x, y := make([]uint32, k), make([]uint32, k)
			sketch(x, a)
			sketch(y, b)
			same := 0
			for i := range x {
				if x[i] == y[i] {
					same++
				}
			}
			e := float64(same)/k - truth
			sum, squares = sum+e, squares+e*e
		}
		sd := math.Sqrt(truth * (1 - truth) / k)
		if bias := sum / rounds; math.Abs(bias) > 5*sd/math.Sqrt(rounds) {
			t.Errorf("%d of %d: bias %.4f, MinHash's deviation is %.4f", c.common, c.n, bias, sd)
		}
		if got := math.Sqrt(squares / rounds); got > 1.1*sd {
			t.Errorf("%d of %d: deviation %.4f, MinHash's is %.4f", c.common, c.n, got, sd)
		}
	}
}

func TestBandsReachTheRecall(t *testing.T) {
	for _, c := range []MinHashConfig{{Hashes: 128, Threshold: 0.7, Recall: 0.985}, {Hashes: 256, Threshold: 0.8, Recall: 0.999}, {Hashes: 64, Threshold: 0.5, Recall: 0.9}} {
		bands, rows := c.BandsAndRows()
		reach := func(b, r int) float64 { return 1 - math.Pow(1-math.Pow(c.Threshold, float64(r)), float64(b)) }
		if bands*rows > c.Hashes || reach(bands, rows) < c.Recall || reach(c.Hashes/(rows+1), rows+1) >= c.Recall {
			t.Errorf("%+v: %d bands of %d rows reach %.4f", c, bands, rows, reach(bands, rows))
		}
	}
	if b, r := (MinHashConfig{Hashes: 100, Bands: 20}).BandsAndRows(); b != 20 || r != 5 {
		t.Errorf("20 bands asked for: %d of %d", b, r)
	}
}

// TestMinHashPairsEqualBruteForce compares with all pairs on planted texts.
func TestMinHashPairsEqualBruteForce(t *testing.T) {
	p := plant.Planter{Rand: run.Rand(9, "test minhash"), Half: -1}
	var texts []string
	for i := range 900 {
		if i%3 == 2 {
			text, _ := p.Edit(texts[p.Rand.IntN(len(texts))], plant.Copies[1+i%(len(plant.Copies)-1)])
			texts = append(texts, text)
			continue
		}
		texts = append(texts, p.Text(3+p.Rand.IntN(5)))
	}
	for _, c := range []MinHashConfig{Defaults().MinHash, {Threshold: 0.6, Shingle: "word", ShingleSize: 2, Hashes: 128, Recall: 0.99, MaxBucket: 64}} {
		w := newLexer(c)
		sets := make([][]uint32, len(texts))
		for i := range sets {
			sets[i] = w.set(nil, texts[i])
		}
		want := map[string]bool{}
		for a := range sets {
			for b := a + 1; b < len(sets); b++ {
				if j := jaccard(sets[a], sets[b]); j >= c.Threshold {
					want[fmt.Sprintf("%d %d %.9f", a, b, j)] = true
				}
			}
		}
		got := MinHashPairs(texts, c)
		for _, g := range got {
			if !want[fmt.Sprintf("%d %d %.9f", g.A, g.B, g.Score)] {
				t.Errorf("%+v is no pair at the threshold", g)
			}
		}
		if share := float64(len(got)) / float64(len(want)); share < c.Recall || len(want) < 200 {
			t.Errorf("%s: %d of %d pairs found", c.Shingle, len(got), len(want))
		}
	}
}

func TestLargeBucketsAreCappedAndStillCollapse(t *testing.T) {
	c := Defaults()
	c.MinHash.MaxBucket = 8
	c.Exact.Normalise, c.Verifier.Kind, c.Vectors.Enabled = false, "none", false
	text := "Every copy of this text is the same but for a mark at its end, and there are many of them in one bucket "
	var in = plantedSet(1, 5)
	for i := range 300 {
		in = append(in, pairOf(fmt.Sprint("m", i), text+strings.Repeat("!", i), "yes", "no"))
	}
	out, _, rep := runAll(t, c, in, Tools{})
	if rep.MinHash.CappedBuckets == 0 {
		t.Error("no bucket was capped")
	}
	if len(out) != 6 {
		t.Errorf("%d records stay, want 6", len(out))
	}
}

// Words are found eight bytes at a time where there are eight; each hash has to be the one of its bytes, wherever it stands.
func TestWordHashes(t *testing.T) {
	s := &shingler{words: true, size: 1}
	for n := 1; n < 20; n++ {
		word := []byte("abcdefghijklmnopqrstuvwxyz"[:n])
		want := mix64(hashBytes(word))
		for lead := range 10 {
			for tail := range 10 {
				text := slices.Concat(bytes.Repeat([]byte("x"), lead), []byte(" "), word, []byte(" "), bytes.Repeat([]byte("é"), tail))
				at := min(lead, 1)
				if got := s.appendTo(nil, text); got[at] != want {
					t.Fatalf("%q: word %d has hash %x, expected %x", text, at, got[at], want)
				}
			}
		}
	}
}
