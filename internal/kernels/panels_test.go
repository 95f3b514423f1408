package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func panelsOf(w []float32, n, k int, typ PanelType) *Panels {
	p := NewPanels(n, k, typ)
	p.Fill(func(i int, row []float32) { copy(row, w[i*k:]) })
	return p
}

func rounded(x []float32) []float32 {
	b := make([]uint16, len(x))
	F32ToBF16(b, x)
	y := make([]float32, len(x))
	BF16ToF32(y, b)
	return y
}

func TestPanelRows(t *testing.T) {
	levels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(13, 14))
		for _, s := range [][2]int{{1, 1}, {31, 15}, {32, 16}, {33, 17}, {100, 47}} {
			n, k := s[0], s[1]
			w := random(r, n*k)
			for typ, want := range map[PanelType][]float32{PanelF32: w, PanelBF16: rounded(w), PanelRows: rounded(w)} {
				p := panelsOf(w, n, k, typ)
				if p.Rows() != n || p.Cols() != k || p.Type() != typ || p.Bytes() < n*k*2 {
					t.Fatalf("%v: %d rows, %d columns, type %d, %d bytes", s, p.Rows(), p.Cols(), p.Type(), p.Bytes())
				}
				row := make([]float32, k)
				for i := range n {
					p.Row(row, i)
					if j := equalBits(row, want[i*k:(i+1)*k]); j >= 0 {
						t.Fatalf("%v type %d: weight (%d,%d) is %v", s, typ, i, j, row[j])
					}
				}
			}
		}
	})
}

// TestPanels: in f32 arithmetic, which PanelI16 has not, a product with panels is bit for bit the Gemm of the weights they hold, forward and
// backward, for any range of rows, for any number of rows of x, on any number of threads.
func TestPanels(t *testing.T) {
	levels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(15, 16))
		g := &guards{t: t}
		ms := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 29, 33, 34, 98, 130}
		for _, s := range [][2]int{{1, 1}, {31, 15}, {32, 16}, {33, 17}, {100, 47}, {160, 96}, {2 * backDepth, 40}, {70, forwardDepth + 3}, {40, forwardDepth + 32}} {
			n, k := s[0], s[1]
			w := random(r, n*k)
			for typ := PanelF32; typ <= PanelQ4; typ++ {
				if typ >= PanelQ8 && k%QuantBlock > 0 || typ == PanelI16 || typ == PanelRows {
					continue
				}
				p := panelsOf(w, n, k, typ)
				held := make([]float32, n*k)
				for i := range n {
					p.Row(held[i*k:], i)
				}
				for _, m := range ms {
					if m > 40 && k*n > 10000 {
						continue
					}
					n0 := 32 * r.IntN((n+31)/32)
					n1 := n0 + 1 + r.IntN(n-n0)
					if m%2 == 0 {
						n0, n1 = 0, n
					}
					SetThreads(1 + m%3)
					width, acc := n1-n0, m%4 > 1
					ld := width + m%2
					name := fmt.Sprintf("W %v type %d rows [%d,%d) m %d acc %v", s, typ, n0, n1, m, acc)
					x, y, dx := g.copy(random(r, m*k)), g.copy(random(r, (m-1)*ld+width)), g.copy(random(r, m*k))
					wantY, wantX := append([]float32{}, y...), append([]float32{}, dx...)
					dy := append([]float32{}, y...)
					p.MatMulRange(y, ld, x, m, n0, n1, acc, F32)
					p.MatMulBackwardRange(dx, dy, ld, m, n0, n1, acc, F32)
					g.check(name)
					GemmSerial(false, true, m, width, k, x, k, held[n0*k:], k, wantY, ld, acc)
					GemmSerial(false, false, m, k, width, dy, ld, held[n0*k:], k, wantX, k, acc)
					if i := equalBits(y, wantY); i >= 0 {
						t.Fatalf("%s: element %d is %v, want %v", name, i, y[i], wantY[i])
					}
					if i := equalBits(dx, wantX); i >= 0 {
						t.Fatalf("%s: backward, element %d is %v, want %v", name, i, dx[i], wantX[i])
					}
				}
				SetThreads(0)
			}
		}
	})
}

