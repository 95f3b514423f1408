package ops

import (
	"plumb/internal/batch"
	"plumb/internal/kernels"
)

// Dropout names the stream of masks of one optimiser step. An element's fate depends on (seed, step,
// sample, position on the path, layer, column) and on nothing else: not on what else is in the batch.
type Dropout struct {
	Seed, Step uint64
	keys       []uint64 // one a row
}

// For prepares the masks for the rows of b.
func (d Dropout) For(b *batch.Tree) Dropout {
	d.keys = make([]uint64, b.Rows())
	for _, s := range b.Segs {
		for i := range s.Len {
			k := mix(d.Seed ^ mix(d.Step+1))
			k = mix(k ^ mix(s.Key+0x51ed27))
			d.keys[s.Start+i] = mix(k ^ uint64(s.Pos+i))
		}
	}
	return d
}

// Rows prepares the masks for some of the rows.
func (d Dropout) Rows(rows []int) Dropout {
	keys := make([]uint64, len(rows))
	for i, r := range rows {
		keys[i] = d.keys[r]
	}
	d.keys = keys
	return d
}

// apply writes x(rows, cols) with elements dropped with probability p, and the rest scaled by
// 1/(1-p), to dst, which may be x.
func (d Dropout) apply(dst, x []float32, rows, cols int, p float32, layer uint64) {
	limit := uint64(float64(p) * (1 << 32))
	scale := 1 / (1 - p)
	kernels.Parallel(rows, func(r int) {
		state := mix(d.keys[r] ^ mix(layer+0x9e37))
		for c := 0; c < cols; c++ {
			state += 0x9e3779b97f4a7c15
			if mix(state)>>32 < limit {
				dst[r*cols+c] = 0
			} else {
				dst[r*cols+c] = x[r*cols+c] * scale
			}
		}
	})
}

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
func mix(z uint64) uint64 {
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}
