package kernels

import (
	"math/rand/v2"
	"testing"
)

// TestWide: wide strips of any number of rows and steps have the bits of tiles, panel by panel, write nothing beside their columns, and
// fetch anything meanwhile.
func TestWide(t *testing.T) {
	levels(t, func(t *testing.T) {
		im := active.Load()
		if im.wide == nil {
			t.Skip("no wide strips")
		}
		g := &guards{t: t}
		r := rand.New(rand.NewPCG(51, 52))
		const more = 5 // numbers between rows of a, between panels, and between rows of c
		for m := 1; m <= 3*wideRows+1; m++ {
			for _, k := range []int{1, 2, wideUnroll - 1, wideUnroll, wideUnroll + 1, 3*wideUnroll + 5} {
				lda, apart, ldc := k+more, 32*k+more, 64+more
				a, b := g.copy(random(r, (m-1)*lda+k)), g.copy(random(r, apart+32*k))
				before := random(r, (m-1)*ldc+64)
				for i, next := range [][]float32{nil, b[:1], b, make([]float32, 1<<14)} {
					acc := i%2 == 1
					c, want := g.copy(before), append([]float32{}, before...)
					im.wide(m, k, a, lda, b, apart, c, ldc, acc, next)
					for row := range m {
						for j := range 2 {
							im.tile(1, k, a[row*lda:], lda, 1, b[j*apart:], 32, want[row*ldc+32*j:], ldc, acc, 0)
						}
					}
					if at := equalBits(c, want); at >= 0 {
						t.Fatalf("%d rows, %d steps, acc %v: element %d is %v, want %v", m, k, acc, at, c[at], want[at])
					}
				}
				g.check("wide strip")
			}
		}
	})
}

// TestWidePanels: products of an odd number of panels, or of columns that do not fill the last, in ranges and with bias, have the bits of
// products of few rows.
func TestWidePanels(t *testing.T) {
	levels(t, func(t *testing.T) {
		g := &guards{t: t}
		r := rand.New(rand.NewPCG(53, 54))
		const k, m = 96, wideBlock + decodeRows + 7
		for _, n := range []int{32, 64, 80, 96, 130, 224} {
			w, x, bias := random(r, n*k), random(r, m*k), random(r, n)
			for typ := PanelF32; typ <= PanelQ4; typ++ {
				if typ == PanelRows || typ == PanelI16 {
					continue
				}
				p := panelsOf(w, n, k, typ)
				for _, n0 := range []int{0, 32} {
					if n0 >= n {
						continue
					}
					SetThreads(1 + n%3)
					y, want := g.make(m*(n-n0)), make([]float32, m*(n-n0))
					whole, few := g.make(m*n), make([]float32, m*n)
					p.MatMulRange(y, n-n0, x, m, n0, n, false, F32)
					p.MatMul(whole, Rows{F: x}, m, false, F32, Tail{Bias: bias})
					g.check("panels")
					for i := 0; i < m; i += decodeRows {
						rows := min(decodeRows, m-i)
						p.MatMulRange(want[i*(n-n0):], n-n0, x[i*k:], rows, n0, n, false, F32)
						p.MatMul(few[i*n:], Rows{F: x[i*k:]}, rows, false, F32, Tail{Bias: bias})
					}
					SetThreads(0)
					if i := equalBits(y, want); i >= 0 {
						t.Fatalf("%d columns from %d, type %d: element %d is %v, want %v", n, n0, typ, i, y[i], want[i])
					}
					if i := equalBits(whole, few); i >= 0 {
						t.Fatalf("%d columns, type %d, with a bias: element %d is %v, want %v", n, typ, i, whole[i], few[i])
					}
				}
			}
		}
	})
}
