package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// TestStrips: products of many rows, in one block or several, cut for any number of threads, with a low rank and added to what is there,
// have the bits of products of few rows, and write nothing beside the result.
func TestStrips(t *testing.T) {
	const rank = 5
	levels(t, func(t *testing.T) {
		g := &guards{t: t}
		r := rand.New(rand.NewPCG(41, 42))
		for _, s := range [][2]int{{33, forwardDepth + 5}, {100, 94}, {backDepth + 33, 40}, {96, wideDepth + 13}} {
			n, k := s[0], s[1]
			w, v, a := random(r, n*k), random(r, n*rank), random(r, rank*k)
			for _, typ := range []PanelType{PanelF32, PanelBF16, PanelI16} {
				p := panelsOf(w, n, k, typ)
				for i, m := range []int{stripBlock + 1, 64, stripBlock - 1, 33, stripBlock, 2 * stripBlock, 3*stripBlock + 1, wideBlock, 2*wideBlock + 1} {
					if testing.Short() && i > 0 && m != 33 {
						continue
					}
					SetThreads([]int{2, 1, 5}[i%3])
					x, dy, u := random(r, m*k), random(r, m*n), random(r, m*rank)
					y, dx := g.copy(random(r, m*n)), g.copy(random(r, m*k))
					wantY, wantX := append([]float32{}, y...), append([]float32{}, dx...)
					product := func(y, dx []float32, from, rows int) {
						x, dy, u := x[from*k:][:rows*k], dy[from*n:][:rows*n], u[from*rank:][:rows*rank]
						p.MatMul(y, Rows{F: x}, rows, true, F32, Tail{Low: &LowRank{R: rank, U: u, V: v}})
						p.MatMulBackward(dx, Rows{F: dy}, rows, true, F32, &LowRank{R: rank, U: u, V: a})
					}
					product(y, dx, 0, m)
					name := fmt.Sprintf("W %v type %d, %d rows", s, typ, m)
					g.check(name)
					for from := 0; from < m; from += decodeRows {
						product(wantY[from*n:], wantX[from*k:], from, min(decodeRows, m-from))
					}
					SetThreads(0)
					if i := equalBits(y, wantY); i >= 0 {
						t.Fatalf("%s: element %d is %v, want %v", name, i, y[i], wantY[i])
					}
					if i := equalBits(dx, wantX); i >= 0 {
						t.Fatalf("%s: backward, element %d is %v, want %v", name, i, dx[i], wantX[i])
					}
				}
			}
		}
	})
}

// TestCutStrips: where panels are too few to share, rows are cut, all of them once, in strips of many rows.
func TestCutStrips(t *testing.T) {
	defer SetThreads(0)
	for i := range 6 {
		threads, h := []int{2, 4, 16}[i%3], []heights{{stripBlock, stripBlock}, {wideBlock, wideBlock}}[i/3]
		most, grain, unit := h.block, h.grain(), h.together()
		SetThreads(threads)
		for _, m := range []int{33, 64, 100, 256, most + 1, 1000} {
			for _, panels := range []int{1, 3, 6, 18, 1536} {
				c := h.cut(m, panels, 576)
				if enough := min(4*threads, (panels+unit-1)/unit*(m/decodeRows)); c.items() < enough {
					t.Errorf("%d threads, %d rows, %d panels: %d items, want %d", threads, m, panels, c.items(), enough)
				}
				done := make([]int, m*panels)
				for i := range c.items() {
					m0, m1, j0, j1 := c.bounds(i)
					if m1-m0 < decodeRows-grain || m1-m0 > most {
						t.Errorf("%d threads, %d rows, %d panels: a strip of %d rows", threads, m, panels, m1-m0)
					}
					if j0%unit != 0 {
						t.Errorf("%d threads, %d rows, %d panels: an item begins at panel %d", threads, m, panels, j0)
					}
					for r := m0; r < m1; r++ {
						for j := j0; j < j1; j++ {
							done[r*panels+j]++
						}
					}
				}
				for i, n := range done {
					if n != 1 {
						t.Fatalf("%d threads, %d rows, %d panels: row %d of panel %d is made %d times", threads, m, panels, i/panels, i%panels, n)
					}
				}
			}
		}
	}
}

// TestWidenPairs: every bf16 there is, where it belongs.
func TestWidenPairs(t *testing.T) {
	levels(t, func(t *testing.T) {
		im := active.Load()
		if im.widenPairs == nil {
			t.Skip("no strips in float32")
		}
		g := &guards{t: t}
		src := make([]uint16, 1<<16)
		for i := range src {
			src[i] = uint16(i * 40503)
		}
		dst := g.make(len(src))
		im.widenPairs(dst, src, len(src)/64)
		g.check("pairs")
		for i, v := range src {
			at := i/64*64 + i%2*32 + i%64/2
			if math.Float32bits(dst[at]) != uint32(v)<<16 {
				t.Fatalf("pair %d: %04x became %08x", i/2, v, math.Float32bits(dst[at]))
			}
		}
	})
}
