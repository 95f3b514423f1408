package dedup

import (
	"context"
	"math"
	"slices"

	"plumb/internal/kernels"
)

// HNSWOptions shape the graph (Malkov, Yashunin, "Efficient and robust approximate nearest neighbor search using
// Hierarchical Navigable Small World graphs", 2018). A zero takes the default.
type HNSWOptions struct {
	M              int // neighbours of a point, twice as many on the ground floor; 16
	EfConstruction int // candidates looked at for a new point; 128
	EfSearch       int // candidates kept in a search; 64
}

// hnsw is the graph over an Embedded store's points, by position. It is built in batches: the candidates of a batch are
// searched in the graph as it was before, and its links are made point by point, all in parallel. So the graph depends
// on the order of the points alone.
type hnsw struct {
	opt    HNSWOptions
	dim    int
	entry  int32
	top    int
	levels []uint8   // of each point
	ground []int32   // 2M neighbours of each point, -1 where there is none
	upper  [][]int32 // of points above the ground: M neighbours for each of their levels
	state  []*hnswScratch
}

// UseHNSW makes Query search by a graph. A graph stored in the file by an earlier run is used when it fits the options.
func (s *Embedded) UseHNSW(opt HNSWOptions) {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&opt.M, 16)
	def(&opt.EfConstruction, 128)
	def(&opt.EfSearch, 64)
	if s.graph == nil || s.graph.opt.M != opt.M || s.graph.opt.EfConstruction != opt.EfConstruction {
		s.graph = &hnsw{dim: s.head.Dim, entry: -1}
	}
	s.graph.opt = opt
	s.approximate = true
}

// Approximate tells that Query uses the graph.
func (s *Embedded) Approximate() bool { return s.approximate }

// vector returns point i, in scratch when it is not in memory.
func (s *Embedded) vector(i int32, scratch []float32) ([]float32, error) {
	if b := s.held[int(i)/blockPoints]; b != nil {
		at := int(i) % blockPoints * s.head.Dim
		return b[at : at+s.head.Dim], nil
	}
	raw := make([]byte, 4*s.head.Dim)
	if _, err := s.file.ReadAt(raw, s.where[i]); err != nil {
		return nil, err
	}
	return decodeVector(scratch, raw), nil
}

// level draws a point's highest floor from its ID, so that it is the same in every run.
func (g *hnsw) level(id uint64) uint8 {
	u := (float64(mix64(id)>>11) + 0.5) / (1 << 53)
	return uint8(min(-math.Log(u)/math.Log(float64(g.opt.M)), 30))
}

// links are the neighbours of a point on a floor: -1 ends them.
func (g *hnsw) links(i int32, floor int) []int32 {
	if floor == 0 {
		return g.ground[int(i)*2*g.opt.M : (int(i)+1)*2*g.opt.M]
	}
	return g.upper[i][(floor-1)*g.opt.M : floor*g.opt.M]
}

// hop is a point with its similarity to a query.
type hop struct {
	at    int32
	score float32
}

// nearer orders hops: higher score first, equals by position, so that ties never depend on the way taken.
func nearer(a, b hop) bool { return a.score > b.score || a.score == b.score && a.at < b.at }

// hnswScratch is one searcher's memory.
type hnswScratch struct {
	seen  []uint32
	epoch uint32
	open  []hop // heap, nearest first
	best  []hop // heap, farthest first
	raw   []float32
	err   error
}

func (x *hnswScratch) begin(n int) {
	for len(x.seen) < n {
		x.seen = append(x.seen, 0)
	}
	if x.epoch++; x.epoch == 0 {
		clear(x.seen)
		x.epoch = 1
	}
	x.open, x.best = x.open[:0], x.best[:0]
}

func push(h []hop, v hop, before func(a, b hop) bool) []hop {
	h = append(h, v)
	for i := len(h) - 1; i > 0; {
		p := (i - 1) / 2
		if !before(h[i], h[p]) {
			break
		}
		h[i], h[p] = h[p], h[i]
		i = p
	}
	return h
}

