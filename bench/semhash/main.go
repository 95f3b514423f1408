// Command semhash compares plumb dedup with semhash on planted documents, both with the same MiniLM weights and each a process of
// its own: seconds, and precision, recall and F1 of what was removed.
//
//	go run ./bench/semhash -plumb ./plumb -python python3 -model MINILM -n 20000
//
// Copies are exact, near (case, markup, typos, truncation, reordering) and paraphrased; look-alikes (another number, name,
// negation, opposite) stand among them and must stay. A removal is right when the record that stays for it has the same
// origin; every copy beyond the first of its origin should go. A wrong removal is of no kind, so F1 of a kind is of its recall and the
// precision of all removals. semhash's clock covers encoding, index and search, ours the
// whole command (start, reading, model, hash, MinHash, vectors, verifier, writing): the odds are against us.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"plumb/dedup/plant"
	"plumb/internal/run"
)

func main() {
	n := flag.Int("n", 20000, "documents")
	binary := flag.String("plumb", "./plumb", "our side")
	python := flag.String("python", "", "python with semhash and sentence-transformers; empty: our side only")
	model := flag.String("model", "", "folder of all-MiniLM-L6-v2")
	bf16 := flag.Bool("bf16", false, "the peer's encoder in bf16")
	sets := flag.String("set", "", "more settings of ours, KEY=VALUE with semicolons between")
	thresholds := flag.String("thresholds", "0.9,0.8,0.85,0.88,0.92,0.94,0.95,0.96,0.97,0.98", "the peer's; the first is its default and in its clock")
	flag.Parse()
	if err := compare(*n, *binary, *python, *model, *bf16, *sets, *thresholds); err != nil {
		log.Fatal(err)
	}
}

// corpus is n texts and the origin of each: a copy has its original's, a look-alike its own.
func corpus(n int) (texts []string, origin []int, kinds []plant.Kind) {
	p := plant.Planter{Rand: run.Rand(17, "bench semhash"), Half: -1}
	add := func(text string, of int, k plant.Kind) {
		texts, origin, kinds = append(texts, text), append(origin, of), append(kinds, k)
	}
	for len(texts) < n {
		of := len(texts)
		text := p.Text(2 + p.Rand.IntN(7))
		add(text, of, "")
		if p.Rand.IntN(3) == 0 {
			k := plant.Copies[p.Rand.IntN(len(plant.Copies))]
			if copied, ok := p.Edit(text, k); ok {
				add(copied, of, k)
			}
		}
		if p.Rand.IntN(6) == 0 {
			k := plant.LookAlikes[p.Rand.IntN(len(plant.LookAlikes))]
			if other, ok := p.Edit(text, k); ok {
				add(other, len(texts), k)
			}
		}
	}
	order := p.Rand.Perm(len(texts))
	at := make([]int, len(texts)) // where a text went
	for to, from := range order {
		at[from] = to
	}
	t, o, k := make([]string, len(texts)), make([]int, len(texts)), make([]plant.Kind, len(texts))
	for to, from := range order {
		t[to], o[to], k[to] = texts[from], at[origin[from]], kinds[from]
	}
	return t, o, k
}

