package kernels

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkProduct reports products of 1024x576x1536 as a share of the peak measured in the same run.
func BenchmarkProduct(b *testing.B) {
	const m, n, k = 1024, 1536, 576
	r := rand.New(rand.NewPCG(1, 1))
	x, w, dy := random(r, m*k), random(r, n*k), random(r, m*n)
	dst, dx, dw := make([]float32, m*n), make([]float32, m*k), make([]float32, n*k)
	for _, l := range Available()[1:] {
		for _, threads := range []int{1, 2} {
			for _, form := range []string{"forward/f32", "forward/bf16panels", "forward/bf16", "back/f32", "back/bf16panels", "back/bf16", "gemmNN", "gemmNT", "gemmTN"} {
				b.Run(fmt.Sprintf("%s/%d/%s", l, threads, form), func(b *testing.B) {
					defer Force(l)()
					SetThreads(threads)
					defer SetThreads(0)
					typ, c := PanelBF16, F32
					if form == "forward/f32" || form == "back/f32" {
						typ = PanelF32
					}
					if form == "forward/bf16" || form == "back/bf16" {
						c = BF16
					}
					p := NewPanels(n, k, typ)
					p.Fill(func(i int, row []float32) { copy(row, w[i*k:]) })
					f := func() { p.MatMul(dst, x, m, false, c) }
					switch form {
					case "back/f32", "back/bf16panels", "back/bf16":
						f = func() { p.MatMulBackward(dx, dy, m, false, c) }
					case "gemmNN":
						f = func() { Gemm(false, false, m, k, n, dy, n, w, k, dx, k, false) }
					case "gemmNT":
						f = func() { Gemm(false, true, m, n, k, x, k, w, k, dst, n, false) }
					case "gemmTN":
						f = func() { Gemm(true, false, n, k, m, dy, n, x, k, dw, k, false) }
					}
					peak, dot := Peak(l)
					if c == BF16 {
						if dot == 0 {
							b.Skip("no dot product")
						}
						peak = dot
					}
					rate := 0.0
					for b.Loop() {
						rate = max(rate, best(func(n int) {
							for range n >> 12 {
								f()
							}
						}, 2*m*n*k/4096))
					}
					b.ReportMetric(rate, "GFLOP/s")
					b.ReportMetric(100*rate/peak/float64(threads), "%peak")
				})
			}
		}
	}
}
