//go:build amd64 && !noasm

package kernels

import "slices"

// outerWork is the argument of outerAMX. The generator (_asm/outer.go) counts on fields of eight bytes in this order.
type outerWork struct {
	cfg    *tileConfig
	a      *uint32 // tiles of 1024 bytes
	x      *uint16
	ldx    int // in bytes
	blocks int
	acc    int      // whether sums start from c
	c      *float32 // sums, (16, 16) each
	wide   int      // 32 columns of x so many times, up to outerWide
}

const outerWide = 3

//go:noescape
func outerAMX(w *outerWork)

// outerConfigs are for blocks of so many rows.
var outerConfigs [17]tileConfig

func init() {
	for rows := 1; rows <= 16; rows++ {
		t := &outerConfigs[rows]
		t.palette = 1
		for tile := range 8 {
			t.rows[tile], t.colBytes[tile] = 16, 64
			if tile > outerWide { // of x
				t.rows[tile] = uint8(rows)
			}
		}
		t.colBytes[outerWide] = uint16(4 * rows)
	}
}

// outerTiles is AddOuterPairs on the tile unit without packing x. Numbers of x that lie side by side in a row are a pair to it, of which
// one meets a zero: a tile has eight rows of u against even columns of x and the same eight against odd ones. So a number that is not
// finite spoils its neighbour's sum, too.
func outerTiles(g [][]float32, col int, turned []uint16, ld int, x []uint16, ldx, m, w int) {
	blocks := (m + 15) / 16
	eights := (len(g) + 7) / 8
	s := getScratch()
	defer putScratch(s)
	a := asU32(s.panel(eights * blocks * 256))
	if len(g)%8 > 0 {
		clear(a[(eights-1)*blocks*256:])
	}
	for i := range g {
		_ = turned[i*ld+16*blocks-1]
		spreadHalvesAVX512(&a[i/8*blocks*256+i%8*16], &turned[i*ld], blocks)
	}
	_ = x[(m-1)*ldx+w-1]
	Parallel((w/32+outerWide-1)/outerWide, func(item int) {
		s := getScratch()
		defer putScratch(s)
		from := item * outerWide
		n := min(outerWide, w/32-from)
		for e := range eights {
			job := outerWork{a: &a[e*blocks*256], x: &x[32*from], ldx: 2 * ldx, c: &s.c[0], wide: n}
			if job.blocks = m / 16; job.blocks > 0 {
				job.cfg = &outerConfigs[16]
				outerAMX(&job)
				job.acc = 1
			}
			if rest := m % 16; rest > 0 {
				at := m / 16
				job.cfg, job.a, job.x, job.blocks = &outerConfigs[rest], &a[(e*blocks+at)*256], &x[16*at*ldx+32*from], 1
				outerAMX(&job)
			}
			for j := range n {
				addEights(g[8*e:min(len(g), 8*(e+1))], 32*(from+j), col, s.c[256*j:][:256])
			}
		}
	})
}

// addEights adds 8 rows of even and 8 of odd columns of 32, (16,16), to those of g from the given one on.
func addEights(g [][]float32, from, col int, c []float32) {
	if col == 8 && len(g) == 8 && !slices.ContainsFunc(g, func(to []float32) bool { return to == nil }) && &g[7][0] == &g[0][7] {
		var turned [256]float32 // elements of a column are side by side in g
		transpose16AVX512(&asU32(turned[:])[0], 16, &asU32(c)[0], 16, 1)
		Add(g[0][from*col:][:256], turned[:])
		return
	}
	for i, to := range g {
		if to == nil {
			continue
		}
		even, odd := c[16*i:][:16], c[16*(8+i):][:16]
		to = to[from*col:]
		for j := range even {
			to[2*j*col] += even[j]
			to[(2*j+1)*col] += odd[j]
		}
	}
}
