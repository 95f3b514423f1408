// Command hnsw compares the embedded store's graph with its flat scan: queries a second of both, and the graph's recall@10
// against the scan, on vectors of the built-in encoder or on random points around random centres.
//
//	go run ./bench/hnsw -n 200000 -dim 384
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"plumb/dedup"
	"plumb/dedup/plant"
	"plumb/internal/kernels"
	"plumb/internal/run"
)

func main() {
	n := flag.Int("n", 200000, "vectors")
	dim := flag.Int("dim", 384, "numbers of a vector")
	queries := flag.Int("queries", 2000, "queries, none of them stored")
	data := flag.String("data", "text", "text: the built-in encoder on planted texts; blobs: random points around n/100 centres")
	m := flag.Int("m", 16, "links of a point")
	efc := flag.Int("construction", 128, "candidates for a new point")
	flag.Parse()
	if err := bench(*n, *dim, *queries, *data, dedup.HNSWOptions{M: *m, EfConstruction: *efc}); err != nil {
		log.Fatal(err)
	}
}

func bench(n, dim, queries int, data string, opt dedup.HNSWOptions) error {
	ctx := context.Background()
	vectors, err := vectors(ctx, n+queries, dim, data)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "plumb-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := dedup.OpenEmbedded(filepath.Join(dir, "vectors"), "bench", dim)
	if err != nil {
		return err
	}
	defer s.Close()
	points := make([]dedup.Point, n)
	for i := range points {
		points[i] = dedup.Point{ID: uint64(i), Vector: vectors[i]}
	}
	if err := s.Upsert(ctx, points); err != nil {
		return err
	}
	ask := vectors[n:]
	fmt.Printf("%d %s vectors of %d, %d queries, %d threads, kernels %v\n", n, data, dim, queries, kernels.Threads(), kernels.Active())
	if _, err := s.Scan(ctx, ask[:min(256, len(ask))], 10, dedup.Filter{}); err != nil {
		return err
	}
	start, used := time.Now(), processorTime()
	want, err := s.Scan(ctx, ask, 10, dedup.Filter{})
	if err != nil {
		return err
	}
	flat := float64(len(ask)) / time.Since(start).Seconds()
	flatCPU := (processorTime() - used) / float64(len(ask))
	fmt.Printf("flat scan  %8.0f queries/s, %.0f us of processor time each\n", flat, 1e6*flatCPU)
	s.UseHNSW(opt)
	start, used = time.Now(), processorTime()
	if _, err := s.Query(ctx, ask[:1], 10, dedup.Filter{}); err != nil {
		return err
	}
	fmt.Printf("graph      built in %.1f s, %.1f s of processor time\n", time.Since(start).Seconds(), processorTime()-used)
	for _, ef := range []int{10, 16, 24, 32, 48, 64, 96, 128, 192, 256} {
		opt.EfSearch = ef
		s.UseHNSW(opt)
		start, used = time.Now(), processorTime()
		got, err := s.Query(ctx, ask, 10, dedup.Filter{})
		if err != nil {
			return err
		}
		speed := float64(len(ask)) / time.Since(start).Seconds()
		cpu := (processorTime() - used) / float64(len(ask))
		fmt.Printf("graph      %8.0f queries/s, %.0f us of processor time each, ef %3d, recall@10 %.4f, ratio %.1f, of processor time %.1f\n",
			speed, 1e6*cpu, ef, dedup.Recall(got, want), speed/flat, flatCPU/cpu)
	}
	return nil
}

func vectors(ctx context.Context, n, dim int, data string) ([][]float32, error) {
	if data == "text" {
		p := plant.Planter{Rand: run.Rand(1, "bench hnsw"), Half: -1}
		texts := make([]string, n)
		for i := range texts {
			texts[i] = p.Text(1 + p.Rand.IntN(6))
		}
		return dedup.NewHashEncoder(dim).Embed(ctx, texts)
	}
	r := rand.New(rand.NewPCG(1, 2))
	centres := make([][]float32, max(n/100, 1))
	draw := func(around []float32, spread float64) []float32 {
		v := make([]float32, dim)
		for i := range v {
			v[i] = float32(r.NormFloat64() * spread)
			if around != nil {
				v[i] += around[i]
			}
		}
		return v
	}
	for i := range centres {
		centres[i] = draw(nil, 1)
	}
	out := make([][]float32, n)
	for i := range out {
		out[i] = draw(centres[r.IntN(len(centres))], 0.5)
	}
	return out, nil
}
