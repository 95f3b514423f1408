package dedup

import (
	"cmp"
	"context"
	"slices"

	"plumb/internal/kernels"
)

// choose keeps up to m of the candidates (nearest first): one that is nearer to the point than to any kept before, then
// the nearest of the others, so that links lead in different directions (the paper's algorithm 4).
func (g *hnsw) choose(x *hnswScratch, candidates []hop, m int) []hop {
	var kept, spare []hop
	x.at = x.at[:0] // the kept ones
	for _, c := range candidates {
		if len(kept) == m {
			break
		}
		good := true
		const some = 4 // most are turned down by one of the first
		for lo := 0; lo < len(x.at) && good; lo += some {
			x.near = g.codes.score(x.near[:0], &x.dots, g.codes.probe(c.at), x.at[lo:min(lo+some, len(x.at))])
			for _, k := range x.near {
				good = good && k.score <= c.score
			}
		}
		if good {
			kept, x.at = append(kept, c), append(x.at, c.at)
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
	if err := g.codes.extend(s); err != nil {
		return err
	}
	g.reserve(len(s.ids))
	for len(g.levels) < len(s.ids) {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.dirty = true
		g.addBatch(s, hnswBatch(len(g.levels)))
	}
	return nil
}

// scratches returns one searcher for each of n parallel pieces.
func (g *hnsw) scratches(n int) []*hnswScratch {
	for len(g.state) < n {
		g.state = append(g.state, &hnswScratch{raw: make([]float32, g.dim), code: make([]int8, g.codes.width)})
	}
	return g.state[:n]
}

// pieces is into how many parts parallel work is cut.
func pieces(n int) int { return min(n, 4*kernels.Threads()) }

func (g *hnsw) addBatch(s *Embedded, size int) {
	have := int32(len(g.levels))
	n := min(size, len(s.ids)-int(have))
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
				found[i] = g.candidates(x, g.codes.probe(have+int32(i)), int(level[i]))
			}
		}
	})
	among := make([][]hop, n) // earlier points of the batch
	kernels.Parallel(len(parts), func(p int) {
		x := parts[p]
		for i := p; i < n; i += len(parts) {
			x.at, x.best, x.done = x.at[:0], x.best[:0], x.done[:0]
			for j := range int32(i) {
				x.at = append(x.at, have+j)
			}
			x.near = g.codes.score(x.near[:0], &x.dots, g.codes.probe(have+int32(i)), x.at)
			for _, h := range x.near {
				x.keep(h, g.opt.EfConstruction)
			}
			among[i] = x.sorted()
		}
	})
	g.grow(level)
	g.link(parts, have, level, found, among)
	for i, l := range level {
		if g.entry < 0 || int(l) > g.top {
			g.entry, g.top = have+int32(i), int(l)
		}
	}
}

// candidates searches the floors up to level for links of a new point.
func (g *hnsw) candidates(x *hnswScratch, v probe, level int) [][]hop {
	floors := min(level, g.top)
	out := make([][]hop, floors+1)
	from := []hop{g.descend(x, v, floors)}
	for f := floors; f >= 0; f-- {
		g.explore(x, v, from, g.opt.EfConstruction, f)
		out[f] = x.sorted()
		from = out[f]
	}
	return out
}

// reserve makes the ground floor large enough for n points: in one piece, which a walk finds by fewer page tables.
func (g *hnsw) reserve(n int) {
	if need := n * 2 * g.opt.M; cap(g.ground) < need {
		if len(g.ground) > 0 {
			need += need / 4
		}
		ground := kernels.AllocI32(need)
		g.ground = ground[:copy(ground, g.ground)]
	}
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
func (g *hnsw) link(parts []*hnswScratch, have int32, level []uint8, found [][][]hop, among [][]hop) {
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
				list = g.choose(parts[p], list[:min(len(list), g.opt.EfConstruction)], g.opt.M)
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
			g.linkBack(parts[p], groups[i])
		}
	})
}

// linkBack adds links to a point, which chooses among old and new when it would have too many.
func (g *hnsw) linkBack(x *hnswScratch, group []back) {
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
	list := g.codes.score(nil, &x.dots, g.codes.probe(to), links[:used])
	for _, b := range group {
		list = append(list, b.from)
	}
	slices.SortFunc(list, compareHops)
	for k, c := range g.choose(x, list, len(links)) {
		links[k] = c.at
	}
}
