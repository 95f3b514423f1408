package dedup

import (
	"encoding/binary"
	"errors"
	"slices"
)

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
	g := &hnsw{dim: dim, codes: newCodes(dim), opt: HNSWOptions{M: word(0), EfConstruction: word(1)}, entry: int32(word(3))}
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
	g.reserve(n)
	g.ground, all = append(g.ground, all[:2*g.opt.M*n]...), all[2*g.opt.M*n:]
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
