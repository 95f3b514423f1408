// Command minhash compares the MinHash stage with datasketch on the same texts, both in one run and one process each:
// documents a second, and recall of the planted pairs whose shingles truly reach the threshold.
//
//	go run ./bench/minhash -python python3 -n 20000
//
// Ours normalises, shingles, signs, finds candidates and verifies each by its exact Jaccard similarity; datasketch (2.0.0, batch
// updates, its own LSH) shingles and signs lowered text, inserts and queries, and verifies nothing. The clock of each
// side covers exactly that; reading the file and starting Python are outside.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"plumb/dedup"
	"plumb/dedup/plant"
	"plumb/internal/kernels"
	"plumb/internal/run"
)

func main() {
	n := flag.Int("n", 20000, "documents, a tenth of them edited copies")
	python := flag.String("python", os.Getenv("PLUMB_PYTHON"), "python with datasketch==2.0.0; empty: our side only")
	threads := flag.Int("threads", 0, "ours; 0: all")
	flag.Parse()
	kernels.SetThreads(*threads)
	texts, pairs := corpus(*n)
	bytes := 0
	for _, t := range texts {
		bytes += len(t)
	}
	fmt.Printf("%d documents, %d bytes each, %d planted pairs, %d threads\n", len(texts), bytes/len(texts), len(pairs), kernels.Threads())
	for _, shingle := range []string{"word", "char"} {
		if err := compare(texts, pairs, shingle, *python); err != nil {
			log.Fatal(err)
		}
	}
}

// corpus is planted texts; every tenth is a copy of another, edited one to four times.
func corpus(n int) (texts []string, pairs [][2]int) {
	p := plant.Planter{Rand: run.Rand(11, "bench minhash"), Half: -1}
	for i := range n {
		if i%10 != 9 {
			texts = append(texts, p.Text(8+p.Rand.IntN(10)))
			continue
		}
		of := i - 1 - p.Rand.IntN(8)
		copied := texts[of]
		for range 1 + p.Rand.IntN(4) {
			copied, _ = p.Edit(copied, plant.Copies[1+p.Rand.IntN(len(plant.Copies)-1)])
		}
		texts = append(texts, copied)
		pairs = append(pairs, [2]int{of, i})
	}
	return texts, pairs
}

type result struct {
	Seconds float64  `json:"seconds"`
	CPU     float64  `json:"cpu"` // seconds of processor time, all threads: what a busy machine cannot distort
	Pairs   [][2]int `json:"pairs"`
}

func compare(texts []string, pairs [][2]int, shingle, python string) error {
	c := dedup.Defaults().MinHash
	c.Shingle = shingle
	if shingle == "word" {
		c.ShingleSize = 3
	}
	dedup.MinHashPairs(texts[:min(1000, len(texts))], c)
	start, used := time.Now(), processorTime()
	found := dedup.MinHashPairs(texts, c)
	ours := result{Seconds: time.Since(start).Seconds(), CPU: processorTime() - used}
	for _, f := range found {
		ours.Pairs = append(ours.Pairs, [2]int{f.A, f.B})
	}
	// The truth is each side's own: the exact Jaccard similarity of lowered text for the peer, of normalised text for us.
	bands, rows := c.BandsAndRows()
	report(fmt.Sprintf("plumb      %s shingles of %d, %d hashes, %d x %d", shingle, c.ShingleSize, c.Hashes, bands, rows), ours, len(texts),
		reach(texts, pairs, shingle, c.ShingleSize, c.Threshold, dedup.Normalise))
	if python == "" {
		return nil
	}
	theirs, err := peer(texts, shingle, c, python)
	if err != nil {
		return err
	}
	report("datasketch", theirs, len(texts), reach(texts, pairs, shingle, c.ShingleSize, c.Threshold, strings.ToLower))
	fmt.Printf("ratio      %.1f; of processor time, a thread against a thread: %.1f\n", theirs.Seconds/ours.Seconds, theirs.CPU/ours.CPU)
	return nil
}

func report(name string, r result, n int, want [][2]int) {
	has := map[[2]int]bool{}
	for _, p := range r.Pairs {
		has[p] = true
	}
	hit := 0
	for _, p := range want {
		if has[p] {
			hit++
		}
	}
	fmt.Printf("%s: %.0f documents/s (%.1f us of processor time each), %d pairs, recall of planted pairs at the threshold %.4f (%d of %d)\n", name, float64(n)/r.Seconds, 1e6*r.CPU/float64(n), len(r.Pairs),
		float64(hit)/float64(max(len(want), 1)), hit, len(want))
}

// reach are the planted pairs whose true Jaccard similarity reaches the threshold.
func reach(texts []string, pairs [][2]int, shingle string, size int, threshold float64, prepare func(string) string) (out [][2]int) {
	set := func(text string) map[string]bool {
		text = prepare(text)
		s := map[string]bool{}
		if shingle == "word" {
			w := strings.Fields(text)
			for i := 0; i+size <= len(w); i++ {
				s[strings.Join(w[i:i+size], " ")] = true
			}
		} else {
			r := []rune(text)
			for i := 0; i+size <= len(r); i++ {
				s[string(r[i:i+size])] = true
			}
		}
		return s
	}
	for _, p := range pairs {
		a, b := set(texts[p[0]]), set(texts[p[1]])
		common := 0
		for k := range a {
			if b[k] {
				common++
			}
		}
		if float64(common) >= threshold*float64(len(a)+len(b)-common) {
			out = append(out, p)
		}
	}
	return out
}

func peer(texts []string, shingle string, c dedup.MinHashConfig, python string) (r result, err error) {
	dir, err := os.MkdirTemp("", "plumb-bench-*")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	f, err := os.Create(filepath.Join(dir, "texts.jsonl"))
	if err != nil {
		return r, err
	}
	w := bufio.NewWriter(f)
	e := json.NewEncoder(w)
	for _, t := range texts {
		if err := e.Encode(t); err != nil {
			return r, err
		}
	}
	if err := w.Flush(); err != nil {
		return r, err
	}
	if err := f.Close(); err != nil {
		return r, err
	}
	cmd := exec.Command(python, filepath.Join("bench", "minhash", "peer.py"), f.Name(), shingle, fmt.Sprint(c.ShingleSize), fmt.Sprint(c.Hashes), fmt.Sprint(c.Threshold))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("peer.py: %w", err)
	}
	return r, json.Unmarshal(out, &r)
}
