package dedup

import (
	"cmp"
	"context"
	"slices"

	"plumb/internal/kernels"
)

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
