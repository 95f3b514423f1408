package dedup

import (
	"context"
	"errors"
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
	codes  *codeTable
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
		s.graph = &hnsw{dim: s.head.Dim, entry: -1, codes: newCodes(s.head.Dim)}
	}
	s.graph.opt = opt
	s.approximate = true
}

// Approximate tells that Query uses the graph.
func (s *Embedded) Approximate() bool { return s.approximate }

// heldVector returns point i's vector, nil when it is not in memory.
func (s *Embedded) heldVector(i int32) []float32 {
	b := s.held[int(i)/blockPoints]
	if b == nil {
		return nil
	}
	at := int(i) % blockPoints * s.head.Dim
	return b[at : at+s.head.Dim]
}

// vector returns point i, in scratch when it is not in memory.
func (s *Embedded) vector(i int32, scratch []float32) ([]float32, error) {
	if v := s.heldVector(i); v != nil {
		return v, nil
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
	seen    []uint64 // a bit for each point
	visited []int32  // the points whose bit is set
	best    []hop    // nearest first
	done    []bool   // of best: its links were followed
	at      []int32
	near    []hop
	dots    []int32
	code    []int8
	raw     []float32
}

func (x *hnswScratch) begin(n int) {
	if words := (n + 63) / 64; len(x.seen) < words {
		x.seen = make([]uint64, words+words/4)
	} else {
		for _, i := range x.visited {
			x.seen[i>>6] = 0
		}
	}
	x.visited, x.best, x.done = x.visited[:0], x.best[:0], x.done[:0]
}

// visit marks the points of a list that ends before -1 and returns those that are new. Which are is as good as random, so that it is
// counted, not branched on.
func (x *hnswScratch) visit(list []int32) []int32 {
	n := len(x.visited)
	x.visited = slices.Grow(x.visited, len(list))
	to, k := x.visited[n:n+len(list)], 0
	for _, i := range list {
		if i < 0 {
			break
		}
		w := x.seen[i>>6]
		to[k] = i
		k += int(^w >> (i & 63) & 1)
		x.seen[i>>6] = w | 1<<(i&63)
	}
	x.visited = x.visited[:n+k]
	return x.visited[n:]
}

// keep puts h among the ef best and returns its place, ef when it is not one of them.
func (x *hnswScratch) keep(h hop, ef int) int {
	n := len(x.best)
	if n == ef && !nearer(h, x.best[n-1]) {
		return ef
	}
	lo, hi := 0, n
	for lo < hi {
		if m := int(uint(lo+hi) >> 1); nearer(x.best[m], h) {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if n < ef {
		x.best, x.done = append(x.best, hop{}), append(x.done, false)
	}
	copy(x.best[lo+1:], x.best[lo:])
	copy(x.done[lo+1:], x.done[lo:])
	x.best[lo], x.done[lo] = h, false
	return lo
}

// descend walks from the entry down to floor, on each floor to the nearest point.
func (g *hnsw) descend(x *hnswScratch, q probe, floor int) hop {
	x.near = g.codes.score(x.near[:0], &x.dots, q, []int32{g.entry})
	at := x.near[0]
	for f := g.top; f > floor; f-- {
		for moved := true; moved; {
			moved = false
			links := g.links(at.at, f)
			if end := slices.Index(links, -1); end >= 0 {
				links = links[:end]
			}
			x.near = g.codes.score(x.near[:0], &x.dots, q, links)
			for _, c := range x.near {
				if nearer(c, at) {
					at, moved = c, true
				}
			}
		}
	}
	return at
}

// explore finds about ef points near q on a floor, starting from hops; x.best holds them, the nearest first. The paper's
// two heaps are one list here: a candidate that has fallen out of the ef best would never be followed.
func (g *hnsw) explore(x *hnswScratch, q probe, from []hop, ef, floor int) {
	x.begin(len(g.levels))
	for _, h := range from {
		x.visit([]int32{h.at})
		x.keep(h, ef)
	}
	for next := 0; next < len(x.best); {
		if x.done[next] {
			next++
			continue
		}
		x.done[next] = true
		at := x.visit(g.links(x.best[next].at, floor))
		for k, ahead := next+1, 2; k < len(x.best) && ahead > 0; k++ { // likely to be followed next
			if !x.done[k] {
				kernels.Fetch(g.links(x.best[k].at, floor))
				ahead--
			}
		}
		x.near = g.codes.score(x.near[:0], &x.dots, q, at)
		for _, h := range x.near {
			if len(x.best) < ef || h.score >= x.best[ef-1].score {
				next = min(next, x.keep(h, ef))
			}
		}
	}
}

func (x *hnswScratch) sorted() []hop { return slices.Clone(x.best) }

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
	errs := make([]error, len(parts))
	kernels.Parallel(len(parts), func(p int) {
		x := parts[p]
		q := make([]float32, g.dim)
		for i := p; i < len(vectors) && ctx.Err() == nil && errs[p] == nil; i += len(parts) {
			copy(q, vectors[i])
			normalise(q)
			code := probe{x.code, encode8(x.code, q)}
			g.explore(x, code, []hop{g.descend(x, code, 0)}, ef, 0)
			out[i], errs[p] = g.rescore(s, x, q, k, allowed)
		}
	})
	return out, errors.Join(append(errs, ctx.Err())...)
}

// rescore computes the scores of the best by codes from the vectors and returns the k best of them: twice k and a few, for the
// rounding of a code moves a score by less than a thousandth.
func (g *hnsw) rescore(s *Embedded, x *hnswScratch, q []float32, k int, allowed []bool) ([]Neighbour, error) {
	most := 2*k + 8
	chosen := x.near[:0]
	for _, h := range x.best {
		if len(chosen) == most {
			break
		}
		if allowed == nil || allowed[h.at] {
			chosen = append(chosen, h)
		}
	}
	x.near = chosen
	list := make([]Neighbour, 0, len(chosen))
	for i, h := range chosen {
		if i+1 < len(chosen) {
			kernels.Fetch(s.heldVector(chosen[i+1].at))
		}
		v, err := s.vector(h.at, x.raw[:0])
		if err != nil {
			return nil, err
		}
		list = append(list, Neighbour{s.ids[h.at], kernels.Dot(q, v)})
	}
	sortNeighbours(list)
	return list[:min(k, len(list))], nil
}
