package dedup

import (
	"context"
	"fmt"

	"plumb/internal/kernels"
)

// block returns the vectors of points b*blockPoints and on, in scratch when they are not in memory.
func (s *Embedded) block(b int, scratch []float32) ([]float32, error) {
	n := min(len(s.ids)-b*blockPoints, blockPoints)
	if v := s.held[b]; v != nil {
		return v[:n*s.head.Dim], nil
	}
	scratch = scratch[:n*s.head.Dim]
	raw := make([]byte, 4*s.head.Dim)
	for i := range n {
		if _, err := s.file.ReadAt(raw, s.where[b*blockPoints+i]); err != nil {
			return nil, fmt.Errorf("%s: %w", s.path, err)
		}
		decodeVector(scratch[i*s.head.Dim:i*s.head.Dim:(i+1)*s.head.Dim], raw)
	}
	return scratch, nil
}

// Query finds neighbours by the graph when there is one (UseHNSW), else by a scan of everything.
func (s *Embedded) Query(ctx context.Context, vectors [][]float32, k int, f Filter) ([][]Neighbour, error) {
	if s.approximate {
		if err := s.extendGraph(ctx); err != nil {
			return nil, err
		}
		return s.graph.query(ctx, s, vectors, k, f)
	}
	return s.Scan(ctx, vectors, k, f)
}

// Scan is the exact search: every query against every vector, as matrix products of scanTile queries with blockPoints vectors.
func (s *Embedded) Scan(ctx context.Context, vectors [][]float32, k int, f Filter) ([][]Neighbour, error) {
	dim := s.head.Dim
	out := make([][]Neighbour, len(vectors))
	allowed := s.allowed(f)
	scratch := make([]float32, blockPoints*dim)
	for lo := 0; lo < len(vectors); lo += queryChunk {
		queries := vectors[lo:min(lo+queryChunk, len(vectors))]
		flat := make([]float32, len(queries)*dim)
		tops := make([]topK, len(queries))
		for i, q := range queries {
			if len(q) != dim {
				return nil, &MismatchError{s.path, "dimension", dim, len(q)}
			}
			copy(flat[i*dim:], q)
			normalise(flat[i*dim : (i+1)*dim])
			tops[i].k = k
		}
		for b := range s.held {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			vecs, err := s.block(b, scratch)
			if err != nil {
				return nil, err
			}
			n := len(vecs) / dim
			kernels.Parallel((len(queries)+scanTile-1)/scanTile, func(t int) {
				from, to := t*scanTile, min((t+1)*scanTile, len(queries))
				c := make([]float32, (to-from)*n)
				kernels.GemmSerial(false, true, to-from, n, dim, flat[from*dim:], dim, vecs, dim, c, n, false)
				for i := from; i < to; i++ {
					s.collect(&tops[i], c[(i-from)*n:(i-from+1)*n], b*blockPoints, allowed)
				}
			})
		}
		for i := range tops {
			out[lo+i] = tops[i].heap
			sortNeighbours(out[lo+i])
		}
	}
	return out, nil
}

func (s *Embedded) collect(t *topK, scores []float32, first int, allowed []bool) {
	floor := t.floor()
	for j, x := range scores {
		if x < floor || allowed != nil && !allowed[first+j] {
			continue
		}
		t.add(Neighbour{s.ids[first+j], x})
		floor = t.floor()
	}
}

// allowed marks the points a filter lets through; nil means all.
func (s *Embedded) allowed(f Filter) []bool {
	if len(f.Splits) == 0 && f.MinLength == 0 && f.MaxLength == 0 && f.Set == "" {
		return nil
	}
	out := make([]bool, len(s.ids))
	for i := range out {
		out[i] = f.match(s.split[i], int(s.length[i]), s.set[i])
	}
	return out
}
