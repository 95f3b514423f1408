package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// pairLevels runs f on the levels that multiply pairs of bf16.
func pairLevels(t *testing.T, f func(t *testing.T, r *rand.Rand, g *guards)) {
	levels(t, func(t *testing.T) {
		if !DotsPairs() {
			t.Skip("no products of pairs at this level")
		}
		f(t, rand.New(rand.NewPCG(31, 32)), &guards{t: t})
	})
}

func (g *guards) half(n int) []uint16 { return asU16(g.make((n + 1) / 2))[:n] }

// sameRows compares rows of n numbers in the layout of HalfRows.
func sameRows(t *testing.T, what string, got, want []uint16, m, n int) {
	t.Helper()
	for i := range m {
		if at := HalfLen(i, n); !slices.Equal(got[at:at+n], want[at:at+n]) {
			t.Fatalf("%s: row %d differs", what, i)
		}
	}
}

// nearRounded reports the first of got that is not want rounded to bf16, with a relative error of 2e-4 before and an absolute
// one of slack.
func nearRounded(got []uint16, want []float32, slack float64) int {
	for i, h := range got[:len(want)] {
		g, w := float64(F32FromBF16(h)), float64(want[i])
		if !(math.Abs(g-w) <= math.Abs(w)*(0x1p-8+0x1p-12)+slack) && g != w {
			return i
		}
	}
	return -1
}

// TestMatMulHalf: a product that is rounded in its tiles has the bits of one that is rounded afterwards.
func TestMatMulHalf(t *testing.T) {
	pairLevels(t, func(t *testing.T, r *rand.Rand, g *guards) {
		shapes := [][3]int{{1, 32, 64}, {5, 96, 33}, {70, 64, 2*pairDepth + 64}, {150, 320, 576}, {33, 32, 352}}
		for m := 2; m < 16; m++ {
			shapes = append(shapes, [3]int{m, 64, 32})
		}
		for _, s := range shapes {
			m, n, k := s[0], s[1], s[2]
			for typ := PanelBF16; typ <= PanelQ4; typ++ {
				if typ == PanelI16 || typ == PanelRows || typ >= PanelQ8 && k%QuantBlock != 0 {
					continue
				}
				p := panelsOf(random(r, n*k), n, k, typ)
				x, bias := random(r, m*k), random(r, n)
				u, v := make([]uint16, m*32), make([]uint16, n*32)
				F32ToBF16(u, random(r, len(u)))
				F32ToBF16(v, random(r, len(v)))
				packed := make([]uint16, len(v))
				PairColumns(packed, v, 32, n, 32)
				for act := NoActivation; act <= ActGELUTanh; act++ {
					tail := Tail{Low: &LowRank{R: 8, Halves: true, UB: u, VB: packed}, Bias: bias, Act: act}
					SetThreads(1 + m%3)
					got, want, y := g.half(HalfLen(m, n)), make([]uint16, HalfLen(m, n)), make([]float32, m*n)
					p.MatMulHalf(got, Rows{F: x}, m, tail)
					p.MatMul(y, Rows{F: x}, m, false, BF16, tail)
					SetThreads(0)
					if act == NoActivation {
						HalfRows(want, y, m, n)
						sameRows(t, "product", got, want, m, n)
						continue
					}
					GELU(y, y, act == ActGELUTanh)
					for i := range m {
						if at := nearRounded(got[HalfLen(i, n):], y[i*n:][:n], 4e-5); at >= 0 {
							t.Fatalf("activation %d of (%d,%d): %v, want %v", act, i, at, F32FromBF16(got[HalfLen(i, n)+at]), y[i*n+at])
						}
					}
				}
				tail := Tail{Low: &LowRank{R: 8, Halves: true, UB: u, VB: packed}, Bias: bias}
				want, add, got := make([]float32, m*n), random(r, m*n), g.make(m*n)
				p.MatMul(want, Rows{F: x}, m, false, BF16, tail)
				Add(want, add)
				tail.Add = add
				p.MatMulAdd(got, Rows{F: x}, m, tail)
				if i := equalBits(got, want); i >= 0 {
					t.Fatalf("%v: element %d of a sum is %v, want %v", s, i, got[i], want[i])
				}
				p.MatMulAdd(add, Rows{F: x}, m, tail)
				if i := equalBits(add, want); i >= 0 {
					t.Fatalf("%v: element %d of a sum in place is %v, want %v", s, i, add[i], want[i])
				}
			}
			g.check("product in bf16")
		}
	})
}

