package dedup

import (
	"cmp"
	"context"
	"encoding/binary"
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

// choose keeps up to m of the candidates (nearest first): one that is nearer to the point than to any kept before, then
// the nearest of the others, so that links lead in different directions (the paper's algorithm 4).
func (g *hnsw) choose(s *Embedded, x *hnswScratch, candidates []hop, m int) []hop {
	var kept, spare []hop
	scratch := make([]float32, g.dim)
	for _, c := range candidates {
		if len(kept) == m {
			break
		}
		v, err := s.vector(c.at, scratch[:0])
		if err != nil {
			x.err = err
			return kept
		}
		good := true
		for _, k := range kept {
			if g.score(s, x, v, k.at) > c.score {
				good = false
				break
			}
		}
		if good {
			kept = append(kept, c)
		} else {
			spare = append(spare, c)
		}
	}
	return append(kept, spare[:min(len(spare), m-len(kept))]...)
}

// hnswBatch is how many points are linked before the next are searched. It grows with the graph only, so that the
// result depends on nothing else; points of a batch are compared with each other all with all.
func hnswBatch(have int) int { return min(max(have/4, 1), 1024) }

// extendGraph adds the points that the graph lacks.
func (s *Embedded) extendGraph(ctx context.Context) error {
	g := s.graph
	for len(g.levels) < len(s.ids) {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.dirty = true
		if err := g.addBatch(s, hnswBatch(len(g.levels))); err != nil {
			return err
		}
	}
	return nil
}

// scratches returns one searcher for each of n parallel pieces.
func (g *hnsw) scratches(n int) []*hnswScratch {
	for len(g.state) < n {
		g.state = append(g.state, &hnswScratch{raw: make([]float32, g.dim)})
	}
	return g.state[:n]
}

// pieces is into how many parts parallel work is cut.
func pieces(n int) int { return min(n, 4*kernels.Threads()) }

func (g *hnsw) addBatch(s *Embedded, size int) error {
	have := int32(len(g.levels))
	n := min(size, len(s.ids)-int(have))
	vectors := make([][]float32, n)
	for i := range vectors {
		v, err := s.vector(have+int32(i), make([]float32, 0, g.dim))
		if err != nil {
			return err
		}
		vectors[i] = v
	}
	level := make([]uint8, n)
	for i := range level {
		level[i] = g.level(s.ids[int(have)+i])
	}
	found := make([][][]hop, n) // by floor
	parts := g.scratches(pieces(n))
	kernels.Parallel(len(parts), func(p int) {
		x := parts[p]
		for i := p; i < n; i += len(parts) {
			if g.entry >= 0 {
				found[i] = g.candidates(s, x, vectors[i], int(level[i]))
			}
		}
	})
	among := make([][]hop, n) // earlier points of the batch
	kernels.Parallel(len(parts), func(p int) {
		for i := p; i < n; i += len(parts) {
			for j := range i {
				among[i] = append(among[i], hop{have + int32(j), kernels.Dot(vectors[i], vectors[j])})
			}
			slices.SortFunc(among[i], compareHops)
			among[i] = among[i][:min(len(among[i]), g.opt.EfConstruction)]
		}
	})
	g.grow(level)
	g.link(s, parts, have, level, found, among)
	for i, l := range level {
		if g.entry < 0 || int(l) > g.top {
			g.entry, g.top = have+int32(i), int(l)
		}
	}
	for _, x := range parts {
		if x.err != nil {
			return x.err
		}
	}
	return nil
}

// candidates searches the floors up to level for links of a new point.
func (g *hnsw) candidates(s *Embedded, x *hnswScratch, v []float32, level int) [][]hop {
	floors := min(level, g.top)
	out := make([][]hop, floors+1)
	from := []hop{g.descend(s, x, v, floors)}
	for f := floors; f >= 0; f-- {
		g.explore(s, x, v, from, g.opt.EfConstruction, f)
		out[f] = x.sorted()
		from = out[f]
	}
	return out
}

// grow makes room for points of the given levels.
func (g *hnsw) grow(level []uint8) {
	for _, l := range level {
		g.levels = append(g.levels, l)
		for range 2 * g.opt.M {
			g.ground = append(g.ground, -1)
		}
		var up []int32
		if l > 0 {
			up = slices.Repeat([]int32{-1}, int(l)*g.opt.M)
		}
		g.upper = append(g.upper, up)
	}
}

// back is a link that a point receives on a floor.
type back struct {
	to    int32
	floor uint8
	from  hop
}

// link gives each new point its neighbours, in parallel, and then each of these its links back: a point's links depend
// on no other's, so they are made in parallel too.
func (g *hnsw) link(s *Embedded, parts []*hnswScratch, have int32, level []uint8, found [][][]hop, among [][]hop) {
	backs := make([][]back, len(level))
	kernels.Parallel(len(parts), func(p int) {
		for i := p; i < len(level); i += len(parts) {
			for f := 0; f <= int(level[i]); f++ {
				var list []hop
				if f < len(found[i]) {
					list = append(list, found[i][f]...)
				}
				for _, h := range among[i] {
					if int(g.levels[h.at]) >= f {
						list = append(list, h)
					}
				}
				slices.SortFunc(list, compareHops)
				list = g.choose(s, parts[p], list[:min(len(list), g.opt.EfConstruction)], g.opt.M)
				own := g.links(have+int32(i), f)
				for k, h := range list {
					own[k] = h.at
					backs[i] = append(backs[i], back{h.at, uint8(f), hop{have + int32(i), h.score}})
				}
			}
		}
	})
	all := slices.Concat(backs...)
	slices.SortFunc(all, func(a, b back) int {
		return cmp.Or(cmp.Compare(a.to, b.to), cmp.Compare(a.floor, b.floor), compareHops(a.from, b.from))
	})
	var groups [][]back
	for lo := 0; lo < len(all); {
		hi := lo + 1
		for hi < len(all) && all[hi].to == all[lo].to && all[hi].floor == all[lo].floor {
			hi++
		}
		groups = append(groups, all[lo:hi])
		lo = hi
	}
	kernels.Parallel(len(parts), func(p int) {
		for i := p; i < len(groups); i += len(parts) {
			g.linkBack(s, parts[p], groups[i])
		}
	})
}

// linkBack adds links to a point, which chooses among old and new when it would have too many.
func (g *hnsw) linkBack(s *Embedded, x *hnswScratch, group []back) {
	to := group[0].to
	links := g.links(to, int(group[0].floor))
	used := slices.Index(links, -1)
	if used < 0 {
		used = len(links)
	}
	if used+len(group) <= len(links) {
		for k, b := range group {
			links[used+k] = b.from.at
		}
		return
	}
	v, err := s.vector(to, make([]float32, 0, g.dim))
	if err != nil {
		x.err = err
		return
	}
	var list []hop
	for _, b := range group {
		list = append(list, b.from)
	}
	for _, n := range links[:used] {
		list = append(list, hop{n, g.score(s, x, v, n)})
	}
	slices.SortFunc(list, compareHops)
	for k, c := range g.choose(s, x, list, len(links)) {
		links[k] = c.at
	}
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

// encode is the graph as it stands in the last block of the file; decode refuses one that does not fit n points.
func (g *hnsw) encode() []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(g.opt.M))
	b = binary.LittleEndian.AppendUint32(b, uint32(g.opt.EfConstruction))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(g.levels)))
	b = binary.LittleEndian.AppendUint32(b, uint32(g.entry))
	b = append(b, g.levels...)
	for _, x := range g.ground {
		b = binary.LittleEndian.AppendUint32(b, uint32(x))
	}
	for _, up := range g.upper {
		for _, x := range up {
			b = binary.LittleEndian.AppendUint32(b, uint32(x))
		}
	}
	return b
}