func pop(h []hop, before func(a, b hop) bool) []hop {
	n := len(h) - 1
	h[0] = h[n]
	h = h[:n]
	for i := 0; ; {
		c := 2*i + 1
		if c >= n {
			return h
		}
		if c+1 < n && before(h[c+1], h[c]) {
			c++
		}
		if !before(h[c], h[i]) {
			return h
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}

func farther(a, b hop) bool { return nearer(b, a) }

func (g *hnsw) score(s *Embedded, x *hnswScratch, q []float32, i int32) float32 {
	v, err := s.vector(i, x.raw[:0])
	if err != nil {
		x.err = err
		return -2
	}
	return kernels.Dot(q, v)
}

// descend walks from the entry down to floor, on each floor to the nearest point.
func (g *hnsw) descend(s *Embedded, x *hnswScratch, q []float32, floor int) hop {
	at := hop{g.entry, g.score(s, x, q, g.entry)}
	for f := g.top; f > floor; f-- {
		for moved := true; moved; {
			moved = false
			for _, n := range g.links(at.at, f) {
				if n < 0 {
					break
				}
				if c := (hop{n, g.score(s, x, q, n)}); nearer(c, at) {
					at, moved = c, true
				}
			}
		}
	}
	return at
}

// explore finds about ef points near q on a floor, starting from hops; x.best holds them as a heap.
func (g *hnsw) explore(s *Embedded, x *hnswScratch, q []float32, from []hop, ef, floor int) {
	x.begin(len(g.levels))
	for _, h := range from {
		x.seen[h.at] = x.epoch
		x.open = push(x.open, h, nearer)
		x.best = push(x.best, h, farther)
	}
	for len(x.best) > ef {
		x.best = pop(x.best, farther)
	}
	for len(x.open) > 0 {
		c := x.open[0]
		if len(x.best) >= ef && nearer(x.best[0], c) {
			return
		}
		x.open = pop(x.open, nearer)
		for _, n := range g.links(c.at, floor) {
			if n < 0 {
				break
			}
			if x.seen[n] == x.epoch {
				continue
			}
			x.seen[n] = x.epoch
			h := hop{n, g.score(s, x, q, n)}
			if len(x.best) < ef || nearer(h, x.best[0]) {
				x.open = push(x.open, h, nearer)
				if x.best = push(x.best, h, farther); len(x.best) > ef {
					x.best = pop(x.best, farther)
				}
			}
		}
	}
}

func (x *hnswScratch) sorted() []hop {
	out := slices.Clone(x.best)
	slices.SortFunc(out, compareHops)
	return out
}

func compareHops(a, b hop) int {
	if nearer(a, b) {
		return -1
	}
	if nearer(b, a) {
		return 1
	}
	return 0
}

// scanShare is the share of points that pass a filter below which a scan finds them sooner than the graph.
const scanShare = 0.2

func (g *hnsw) query(ctx context.Context, s *Embedded, vectors [][]float32, k int, f Filter) ([][]Neighbour, error) {
	allowed := s.allowed(f)
	if allowed != nil {
		n := 0
		for _, a := range allowed {
			if a {
				n++
			}
		}
		if float64(n) < scanShare*float64(len(allowed)) {
			return s.Scan(ctx, vectors, k, f)
		}
	}
	out := make([][]Neighbour, len(vectors))
	if g.entry < 0 {
		return out, nil
	}
	for _, v := range vectors {
		if len(v) != g.dim {
			return nil, &MismatchError{s.path, "dimension", g.dim, len(v)}
		}
	}
	ef := max(g.opt.EfSearch, k)
	if allowed != nil {
		ef = int(float64(ef) / scanShare)
	}
	parts := g.scratches(pieces(len(vectors)))
	kernels.Parallel(len(parts), func(p int) {
		x := parts[p]
		q := make([]float32, g.dim)
		for i := p; i < len(vectors) && ctx.Err() == nil; i += len(parts) {
			copy(q, vectors[i])
			normalise(q)
			g.explore(s, x, q, []hop{g.descend(s, x, q, 0)}, ef, 0)
			for _, h := range x.sorted() {
				if len(out[i]) < k && (allowed == nil || allowed[h.at]) {
					out[i] = append(out[i], Neighbour{s.ids[h.at], h.score})
				}
			}
			slices.SortFunc(out[i], func(a, b Neighbour) int {
				if better(a, b) {
					return -1
				}
				return 1
			})
		}
	})
	for _, x := range parts {
		if x.err != nil {
			return nil, x.err
		}
	}
	return out, ctx.Err()
}
