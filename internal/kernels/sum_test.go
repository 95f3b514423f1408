package kernels

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestBackwardSum: a sum of backward products has the bits of one product after the other, whether their panels were kept or not.
func TestBackwardSum(t *testing.T) {
	pairLevels(t, func(t *testing.T, r *rand.Rand, g *guards) {
		const k = 96
		for _, m := range []int{1, 33, 300, 700} {
			for _, ns := range [][]int{{64}, {192, 64, 32}, {1600, 96}, {64, 40}} {
				low := &LowRank{R: PairBlock, Halves: true, UB: make([]uint16, m*PairBlock), VB: make([]uint16, k*PairBlock), End: 24}
				F32ToBF16(low.UB, random(r, len(low.UB)))
				F32ToBF16(low.VB, random(r, len(low.VB)))
				var terms []Term
				for _, n := range ns {
					dy := make([]uint16, HalfLen(m, n))
					HalfRows(dy, random(r, m*n), m, n)
					terms = append(terms, Term{panelsOf(random(r, n*k), n, k, PanelBF16), dy})
				}
				acc := m != 33
				if m == 1 {
					low = nil
				}
				begun := random(r, m*k)
				want := append([]float32{}, begun...)
				for i, term := range terms {
					var last *LowRank
					if i == len(terms)-1 {
						last = low
					}
					term.P.MatMulBackward(want, Rows{B: term.DY}, m, acc || i > 0, BF16, last)
				}
				for _, kept := range []bool{false, true} {
					what := fmt.Sprintf("%d rows, %v, kept %v", m, ns, kept)
					for _, term := range terms {
						if kept {
							term.P.KeepBackward(BF16)
						}
					}
					for threads := 1; threads <= 3; threads++ {
						dx := g.copy(begun)
						SetThreads(threads)
						MatMulBackwardSum(dx, terms, m, acc, low)
						SetThreads(0)
						if i := equalBits(dx, want); i >= 0 {
							t.Fatalf("%s: element %d is %v, want %v", what, i, dx[i], want[i])
						}
						g.check(what)
					}
				}
			}
		}
	})
}