var errGraph = errors.New("the stored graph does not fit the stored points")

func decodeGraph(b []byte, dim, points int) (*hnsw, error) {
	if len(b) < 16 {
		return nil, errGraph
	}
	word := func(i int) int { return int(int32(binary.LittleEndian.Uint32(b[4*i:]))) }
	g := &hnsw{dim: dim, opt: HNSWOptions{M: word(0), EfConstruction: word(1)}, entry: int32(word(3))}
	n := word(2)
	if g.opt.M < 1 || g.opt.M > 1024 || n < 1 || n > points || g.entry < 0 || int(g.entry) >= n || len(b) < 16+n {
		return nil, errGraph
	}
	g.levels = slices.Clone(b[16 : 16+n])
	b = b[16+n:]
	total := 2 * g.opt.M * n
	for _, l := range g.levels {
		total += int(l) * g.opt.M
	}
	if len(b) != 4*total {
		return nil, errGraph
	}
	all := make([]int32, total)
	for i := range all {
		all[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
		if all[i] < -1 || int(all[i]) >= n {
			return nil, errGraph
		}
	}
	g.ground, all = slices.Clip(all[:2*g.opt.M*n]), all[2*g.opt.M*n:]
	g.upper = make([][]int32, n)
	for i, l := range g.levels {
		g.upper[i], all = all[:int(l)*g.opt.M:int(l)*g.opt.M], all[int(l)*g.opt.M:]
	}
	g.top = int(g.levels[g.entry])
	for i := range g.upper { // a link on a floor leads to a point that has this floor
		for f := 1; f <= int(g.levels[i]); f++ {
			for _, x := range g.links(int32(i), f) {
				if x >= 0 && int(g.levels[x]) < f {
					return nil, errGraph
				}
			}
		}
		if int(g.levels[i]) > g.top {
			return nil, errGraph
		}
	}
	return g, nil
}
