package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

var gemmShapes = [][3]int{
	{1, 1, 1}, {1, 32, 7}, {2, 16, 5}, {3, 33, 16}, {5, 17, 31}, {9, 31, 17}, {13, 48, 1}, {14, 8, 100}, {15, 64, 33},
	{27, 95, 64}, {33, 70, 65}, {150, 40, 33}, {61, 16, kBlock + 5}, {230, 300, 40},
}

// TestGemm compares every form of the product with float64 sums, within guard cells and with gaps between rows.
func TestGemm(t *testing.T) {
	levels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		g := &guards{t: t}
		for _, s := range gemmShapes {
			m, n, k := s[0], s[1], s[2]
			for form := range 8 {
				ta, tb, acc := form&1 > 0, form&2 > 0, form&4 > 0
				ra, lda, rb, ldb, ldc := m, k+3, k, n+1, n+2
				if ta {
					ra, lda = k, m+2
				}
				if tb {
					rb, ldb = n, k+4
				}
				a, b, c := g.copy(random(r, (ra-1)*lda+lda-2)), g.copy(random(r, (rb-1)*ldb+ldb-1)), g.copy(random(r, (m-1)*ldc+n))
				was := append([]float32{}, c...)
				Gemm(ta, tb, m, n, k, a, lda, b, ldb, c, ldc, acc)
				name := fmt.Sprintf("%v ta %v tb %v acc %v", s, ta, tb, acc)
				g.check(name)
				for i := range m {
					for j := range ldc {
						if j >= n {
							if p := i*ldc + j; p < len(c) && c[p] != was[p] {
								t.Fatalf("%s: wrote behind row %d", name, i)
							}
							continue
						}
						var sum float64
						if acc {
							sum = float64(was[i*ldc+j])
						}
						mag := math.Abs(sum)
						for l := range k {
							pa, pb := i*lda+l, l*ldb+j
							if ta {
								pa = l*lda + i
							}
							if tb {
								pb = j*ldb + l
							}
							v := float64(a[pa]) * float64(b[pb])
							sum += v
							mag += math.Abs(v)
						}
						if d := math.Abs(float64(c[i*ldc+j]) - sum); !(d <= mag*float64(k+1)*0x1p-24) {
							t.Fatalf("%s: element (%d,%d) is %v, want %v", name, i, j, c[i*ldc+j], sum)
						}
					}
				}
			}
		}
	})
}

// TestGemmBits: the bits of an element depend on its row of a, its column of b and the level's arithmetic, and on
// nothing else: the form, the number of rows and columns beside it, threads, and which of the AVX levels runs.
func TestGemmBits(t *testing.T) {
	const n, k = 147, 201
	var avx []float32
	levels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 12))
		const m = 300
		a, b := random(r, m*k), random(r, n*k)
		at, bt := transposed(a, m, k), transposed(b, k, n)
		whole := make([]float32, m*n)
		GemmSerial(false, false, m, n, k, a, k, b, n, whole, n, false)
		if Active() >= AVX2 {
			if avx == nil {
				avx = whole
			}
			if i := equalBits(whole, avx); i >= 0 {
				t.Fatalf("AVX levels differ at %d: %v and %v", i, whole[i], avx[i])
			}
		}
		for _, threads := range []int{1, 2, 5} {
			SetThreads(threads)
			for _, rows := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 28, 29, 33, 127, 128, 129, m} {
				for form := range 4 {
					ta, tb := form&1 > 0, form&2 > 0
					x, lda, y, ldb := a, k, b, n
					if ta {
						x, lda = at, m
					}
					if tb {
						y, ldb = bt, k
					}
					for _, j := range []int{0, 32, 77} {
						c := make([]float32, rows*(n-j))
						yj := y[j:]
						if tb {
							yj = y[j*ldb:]
						}
						Gemm(ta, tb, rows, n-j, k, x, lda, yj, ldb, c, n-j, false)
						for i := range rows {
							if p := equalBits(c[i*(n-j):(i+1)*(n-j)], whole[i*n+j:(i+1)*n]); p >= 0 {
								t.Fatalf("threads %d rows %d form %d from column %d: (%d,%d) differs", threads, rows, form, j, i, p)
							}
						}
					}
				}
			}
		}
		SetThreads(0)
		// adding the second half of k to the first is the whole
		c := make([]float32, m*n)
		Gemm(false, false, m, n, 100, a, k, b, n, c, n, false)
		Gemm(false, false, m, n, k-100, a[100:], k, b[100*n:], n, c, n, true)
		if i := equalBits(c, whole); i >= 0 {
			t.Fatalf("in two halves of k: %d differs", i)
		}
	})
}