// TestLowRankPairs: a low rank of pairs inside a product has the bits of a product of pairs added afterwards.
func TestLowRankPairs(t *testing.T) {
	pairLevels(t, func(t *testing.T, r *rand.Rand, _ *guards) {
		for _, s := range [][3]int{{1, 64, 64}, {45, 96, 576}, {150, 64, 2 * pairDepth}, {40, 32, 33}, {35, backDepth + 64, 64}} {
			m, n, k := s[0], s[1], s[2]
			p := panelsOf(random(r, n*k), n, k, PanelBF16)
			x, dy := random(r, m*k), random(r, m*n)
			u, b, a := make([]uint16, m*32), make([]uint16, n*32), make([]uint16, 32*k)
			for _, h := range [][]uint16{u, b, a} {
				F32ToBF16(h, random(r, len(h)))
			}
			vb := make([]uint16, n*32)
			PairColumns(vb, b, 32, n, 32)
			y, wantY := make([]float32, m*n), make([]float32, m*n)
			p.MatMul(y, Rows{F: x}, m, false, BF16, Tail{Low: &LowRank{R: 32, Halves: true, UB: u, VB: vb}})
			p.MatMul(wantY, Rows{F: x}, m, false, BF16, Tail{})
			GemmPairs(m, n/32, 32, u, 32, vb, 32*32, wantY, n, true)
			if i := equalBits(y, wantY); i >= 0 {
				t.Fatalf("%v: element %d is %v, want %v", s, i, y[i], wantY[i])
			}
			if k%32 != 0 {
				continue
			}
			va := make([]uint16, 32*k)
			PairRows(va, 32*32, a, k, 32, k)
			dx, wantX := make([]float32, m*k), make([]float32, m*k)
			p.MatMulBackward(dx, Rows{F: dy}, m, false, BF16, &LowRank{R: 32, Halves: true, UB: u, VB: va})
			p.MatMulBackward(wantX, Rows{F: dy}, m, false, BF16, nil)
			GemmPairs(m, k/32, 32, u, 32, va, 32*32, wantX, k, true)
			if i := equalBits(dx, wantX); i >= 0 {
				t.Fatalf("%v: backward, element %d is %v, want %v", s, i, dx[i], wantX[i])
			}
		}
	})
}