// TestPanelsBF16: where the level has the dot product, BF16 rounds both factors, adds in f32 with the odd element of each pair
// first, and its bits do not depend on rows or threads; elsewhere BF16 is the F32 product.
func TestPanelsBF16(t *testing.T) {
	levels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(17, 18))
		for _, s := range [][3]int{{1, 1}, {31, 15}, {33, 18}, {100, 47}, {200, 96}, {backDepth + 40, 64}, {100, 96, int(PanelQ8)}, {50, 320, int(PanelQ4)}} {
			n, k := s[0], s[1]
			const m = 150
			w, x, dy := random(r, n*k), random(r, m*k), random(r, m*n)
			p := panelsOf(w, n, k, PanelBF16)
			if s[2] > 0 {
				p = panelsOf(w, n, k, PanelType(s[2]))
				for i := range n {
					p.Row(w[i*k:], i)
				}
			}
			y, dx := make([]float32, m*n), make([]float32, m*k)
			SetThreads(2)
			p.MatMul(y, Rows{F: x}, m, false, BF16, Tail{})
			p.MatMulBackward(dx, Rows{F: dy}, m, false, BF16, nil)
			SetThreads(0)
			if active.Load().tileDot == nil {
				wantY, wantX := make([]float32, m*n), make([]float32, m*k)
				p.MatMul(wantY, Rows{F: x}, m, false, F32, Tail{})
				p.MatMulBackward(wantX, Rows{F: dy}, m, false, F32, nil)
				if equalBits(y, wantY) >= 0 || equalBits(dx, wantX) >= 0 {
					t.Fatalf("%v: without the instruction BF16 is not F32", s)
				}
				continue
			}
			checkPairs(t, fmt.Sprint(s, " forward"), y, rounded(x), k, 1, rounded(w), k, 1, m, n, k)
			checkPairs(t, fmt.Sprint(s, " backward"), dx, rounded(dy), n, 1, rounded(w), 1, k, m, k, n)
			for _, rows := range []int{1, 2, 5, 13, 14, 15, 16, 29} {
				y1, dx1 := make([]float32, rows*n), make([]float32, rows*k)
				p.MatMul(y1, Rows{F: x}, rows, false, BF16, Tail{})
				p.MatMulBackward(dx1, Rows{F: dy}, rows, false, BF16, nil)
				if equalBits(y1, y) >= 0 || equalBits(dx1, dx) >= 0 {
					t.Fatalf("%v: bits differ with %d rows", s, rows)
				}
			}
			c := append([]float32{}, y...)
			p.MatMul(c, Rows{F: make([]float32, m*k)}, m, true, BF16, Tail{})
			if equalBits(c, y) >= 0 {
				t.Fatalf("%v: adding a product with zeros changed something", s)
			}
		}
	})
}

// checkPairs compares c(m,n) with sums over pairs of l of a[i*ars+l*acs]*b[j*brs+l*bcs] in the order of VDPBF16PS or, on the
// tile unit, of TDPBF16PS: within 32 columns the even and the odd products apart, then their sum.
func checkPairs(t *testing.T, name string, c, a []float32, ars, acs int, b []float32, brs, bcs, m, n, k int) {
	t.Helper()
	for i := range m {
		for j := range n {
			var sum float32
			fma := func(sum float32, l int) float32 {
				if l >= k {
					return sum
				}
				return float32(math.FMA(float64(a[i*ars+l*acs]), float64(b[j*brs+l*bcs]), float64(sum))) // exact in float64: products of bf16 have 16 bits
			}
			l := 0
			// Whole groups of 16 pairs; an odd k has its last element in a pair with zero.
			for ; Active() == AMX && l+32 <= (k+1)&^1; l += 32 {
				var even, odd float32
				for p := l; p < l+32; p += 2 {
					even, odd = fma(even, p), fma(odd, p+1)
				}
				sum += even + odd
			}
			for ; l < k; l += 2 {
				sum = fma(fma(sum, l+1), l)
			}
			// float64 and then float32 rounds twice where the sum lies on a tie, hence not bit for bit
			if d := math.Abs(float64(c[i*n+j] - sum)); !(d <= math.Abs(float64(sum))*0x1p-20+0x1p-20) {
				t.Fatalf("%s: element (%d,%d) is %v, want %v", name, i, j, c[i*n+j], sum)
			}
		}
	}
}

// TestFillBlocks: a weight is scale*q, or scale*q + offset rounded once, whatever reads it.
func TestFillBlocks(t *testing.T) {
	levels(t, func(t *testing.T) {
		const n, k = 45, 96
		for _, typ := range []PanelType{PanelQ8, PanelQ4} {
			r := rand.New(rand.NewPCG(19, 20))
			want := make([]float32, n*k)
			q := make([]int8, n*k)
			scales, offsets := random(r, n*k/QuantBlock), random(r, n*k/QuantBlock)
			for i := range q {
				q[i] = int8(r.IntN(256) - 128)
				s := scales[i/QuantBlock]
				want[i] = s * float32(q[i])
				if typ == PanelQ4 {
					q[i] &= 15
					want[i] = float32(math.FMA(float64(s), float64(q[i]), float64(offsets[i/QuantBlock])))
				}
			}
			p := NewPanels(n, k, typ)
			p.FillBlocks(func(i int, dst []int8, scale, offset []float32) {
				copy(dst, q[i*k:])
				copy(scale, scales[i*k/QuantBlock:])
				copy(offset, offsets[i*k/QuantBlock:])
			})
			row := make([]float32, k)
			unit, y := make([]float32, k*k), make([]float32, k*n)
			for i := range k {
				unit[i*k+i] = 1
			}
			p.MatMul(y, Rows{F: unit}, k, false, F32, Tail{})
			for i := range n {
				p.Row(row, i)
				for j, v := range row {
					if v != want[i*k+j] || y[j*n+i] != v {
						t.Fatalf("type %d: weight (%d,%d) is %v and %v, want %v", typ, i, j, v, y[j*n+i], want[i*k+j])
					}
				}
			}
		}
	})
}

