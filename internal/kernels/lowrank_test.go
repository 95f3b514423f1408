package kernels

import (
	"math/rand/v2"
	"testing"
)

// TestLowRank: a low rank added inside a product gives the bits of adding it afterwards, at every level, type and arithmetic.
func TestLowRank(t *testing.T) {
	levels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(19, 20))
		for _, s := range [][3]int{{33, 18, 1}, {64, 96, 8}, {100, 320, 16}, {backDepth + 40, 352, 4}, {70, 2*pairDepth + 64, 8}} {
			n, k, rank := s[0], s[1], s[2]
			for typ := PanelF32; typ <= PanelQ4; typ++ {
				if typ == PanelRows || typ >= PanelQ8 && k%QuantBlock != 0 {
					continue
				}
				p := panelsOf(random(r, n*k), n, k, typ)
				for _, m := range []int{1, 5, 40, 150} {
					if testing.Short() && m*n*k > 4<<20 {
						continue
					}
					x, dy, u := random(r, m*k), random(r, m*n), random(r, m*rank)
					b, a := random(r, n*rank), random(r, rank*k)
					for c := F32; c <= BF16; c++ {
						y, wantY := make([]float32, m*n), make([]float32, m*n)
						dx := random(r, m*k)
						wantX := append([]float32{}, dx...)
						SetThreads(1 + m%3)
						p.MatMul(y, Rows{F: x}, m, false, c, Tail{Low: &LowRank{R: rank, U: u, V: b}})
						p.MatMulBackward(dx, Rows{F: dy}, m, true, c, &LowRank{R: rank, U: u, V: a})
						p.MatMul(wantY, Rows{F: x}, m, false, c, Tail{})
						p.MatMulBackward(wantX, Rows{F: dy}, m, true, c, nil)
						SetThreads(0)
						GemmSerial(false, true, m, n, rank, u, rank, b, rank, wantY, n, true)
						GemmSerial(false, false, m, k, rank, u, rank, a, k, wantX, k, true)
						if i := equalBits(y, wantY); i >= 0 {
							t.Fatalf("W %v type %d m %d compute %d: element %d is %v, want %v", s, typ, m, c, i, y[i], wantY[i])
						}
						if i := equalBits(dx, wantX); i >= 0 {
							t.Fatalf("W %v type %d m %d compute %d: backward, element %d is %v, want %v", s, typ, m, c, i, dx[i], wantX[i])
						}
					}
				}
			}
		}
	})
}

// TestLowRankBounds: rows of V that are zeros may be left out.
func TestLowRankBounds(t *testing.T) {
	pairLevels(t, func(t *testing.T, r *rand.Rand, _ *guards) {
		for _, s := range [][3]int{{75, 96, 64}, {20, 100, 33}, {3, 32, 64}} {
			m, n, k, first, end := s[0], s[1], s[2], 9, 18
			p := panelsOf(random(r, n*k), n, k, PanelBF16)
			x, dy := random(r, m*k), random(r, m*n)
			u := make([]uint16, m*PairBlock)
			F32ToBF16(u, random(r, len(u)))
			pack := func(rows int) []uint16 { // of V of PairBlock rows and so many columns
				v := make([]uint16, rows*PairBlock)
				F32ToBF16(v, random(r, len(v)))
				for i := range v {
					if j := i % PairBlock; j < first || j >= end {
						v[i] = 0
					}
				}
				packed := make([]uint16, (rows+31)/32*32*PairBlock)
				PairColumns(packed, v, PairBlock, rows, PairBlock)
				return packed
			}
			product := func(low LowRank) (y, dx []float32) {
				y, dx = make([]float32, m*n), make([]float32, m*k)
				forth, back := low, low
				forth.VB, back.VB = low.VB[:(n+31)/32*32*PairBlock], low.VB[(n+31)/32*32*PairBlock:]
				p.MatMul(y, Rows{F: x}, m, false, BF16, Tail{Low: &forth})
				p.MatMulBackward(dx, Rows{F: dy}, m, false, BF16, &back)
				return y, dx
			}
			low := LowRank{R: PairBlock, Halves: true, UB: u, VB: append(pack(n), pack(k)...)}
			wantY, wantX := product(low)
			low.First, low.End = first, end
			y, dx := product(low)
			if i := equalBits(y, wantY); i >= 0 {
				t.Errorf("%v: element %d is %v, want %v", s, i, y[i], wantY[i])
			}
			if i := equalBits(dx, wantX); i >= 0 {
				t.Errorf("%v: backward, element %d is %v, want %v", s, i, dx[i], wantX[i])
			}
		}
	})
}