// TestManyPairs: products of many rows and panels, and those that add to what is there, have the bits of products of a few, a range of W at a
// time.
func TestManyPairs(t *testing.T) {
	pairLevels(t, func(t *testing.T, r *rand.Rand, g *guards) {
		for _, s := range [][3]int{{31, 128, 320}, {32, 96, 800}, {33, 1600, 96}, {64, 100, 64}, {97, 1024, 1600}} {
			m, n, k := s[0], s[1], s[2]
			x, dy := random(r, m*k), random(r, m*n)
			for typ := PanelBF16; typ <= PanelQ4; typ++ {
				if typ == PanelI16 || typ == PanelRows {
					continue
				}
				p := panelsOf(random(r, n*k), n, k, typ)
				start, startX := random(r, m*n), random(r, m*k)
				got, want := g.make(m*n), slices.Clone(start)
				copy(got, start)
				p.MatMul(got, Rows{F: x}, m, true, BF16, Tail{})
				for i := 0; i < m; i += 5 {
					rows := min(5, m-i)
					for j := 0; j < n; j += 64 {
						p.MatMulRange(want[i*n+j:], n, x[i*k:], rows, j, min(n, j+64), true, BF16)
					}
				}
				if i := equalBits(got, want); i >= 0 {
					t.Fatalf("%v type %d: element %d is %v, want %v", s, typ, i, got[i], want[i])
				}
				gotX, wantX := g.make(m*k), slices.Clone(startX)
				copy(gotX, startX)
				p.MatMulBackward(gotX, Rows{F: dy}, m, true, BF16, nil)
				low := &LowRank{R: 32, Halves: true, UB: make([]uint16, m*32), VB: make([]uint16, 32*k)}
				F32ToBF16(low.UB, random(r, m*32))
				F32ToBF16(low.VB, random(r, 32*k))
				gotHalf, sums := g.half(HalfLen(m, k)), make([]float32, m*k)
				p.MatMulBackwardHalf(gotHalf, Rows{F: dy}, m, low)
				p.MatMulBackward(sums, Rows{F: dy}, m, false, BF16, low)
				wantHalf := make([]uint16, HalfLen(m, k))
				HalfRows(wantHalf, sums, m, k)
				for i := range m {
					if at := HalfLen(i, k); !slices.Equal(gotHalf[at:at+k], wantHalf[at:at+k]) {
						t.Fatalf("%v type %d: gradient in bf16, row %d is %v, want %v", s, typ, i, gotHalf[at:at+k], wantHalf[at:at+k])
					}
				}
				half := n / 2 / 32 * 32
				for i := 0; i < m; i += 7 {
					rows := min(7, m-i)
					p.MatMulBackwardRange(wantX[i*k:], dy[i*n:], n, rows, 0, half, true, BF16)
					p.MatMulBackwardRange(wantX[i*k:], dy[i*n+half:], n, rows, half, n, true, BF16)
				}
				if i := equalBits(gotX, wantX); i >= 0 {
					t.Fatalf("%v type %d: gradient, element %d is %v, want %v", s, typ, i, gotX[i], wantX[i])
				}
			}
			g.check("products of many")
		}
	})
}

// TestRMSNormHalf: the bits of RMSNorm, rounded.
func TestRMSNormHalf(t *testing.T) {
	pairLevels(t, func(t *testing.T, r *rand.Rand, g *guards) {
		for _, s := range [][2]int{{1, 32}, {7, 40}, {70, 96}} {
			rows, cols := s[0], s[1]
			x, gain := g.copy(random(r, rows*cols)), g.copy(random(r, cols))
			got, want := g.half(HalfLen(rows, cols)), make([]uint16, HalfLen(rows, cols))
			rstd, rstd2, y := g.make(rows), make([]float32, rows), make([]float32, rows*cols)
			RMSNormHalf(got, x, gain, 1e-5, rows, cols, rstd)
			RMSNorm(y, x, gain, 1e-5, rows, cols, rstd2)
			HalfRows(want, y, rows, cols)
			sameRows(t, fmt.Sprint(s), got, want, rows, cols)
			if i := equalBits(rstd, rstd2); i >= 0 {
				t.Fatalf("%v: 1/rms of row %d is %v, want %v", s, i, rstd[i], rstd2[i])
			}
			g.check("RMSNormHalf")
		}
	})
}

// TestSlimPanels: columns of zeros that are left out change no bit.
func TestSlimPanels(t *testing.T) {
	pairLevels(t, func(t *testing.T, r *rand.Rand, g *guards) {
		shapes := [][2]int{{45, 64}, {300, 96}}
		for m := 1; m < 16; m++ {
			shapes = append(shapes, [2]int{m, 32})
		}
		for _, s := range shapes {
			m, k := s[0], s[1]
			a, b := g.half(HalfLen(m, k)), g.half(32*k)
			HalfRows(a, random(r, m*k), m, k)
			F32ToBF16(b, random(r, 32*k))
			for i := range b {
				if i/2%32 >= 16 {
					b[i] = 0
				}
			}
			start := random(r, m*32)
			for _, acc := range []bool{false, true} {
				got, want := g.copy(start), slices.Clone(start)
				MatMulPairs(got, m, 1, k, 16, a, b, acc)
				MatMulPairs(want, m, 1, k, 32, a, b, acc)
				if i := equalBits(got, want); i >= 0 {
					t.Fatalf("%v %v: element %d is %v, want %v", s, acc, i, got[i], want[i])
				}
			}
			g.check("slim panels")
		}
	})
}