// TestQuantising: an element is off by half a step of its block at most; a block with a NaN is NaN and spares its neighbours.
func TestQuantising(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	const n, k = 33, 128
	w := random(r, n*k)
	clear(w[5*k : 5*k+32])
	w[7*k+40] = float32(math.NaN())
	for typ, levels := range map[PanelType]float64{PanelQ8: 127, PanelQ4: 15} {
		p := panelsOf(w, n, k, typ)
		row := make([]float32, k)
		for i := range n {
			p.Row(row, i)
			for j, v := range row {
				block := w[i*k+j/32*32:][:32]
				if i == 7 && j/32 == 1 {
					if v == v {
						t.Errorf("type %d: (%d,%d) is %v beside a NaN", typ, i, j, v)
					}
					continue
				}
				lo, hi := 0.0, 0.0
				if typ == PanelQ4 {
					lo, hi = float64(block[0]), float64(block[0])
				}
				for _, x := range block {
					lo, hi = math.Min(lo, float64(x)), math.Max(hi, float64(x))
				}
				step := math.Max(hi, -lo) / levels
				if typ == PanelQ4 {
					step = (hi - lo) / levels
				}
				if !(math.Abs(float64(v)-float64(w[i*k+j])) <= step/2*1.0001) {
					t.Errorf("type %d: (%d,%d) is %v, was %v", typ, i, j, v, w[i*k+j])
				}
			}
		}
	}
}

// TestMatMulTogether: products that share the threads have the bits of each alone.
func TestMatMulTogether(t *testing.T) {
	levels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(61, 62))
		const k = 96
		for _, c := range []Compute{F32, BF16, I16} {
			for _, typ := range []PanelType{c.Panel(), PanelQ8, PanelQ4} {
				for _, m := range []int{1, 5, 40} {
					x := Rows{F: random(r, m*k)}
					var together []Product
					var alone [][]float32
					for i, n := range []int{576, 192, 30} {
						p := panelsOf(random(r, n*k), n, k, typ)
						tail := Tail{Bias: random(r, n)}
						y := make([]float32, m*n)
						if i == 1 && p.HasHalf(c) {
							half := make([]uint16, HalfLen(m, n))
							p.MatMulHalf(half, x, m, tail)
							BF16ToF32(y, half[:m*n])
							together = append(together, Product{P: p, X: x, Half: make([]uint16, len(half)), Tail: tail})
						} else {
							p.MatMul(y, x, m, false, c, tail)
							together = append(together, Product{P: p, X: x, Dst: make([]float32, m*n), Tail: tail})
						}
						alone = append(alone, y)
					}
					SetThreads(3)
					MatMulTogether(together, m, c)
					SetThreads(0)
					for i, p := range together {
						got := p.Dst
						if p.Half != nil {
							got = make([]float32, len(alone[i]))
							BF16ToF32(got, p.Half[:len(got)])
						}
						if at := equalBits(got, alone[i]); at >= 0 {
							t.Fatalf("%v, type %d, %d rows: product %d, element %d is %v, alone %v", c, typ, m, i, at, got[at], alone[i][at])
						}
					}
				}
			}
		}
	})
}

// TestPastCaches: a large rounded result, which may pass by the caches, has the bits of its parts.
func TestPastCaches(t *testing.T) {
	pairLevels(t, func(t *testing.T, r *rand.Rand, _ *guards) {
		const m, n, k, part = 700, 2048, 64, 128
		p := panelsOf(random(r, n*k), n, k, PanelBF16)
		x, bias := random(r, m*k), random(r, n)
		want := make([]uint16, HalfLen(m, n))
		for i := 0; i < m; i += part {
			p.MatMulHalf(want[HalfLen(i, n):], Rows{F: x[i*k:]}, min(part, m-i), Tail{Bias: bias})
		}
		room := asU16(Alloc(HalfLen(m, n)/2 + 16))
		for _, at := range []int{0, 2} { // at the beginning of a cache line, and not
			got := room[at:][:HalfLen(m, n)]
			clear(room)
			p.MatMulHalf(got, Rows{F: x}, m, Tail{Bias: bias})
			sameRows(t, fmt.Sprintf("from %d on", at), got, want, m, n)
			for i, v := range room {
				if (i < at || i >= at+len(got)) && v != 0 {
					t.Fatalf("wrote outside, at %d", i)
				}
			}
		}
	})
}
