// Command hnsw compares the embedded store's graph with its flat scan: queries a second of both, and the graph's recall@10
// against the scan, on vectors of the built-in encoder, on random points around random centres, or on those of a file that
// bench/embed wrote. The queries are vectors of the same kind that are not stored. Before each measurement of the graph the scan is
// measured again, so that both see the same machine.
//
//	go run ./bench/hnsw -n 200000 -dim 384
//	go run ./bench/hnsw -n 200000 -data minilm.f32
package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
	data := flag.String("data", "text", "text: the built-in encoder on planted texts; blobs: random points around n/100 centres; else a file of little-endian float32")
	m := flag.Int("m", 0, "links of a point; 0: the default")
	efc := flag.Int("construction", 0, "candidates for a new point; 0: the default")
	ef := flag.String("ef", "10,16,24,32,48,64,96,128,192,256", "candidates kept in a search")
	flag.Parse()
	var efs []int
	for _, x := range strings.Split(*ef, ",") {
		v, err := strconv.Atoi(x)
		if err != nil || v < 1 {
			log.Fatalf("-ef: expected numbers above 0 with commas between, got %q", *ef)
		}
		efs = append(efs, v)
	}
	if err := bench(*n, *dim, *queries, *data, efs, dedup.HNSWOptions{M: *m, EfConstruction: *efc}); err != nil {
		log.Fatal(err)
	}
}

func bench(n, dim, queries int, data string, efs []int, opt dedup.HNSWOptions) error {
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
	fmt.Printf("flat scan  %8.0f queries/s, %.0f us of processor time each\n", float64(len(ask))/time.Since(start).Seconds(), 1e6*(processorTime()-used)/float64(len(ask)))
	s.UseHNSW(opt)
	start, used = time.Now(), processorTime()
	if _, err := s.Query(ctx, ask[:1], 10, dedup.Filter{}); err != nil {
		return err
	}
	fmt.Printf("graph      built in %.1f s, %.1f s of processor time\n", time.Since(start).Seconds(), processorTime()-used)
	for _, ef := range efs {
		opt.EfSearch = ef
		s.UseHNSW(opt)
		some := ask[:min(512, len(ask))]
		flat, err := measure(func() error { _, err := s.Scan(ctx, some, 10, dedup.Filter{}); return err }, len(some))
		if err != nil {
			return err
		}
		var got [][]dedup.Neighbour
		graph, err := measure(func() (err error) { got, err = s.Query(ctx, ask, 10, dedup.Filter{}); return err }, len(ask))
		if err != nil {
			return err
		}
		fmt.Printf("graph      ef %3d, recall@10 %.4f, %8.0f queries/s, %.0f us of processor time each (scan %.0f), ratio %.1f, of processor time %.1f\n",
			ef, dedup.Recall(got, want), 1/graph.wall, 1e6*graph.cpu, 1e6*flat.cpu, flat.wall/graph.wall, flat.cpu/graph.cpu)
	}
	return nil
}

// cost is seconds a query.
type cost struct{ wall, cpu float64 }

func measure(f func() error, queries int) (cost, error) {
	start, used := time.Now(), processorTime()
	err := f()
	return cost{time.Since(start).Seconds() / float64(queries), (processorTime() - used) / float64(queries)}, err
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
	if data != "blobs" {
		return load(data, n, dim)
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

// load reads the first n vectors of a file.
func load(path string, n, dim int) ([][]float32, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if have := len(raw) / (4 * dim); have < n {
		return nil, fmt.Errorf("%s holds %d vectors of %d; with the queries %d are needed", path, have, dim, n)
	}
	out := make([][]float32, n)
	for i := range out {
		out[i] = make([]float32, dim)
		if _, err := binary.Decode(raw[4*dim*i:], binary.LittleEndian, out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}