// TestRoPEHalf: the bits of RoPE, rounded.
func TestRoPEHalf(t *testing.T) {
	pairLevels(t, func(t *testing.T, r *rand.Rand, g *guards) {
		for _, s := range [][3]int{{1, 1, 32}, {3, 2, 6}, {5, 3, 64}, {40, 9, 96}} {
			rows, heads, dim := s[0], s[1], s[2]
			w := heads * dim
			x, cos, sin := random(r, rows*w), g.copy(random(r, rows*dim/2)), g.copy(random(r, rows*dim/2))
			for _, inverse := range []bool{false, true} {
				got, want := g.half(HalfLen(rows, w)), make([]uint16, HalfLen(rows, w))
				RoPEHalf(got, g.copy(x), cos, sin, rows, heads, dim, inverse)
				turned := slices.Clone(x)
				RoPE(turned, w, cos, sin, rows, heads, dim, inverse)
				HalfRows(want, turned, rows, w)
				sameRows(t, fmt.Sprint(s, inverse), got, want, rows, w)
			}
			g.check("RoPEHalf")
		}
	})
}

// TestKeepBackward: panels made once for all give the bits of those made on the way.
func TestKeepBackward(t *testing.T) {
	pairLevels(t, func(t *testing.T, r *rand.Rand, g *guards) {
		for _, s := range [][3]int{{5, 32, 64}, {40, 1600, 96}, {17, 70, 96}, {33, 64, 50}} {
			m, n, k := s[0], s[1], s[2]
			p := panelsOf(random(r, n*k), n, k, PanelBF16)
			kept := *p
			kept.KeepBackward(BF16)
			if whole := n%32 == 0 && k%32 == 0; (kept.back != nil) != whole {
				t.Fatalf("%v: panels are kept: %v", s, !whole)
			}
			dy := random(r, m*n)
			low := &LowRank{R: 32, Halves: true, UB: make([]uint16, m*32), VB: make([]uint16, 32*((k+31)/32*32))}
			F32ToBF16(low.UB, random(r, m*32))
			start := random(r, m*k)
			got, want := g.copy(start), slices.Clone(start)
			kept.MatMulBackward(got, Rows{F: dy}, m, true, BF16, low)
			p.MatMulBackward(want, Rows{F: dy}, m, true, BF16, low)
			if p.HasHalfBackward(BF16) {
				gotHalf, wantHalf := g.half(HalfLen(m, k)), make([]uint16, HalfLen(m, k))
				kept.MatMulBackwardHalf(gotHalf, Rows{F: dy}, m, low)
				p.MatMulBackwardHalf(wantHalf, Rows{F: dy}, m, low)
				sameRows(t, fmt.Sprint(s, " in bf16"), gotHalf, wantHalf, m, k)
			}
			half := n / 2 / 32 * 32 // a range is not what was kept
			kept.MatMulBackwardRange(got, dy, n, m, 0, half, true, BF16)
			p.MatMulBackwardRange(want, dy, n, m, 0, half, true, BF16)
			if i := equalBits(got, want); i >= 0 {
				t.Fatalf("%v: element %d is %v, want %v", s, i, got[i], want[i])
			}
			g.check("kept panels")
		}
	})
}