// transposed is x(rows,cols)ᵀ.
func transposed(x []float32, rows, cols int) []float32 {
	y := make([]float32, len(x))
	for i := range rows {
		for j := range cols {
			y[j*rows+i] = x[i*cols+j]
		}
	}
	return y
}

func TestGemmOfNothing(t *testing.T) {
	levels(t, func(t *testing.T) {
		c := []float32{1, 2}
		Gemm(false, false, 1, 2, 0, nil, 0, nil, 2, c, 2, true)
		if c[0] != 1 || c[1] != 2 {
			t.Errorf("adding an empty sum gave %v", c)
		}
		Gemm(false, false, 0, 2, 3, nil, 3, make([]float32, 6), 2, nil, 2, false)
		Gemm(false, false, 1, 2, 0, nil, 0, nil, 2, c, 2, false)
		if c[0] != 0 || c[1] != 0 {
			t.Errorf("an empty sum is %v", c)
		}
	})
}

// TestProductsPropagate: a NaN or Inf in one factor reaches every element it belongs to, even against zeros.
func TestProductsPropagate(t *testing.T) {
	levels(t, func(t *testing.T) {
		const m, n, k = 20, 50, 30
		for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
			a, b, c := make([]float32, m*k), make([]float32, k*n), make([]float32, m*n)
			a[7*k+29] = bad
			Gemm(false, false, m, n, k, a, k, b, n, c, n, false)
			for i, v := range c {
				if (v != v) != (i/n == 7) {
					t.Fatalf("%v in row 7 of a: element %d is %v", bad, i, v)
				}
			}
			for _, typ := range []PanelType{PanelF32, PanelBF16} {
				p := NewPanels(n, k, typ)
				p.Fill(func(j int, row []float32) {
					clear(row)
					if j == 40 {
						row[3] = bad
					}
				})
				for _, arith := range []Compute{F32, BF16} {
					clear(a)
					p.MatMul(c, Rows{F: a}, m, false, arith, Tail{})
					for i, v := range c {
						if (v != v) != (i%n == 40) {
							t.Fatalf("%v in weight row 40, type %d, compute %d: element %d is %v", bad, typ, arith, i, v)
						}
					}
					clear(c)
					p.MatMulBackward(a, Rows{F: c}, m, false, arith, nil)
					for i, v := range a {
						if (v != v) != (i%k == 3) {
							t.Fatalf("%v in weight column 3, type %d, compute %d: element %d is %v", bad, typ, arith, i, v)
						}
					}
				}
			}
		}
	})
}

// TestGemmPanels: the same bits as Gemm on b stored in rows.
func TestGemmPanels(t *testing.T) {
	levels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(23, 24))
		for _, s := range [][3]int{{1, 1, 1}, {3, 5, 64}, {17, 2, 31}} {
			m, panels, k := s[0], s[1], s[2]
			n := 32 * panels
			a, b := random(r, m*(k+2)), random(r, k*n)
			packed, c, want := make([]float32, k*n), make([]float32, m*(n+3)), make([]float32, m*(n+3))
			for l := range k {
				for j := range n {
					packed[j/32*k*32+l*32+j%32] = b[l*n+j]
				}
			}
			GemmPanels(m, panels, k, a, k+2, packed, c, n+3)
			GemmSerial(false, false, m, n, k, a, k+2, b, n, want, n+3, false)
			if i := equalBits(c, want); i >= 0 {
				t.Fatalf("%v: element %d is %v, want %v", s, i, c[i], want[i])
			}
		}
	})
}
