package kernels

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestGemm compares every form of the product with float64 sums.
func TestGemm(t *testing.T) {
	levels(t, testGemm)
}

func testGemm(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range [][3]int{{1, 1, 1}, {1, 32, 7}, {3, 33, 16}, {9, 31, 17}, {33, 70, 65}, {150, 40, 33}, {14, 8, 100}} {
		m, n, k := s[0], s[1], s[2]
		for form := range 8 {
			ta, tb, acc := form&1 > 0, form&2 > 0, form&4 > 0
			a, b, c := random(r, m*k), random(r, k*n), random(r, m*n)
			lda, ldb := k, n
			if ta {
				lda = m
			}
			if tb {
				ldb = k
			}
			want := make([]float64, m*n)
			bound := make([]float64, m*n)
			for i := range m {
				for j := range n {
					var sum, mag float64
					if acc {
						sum = float64(c[i*n+j])
						mag = math.Abs(sum)
					}
					for l := range k {
						var u, v float32
						if ta {
							u = a[l*lda+i]
						} else {
							u = a[i*lda+l]
						}
						if tb {
							v = b[j*ldb+l]
						} else {
							v = b[l*ldb+j]
						}
						sum += float64(u) * float64(v)
						mag += math.Abs(float64(u) * float64(v))
					}
					want[i*n+j], bound[i*n+j] = sum, mag*float64(k+1)*0x1p-24
				}
			}
			Gemm(ta, tb, m, n, k, a, lda, b, ldb, c, n, acc)
			for i, v := range c {
				if !(math.Abs(float64(v)-want[i]) <= bound[i]) {
					t.Fatalf("%v ta %v tb %v acc %v: element %d is %v, want %v", s, ta, tb, acc, i, v, want[i])
				}
			}
			if ta || acc {
				continue
			}
			// the same product with frozen weights
			w := b
			if !tb { // panels hold the transpose
				w = make([]float32, n*k)
				for l := range k {
					for j := range n {
						w[j*k+l] = b[l*n+j]
					}
				}
			}
			p := NewPanels(n, k, PanelF32)
			p.Fill(func(j int, dst []float32) { copy(dst, w[j*k:]) })
			d := make([]float32, m*n)
			p.MatMul(d, a, m, false, F32)
			for i, v := range d {
				if v != c[i] {
					t.Fatalf("%v panels: element %d is %v, want %v", s, i, v, c[i])
				}
			}
			dx, dx2 := make([]float32, m*k), make([]float32, m*k)
			p.MatMulBackward(dx, d, m, false, F32)
			Gemm(false, false, m, k, n, d, n, w, k, dx2, k, false)
			for i, v := range dx {
				if v != dx2[i] {
					t.Fatalf("%v backward: element %d is %v, want %v", s, i, v, dx2[i])
				}
			}
			pb := NewPanels(n, k, PanelBF16)
			pb.Fill(func(j int, dst []float32) { copy(dst, w[j*k:]) })
			for i, v := range w {
				w[i] = F32FromBF16(ToBF16(v))
			}
			pb.MatMul(d, a, m, false, F32)
			Gemm(false, true, m, n, k, a, k, w, k, c, n, false)
			for i, v := range d {
				if v != c[i] {
					t.Fatalf("%v bf16 panels: element %d is %v, want %v", s, i, v, c[i])
				}
			}
			pb.MatMulBackward(dx, d, m, false, F32)
			Gemm(false, false, m, k, n, d, n, w, k, dx2, k, false)
			for i, v := range dx {
				if v != dx2[i] {
					t.Fatalf("%v bf16 backward: element %d is %v, want %v", s, i, v, dx2[i])
				}
			}
		}
	}
}