// TestAddOuterPairs: the gradient of a low rank's factor is that of the rounded operands, the same for any number of threads.
func TestAddOuterPairs(t *testing.T) {
	pairLevels(t, func(t *testing.T, r *rand.Rand, g *guards) {
		for _, s := range [][3]int{{1, 8, 32}, {35, 8, 160}, {45, 1, 96}, {33, 16, 64}, {200, 40, 352}} {
			m, rank, w := s[0], s[1], s[2]
			wide := (rank + 31) / 32 * 32
			uf, xf := make([]float32, m*wide), random(r, m*w)
			for i := range m {
				copy(uf[i*wide:], random(r, rank))
			}
			u, x := make([]uint16, len(uf)), g.half(HalfLen(m, w))
			F32ToBF16(u, uf)
			HalfRows(x, xf, m, w)
			uf, xf = rounded(uf), rounded(xf)
			start := random(r, rank*w)
			got, turned := g.copy(start), g.make(rank*w)
			rows, columns := make([][]float32, rank), make([][]float32, rank)
			for i := range rank {
				rows[i], columns[i] = got[i*w:], turned[i:]
			}
			AddOuterPairs(rows, 1, u, wide, 0, x, m, w)
			SetThreads(3)
			half := (rank + 1) / 2 // in two parts, the first row by itself
			AddOuterPairs(append([][]float32{nil}, columns[1:half]...)[:half], rank, u, wide, 0, x, m, w)
			AddOuterPairs(columns[:1], rank, u, wide, 0, x, m, w)
			AddOuterPairs(columns[half:], rank, u, wide, half, x, m, w) // none of rank 1
			SetThreads(0)
			if rank == 8 { // a factor as a training has it, in one
				whole := g.make(rank * w)
				for i := range rank {
					columns[i] = whole[i:]
				}
				AddOuterPairs(columns, rank, u, wide, 0, x, m, w)
				if i := equalBits(whole, turned); i >= 0 {
					t.Fatalf("%v: element %d in one is %v, want %v", s, i, whole[i], turned[i])
				}
			}
			for i := range rank {
				for j := range w {
					sum := 0.0
					for l := range m {
						sum += float64(uf[l*wide+i]) * float64(xf[l*w+j])
					}
					if d := float64(turned[j*rank+i]) - sum; math.Abs(d) > 1e-4 {
						t.Fatalf("%v: (%d,%d) is %v, want %v", s, i, j, turned[j*rank+i], sum)
					}
					if want := start[i*w+j] + turned[j*rank+i]; got[i*w+j] != want {
						t.Fatalf("%v: (%d,%d) added is %v, want %v", s, i, j, got[i*w+j], want)
					}
				}
			}
			g.check("outer product")
		}
	})
}

// TestGELUHalf: over the whole line, ends included.
func TestGELUHalf(t *testing.T) {
	pairLevels(t, func(t *testing.T, r *rand.Rand, g *guards) {
		x := []float32{0, 100, -100, 1e30, -1e30, float32(math.NaN())}
		for len(x) < 64*32 {
			x = append(x, 24*r.Float32()-12)
		}
		bias, want := g.copy(random(r, 32)), make([]float32, len(x))
		for act := ActGELU; act <= ActGELUTanh; act++ {
			got := g.half(len(x))
			active.Load().geluRows(got, 32, 64, x, bias, &geluHalf[act])
			for i := range x {
				want[i] = x[i] + bias[i%32]
			}
			GELU(want, want, act == ActGELUTanh)
			if v := F32FromBF16(got[5]); v == v {
				t.Fatalf("GELU of NaN is %v", v)
			}
			want[5], got[5] = 0, 0
			if i := nearRounded(got, want, 4e-5); i >= 0 {
				t.Fatalf("activation %d of %v is %v, want %v", act, x[i]+bias[i%32], F32FromBF16(got[i]), want[i])
			}
			g.check("GELU in bf16")
		}
	})
}

// TestHalfElements: SiLU of bf16 is that of float32, rounded, within what its approximations may cost.
func TestHalfElements(t *testing.T) {
	pairLevels(t, func(t *testing.T, r *rand.Rand, g *guards) {
		for _, n := range []int{16, 48, 160} {
			half := func(x []float32) []uint16 { h := g.half(len(x)); F32ToBF16(h, x); return h }
			gate, up, dy := rounded(random(r, n)), rounded(random(r, n)), rounded(random(r, n))
			gate[1], gate[2], up[3] = 90, -90, 0
			y, want := g.half(n), make([]float32, n)
			SiLUMulHalf(y, half(gate), half(up))
			SiLUMul(want, gate, up)
			if i := nearRounded(y, want, 1e-36); i >= 0 {
				t.Fatalf("SiLU of %v times %v is %v, want %v", gate[i], up[i], F32FromBF16(y[i]), want[i])
			}
			dg, du, wantU := g.half(n), g.half(n), make([]float32, n)
			SiLUMulHalfBackward(dg, du, half(dy), half(gate), half(up))
			SiLUMulBackward(want, wantU, dy, gate, up)
			if i, j := nearRounded(dg, want, 1e-4), nearRounded(du, wantU, 1e-36); i >= 0 || j >= 0 {
				t.Fatalf("SiLU's gradients of %d: %v, %v, want %v, %v", n, dg, du, want, wantU)
			}
			g.check("elements in bf16")
		}
	})
}

