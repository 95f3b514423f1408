// Command million streams generated preference pairs through the hash and MinHash stages and prints what it cost: a set larger
// than memory must not need more than 2 GB resident. With -write it writes the pairs to a file instead, for the commands to be measured on.
//
//	go run ./bench/million -n 1000000
//	go run ./bench/million -n 1000000 -write million.jsonl -to trl
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"plumb/datasets"
	_ "plumb/datasets/parquet" // -write pairs.parquet
	"plumb/dedup"
	"plumb/dedup/plant"
	"plumb/internal/run"
)

func main() {
	n := flag.Int("n", 1000000, "pairs; every tenth is an edited copy of one up to 1,000 before it")
	write := flag.String("write", "", "write the pairs to this file, and do nothing else")
	to := flag.String("to", "", "format of its rows")
	flag.Parse()
	if *write != "" {
		if err := save(*n, *write, *to); err != nil {
			log.Fatal(err)
		}
		return
	}
	cfg := dedup.Defaults()
	cfg.Vectors.Enabled = false
	dir, err := os.MkdirTemp("", "plumb-bench-*")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	start := time.Now()
	out := &counter{}
	progress := func(label string, total int) *run.Progress { return run.NewProgress(os.Stderr, label, total) }
	rep, err := dedup.Run(context.Background(), cfg, source(*n), out, dedup.Tools{TempDir: dir, Ledger: io.Discard, Progress: progress})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d pairs, %.2f GB of text, %d kept, %v, %.0f s, peak resident %s\n", rep.Records, float64(out.bytes)/1e9, rep.Kept, rep.ByStage,
		time.Since(start).Seconds(), peak())
}

// save writes the pairs to a file.
func save(n int, path, format string) error {
	w, err := datasets.Create(path, datasets.WriteOptions{Format: format})
	if err != nil {
		return err
	}
	in := reader{n: n}
	for {
		r, err := in.Next()
		if errors.Is(err, io.EOF) {
			return w.Close()
		}
		if err == nil {
			err = w.Write(r)
		}
		if err != nil {
			return errors.Join(err, w.Discard())
		}
	}
}

// counter counts the text that is kept.
type counter struct{ bytes int64 }

func (c *counter) Write(r datasets.Record) error {
	c.bytes += int64(len(r.Prompt[0].Content) + len(r.Chosen[0].Content) + len(r.Rejected[0].Content))
	return nil
}

// source generates pair i from i alone, so that it can be read twice and nothing is held.
type source int

func (s source) Open() (dedup.Reader, error) { return &reader{n: int(s)}, nil }

type reader struct{ n, at int }

func (r *reader) Close() error { return nil }

func (r *reader) Next() (datasets.Record, error) {
	if r.at == r.n {
		return datasets.Record{}, io.EOF
	}
	i := r.at
	r.at++
	of := i
	p := plant.Planter{Rand: run.Rand(5, "bench million", uint64(i)), Half: -1}
	if i%10 == 9 {
		of = max(i-1-p.Rand.IntN(1000), 0)
		if of%10 == 9 {
			of--
		}
	}
	q := plant.Planter{Rand: run.Rand(6, "bench million text", uint64(of)), Half: -1}
	texts := [3]string{q.Text(3), q.Text(9), q.Text(7)}
	if of != i {
		texts[1], _ = p.Edit(texts[1], plant.Copies[p.Rand.IntN(len(plant.Copies))])
	}
	return datasets.Record{ID: fmt.Sprintf("pair-%07d", i), Source: datasets.Provenance{File: "generated", Row: int64(i + 1)},
		Prompt: datasets.Text(texts[0]), Chosen: datasets.Text(texts[1]), Rejected: datasets.Text(texts[2])}, nil
}

// peak is the most memory this process has had resident, where the system says so.
func peak() string {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "VmHWM:"); ok {
			return strings.Join(strings.Fields(rest), " ")
		}
	}
	return "unknown"
}