func compare(n int, binary, python, model string, bf16 bool, sets, thresholds string) error {
	texts, origin, kinds := corpus(n)
	dir, err := os.MkdirTemp("", "plumb-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	docs := filepath.Join(dir, "documents.jsonl")
	if err := writeDocuments(docs, texts); err != nil {
		return err
	}
	size := map[int]int{}
	for _, o := range origin {
		size[o]++
	}
	copies := 0
	for _, s := range size {
		copies += s - 1
	}
	fmt.Printf("%d documents, %d of them copies\n", len(texts), copies)
	seconds, cpu, pairs, err := ours(binary, docs, dir, model, sets)
	if err != nil {
		return err
	}
	report("plumb", seconds, cpu, pairs, origin, kinds, copies)
	if python == "" {
		return nil
	}
	args := []string{filepath.Join("bench", "semhash", "peer.py"), "--documents", docs, "--model", model, "--thresholds", thresholds}
	if bf16 {
		args = append(args, "--bf16")
	}
	cmd := exec.Command(python, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("peer.py: %w", err)
	}
	var theirs struct {
		Seconds float64
		CPU     float64 // of all threads
		Removed map[string][][2]int
	}
	if err := json.Unmarshal(out[bytes.LastIndexByte(bytes.TrimSpace(out), '\n')+1:], &theirs); err != nil {
		return err
	}
	var list []string
	for t := range theirs.Removed {
		list = append(list, t)
	}
	sort.Strings(list)
	for _, t := range list {
		report("semhash at "+t, theirs.Seconds, theirs.CPU, theirs.Removed[t], origin, kinds, copies)
	}
	fmt.Printf("ratio %.2f; of processor time, a thread against a thread: %.2f\n", theirs.Seconds/seconds, theirs.CPU/cpu)
	return nil
}

func writeDocuments(path string, texts []string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	e := json.NewEncoder(w)
	for i, t := range texts {
		if err := e.Encode(map[string]string{"id": strconv.Itoa(i), "prompt": t}); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(w.Flush(), f.Close())
}

// ours runs the built binary and reads what its ledger says was removed, and for which record.
func ours(binary, docs, dir, model, sets string) (seconds, cpu float64, pairs [][2]int, err error) {
	ledger := filepath.Join(dir, "ledger.jsonl")
	args := []string{"dedup", docs, "--out", filepath.Join(dir, "clean.jsonl"), "--ledger", ledger, "--set", "key=prompt", "--set", "vectors.encoder=" + model}
	for _, s := range strings.Split(sets, ";") {
		if s != "" {
			args = append(args, "--set", s)
		}
	}
	cmd := exec.Command(binary, args...)
	cmd.Stderr = os.Stderr
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, 0, nil, fmt.Errorf("plumb dedup: %w", err)
	}
	seconds = time.Since(start).Seconds()
	cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	f, err := os.Open(ledger)
	if err != nil {
		return 0, 0, nil, err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<24)
	s.Scan() // the header
	for s.Scan() {
		var row struct {
			Action string
			Kept   *struct{ Index int }
			Ref    struct{ Index int }
		}
		if err := json.Unmarshal(s.Bytes(), &row); err != nil {
			return 0, 0, nil, err
		}
		if row.Action == "remove" && row.Kept != nil {
			pairs = append(pairs, [2]int{row.Ref.Index, row.Kept.Index})
		}
	}
	return seconds, cpu, pairs, s.Err()
}

func report(name string, seconds, cpu float64, pairs [][2]int, origin []int, kinds []plant.Kind, copies int) {
	right := 0
	found, all := map[plant.Kind]int{}, map[plant.Kind]int{}
	gone := map[int]bool{}
	for _, p := range pairs {
		if origin[p[0]] == origin[p[1]] {
			right++
			gone[origin[p[0]]] = true
		}
	}
	for i, k := range kinds { // a pair is found whichever of its two went
		if origin[i] != i {
			all[k]++
			if gone[origin[i]] {
				found[k]++
			}
		}
	}
	precision, recall := float64(right)/float64(max(len(pairs), 1)), float64(right)/float64(max(copies, 1))
	fmt.Printf("%s: %.1f s (%.1f s of processor time), %d removed, precision %.4f, recall %.4f, F1 %.4f;", name, seconds, cpu, len(pairs), precision, recall, 2*precision*recall/max(precision+recall, 1e-9))
	for _, k := range plant.Copies {
		fmt.Printf(" %s %d/%d", k, found[k], all[k])
	}
	fmt.Print("; F1 of")
	for _, g := range []struct {
		name  string
		kinds []plant.Kind
	}{{"exact", plant.Copies[:1]}, {"near", plant.Copies[1 : len(plant.Copies)-1]}, {"paraphrased", plant.Copies[len(plant.Copies)-1:]}} {
		hit, n := 0, 0
		for _, k := range g.kinds {
			hit, n = hit+found[k], n+all[k]
		}
		r := float64(hit) / float64(max(n, 1))
		fmt.Printf(" %s %.4f", g.name, 2*precision*r/max(precision+r, 1e-9))
	}
	fmt.Println()
}