// TestSoftmaxHalf: rows of bf16 are a softmax in float32, rounded, within what its exponentials may cost, whatever lies behind a row's end.
func TestSoftmaxHalf(t *testing.T) {
	pairLevels(t, func(t *testing.T, r *rand.Rand, g *guards) {
		for _, s := range [][4]int{{1, 1, 0, 32}, {3, 16, 0, 32}, {2, 64, 0, 96}, {5, 29, 1, 64}, {40, 1, 1, 64}, {7, 133, 0, 160}} {
			rows, n, more, room := s[0], s[1], s[2], s[3]
			lds := room + 16
			x, p, stats := g.copy(random(r, rows*lds)), g.half(rows*room), g.make(2*rows)
			x[0] = float32(math.Inf(-1))
			if n < 2 {
				x[0] = 1
			}
			from := slices.Clone(x)
			SoftmaxHalf(p, room, x, lds, rows, n, more, room, 0.3, stats)
			for i := range rows {
				exact := slices.Clone(from[i*lds:][:n+i*more])
				top, sum := exponentials(exact, 0.3)
				Scale(1/sum, exact)
				want := make([]float32, room)
				copy(want, exact)
				if stats[2*i] != top || math.Abs(float64(stats[2*i+1]/sum)-1) > 1e-4 || nearRounded(p[i*room:], want, 0) >= 0 {
					t.Fatalf("%v, row %d: %v, %v, want %v, %v, %v", s, i, stats[2*i:2*i+2], p[i*room:(i+1)*room], top, sum, want)
				}
			}
			x[0] = float32(math.NaN())
			if SoftmaxHalf(p, room, x, lds, 1, n, 0, room, 0.3, stats); stats[1] == stats[1] || F32FromBF16(p[0]) == F32FromBF16(p[0]) {
				t.Fatalf("softmax of a NaN: sum %v, %v", stats[1], p[:n])
			}
			g.check("softmax in bf16")
		}
	})
}

// TestSoftmaxHalfBackward: probabilities and slopes are those in float32, rounded, whatever lies behind a row's end.
func TestSoftmaxHalfBackward(t *testing.T) {
	pairLevels(t, func(t *testing.T, r *rand.Rand, g *guards) {
		for _, s := range [][4]int{{1, 1, 0, 32}, {3, 16, 0, 32}, {2, 64, 0, 96}, {5, 29, 1, 64}, {40, 1, 1, 64}, {7, 133, 0, 160}} {
			rows, n, more, room := s[0], s[1], s[2], s[3]
			lds := room + 16
			x, d, p, ds := g.copy(random(r, rows*lds)), g.copy(random(r, rows*lds)), g.half(rows*room), g.half(rows*room)
			if n > 1 {
				x[0] = float32(math.Inf(-1))
			}
			lse := g.make(rows)
			wantP, wantD := make([]float32, rows*room), make([]float32, rows*room)
			for i := range rows {
				seen := n + i*more
				pi, di := wantP[i*room:][:seen], wantD[i*room:][:seen]
				copy(pi, x[i*lds:])
				copy(di, d[i*lds:])
				lse[i] = LSE(exponentials(slices.Clone(pi), 0.3))
				ExpScaled(pi, pi, 0.3, lse[i])
				SoftmaxBackward(di, pi, Dot(di, pi), 0.7)
			}
			SoftmaxHalfBackward(p, ds, room, x, d, lds, rows, n, more, room, 0.3, 0.7, lse)
			if i, j := nearRounded(p, wantP, 0), nearRounded(ds, wantD, 3e-4); i >= 0 || j >= 0 {
				t.Fatalf("%v: probability %d or slope %d: %v, %v, want %v, %v", s, i, j, p, ds, wantP, wantD)
			}
			g.check("softmax's gradient in bf16")
		}
	})
}
