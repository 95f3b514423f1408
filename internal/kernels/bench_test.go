package kernels

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// share runs f (flops each) between runs of the peak loop on as many threads, so that both meet the same clock and the same
// neighbours, and reports the median of the ratios and of the rates.
func share(b *testing.B, peak func(n int), peakFlops int, f func(), flops float64) {
	f()
	var ratios, rates []float64
	rounds := 2000000000 / 4 / peakFlops / 100 // a few milliseconds
	top := func() float64 {
		t := time.Now()
		Parallel(Threads(), func(int) { peak(rounds) })
		return float64(Threads()) * float64(rounds) * float64(peakFlops) / float64(time.Since(t).Nanoseconds())
	}
	for b.Loop() {
		before := top()
		t := time.Now()
		f()
		rate := flops / float64(time.Since(t).Nanoseconds())
		rates = append(rates, rate)
		ratios = append(ratios, 100*rate/((before+top())/2))
	}
	slices.Sort(ratios)
	slices.Sort(rates)
	b.ReportMetric(ratios[len(ratios)/2], "%peak")
	b.ReportMetric(rates[len(rates)/2], "GFLOP/s")
	b.ReportMetric(rates[len(rates)-1], "best-GFLOP/s")
}

// BenchmarkProduct reports products of 1024x576x1536 as a share of the peak measured beside them.
func BenchmarkProduct(b *testing.B) {
	const m, n, k = 1024, 1536, 576
	r := rand.New(rand.NewPCG(1, 1))
	fill := func(n int) []float32 { x := Alloc(n); copy(x, random(r, n)); return x }
	x, w, dy, dst := fill(m*k), fill(n*k), fill(m*n), fill(m*n)
	dx, dw := fill(m*k), fill(n*k)
	forms := []struct {
		name string
		*Panels
	}{{"f32", panelsOf(w, n, k, PanelF32)}, {"bf16", panelsOf(w, n, k, PanelBF16)}, {"int16", panelsOf(w, n, k, PanelI16)},
		{"q8", panelsOf(w, n, k, PanelQ8)}, {"q4", panelsOf(w, n, k, PanelQ4)}}
	for _, l := range Available()[1:] {
		dot, _ := PeakLoop(l, BF16)
		for _, threads := range []int{1, 2} {
			run := func(name string, c Compute, f func()) {
				b.Run(fmt.Sprintf("%s/threads=%d/%s", l, threads, name), func(b *testing.B) {
					defer Force(l)()
					SetThreads(threads)
					defer SetThreads(0)
					peak, flops := PeakLoop(l, c)
					if peak == nil {
						peak, flops = PeakLoop(l, F32)
					}
					share(b, peak, flops, f, 2*m*n*k)
				})
			}
			for _, form := range forms {
				p, name := form.Panels, form.name
				c := F32
				if p.Ints() {
					c = I16
				}
				run("forward/panels="+name, c, func() { p.MatMul(dst, Rows{F: x}, m, false, F32, Tail{}) })
				run("backward/panels="+name, c, func() { p.MatMulBackward(dx, Rows{F: dy}, m, false, F32, nil) })
				if dot != nil && name != "f32" {
					run("forward/compute=bf16/panels="+name, BF16, func() { p.MatMul(dst, Rows{F: x}, m, false, BF16, Tail{}) })
					run("backward/compute=bf16/panels="+name, BF16, func() { p.MatMulBackward(dx, Rows{F: dy}, m, false, BF16, nil) })
				}
			}
			run("NN", F32, func() { Gemm(false, false, m, k, n, dy, n, w, k, dx, k, false) })
			run("NT", F32, func() { Gemm(false, true, m, n, k, x, k, w, k, dst, n, false) })
			run("TN", F32, func() { Gemm(true, false, n, k, m, dy, n, x, k, dw, k, false) })
		}
	}
}

// BenchmarkDecode multiplies m rows with every weight of SmolLM2-135M once, as a step of generation does, and reports the rate
// at which weights are read beside the memory's.
func BenchmarkDecode(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	layer := [][2]int{{576, 576}, {192, 576}, {192, 576}, {576, 576}, {1536, 576}, {1536, 576}, {576, 1536}}
	x := random(r, 16*1536)
	y := make([]float32, 16*49152)
	some := random(r, 1536)
	for typ, name := range []string{"f32", "bf16", "int16", "q8", "q4"} {
		var all []*Panels
		bytes := 0
		add := func(n, k int) {
			p := NewPanels(n, k, PanelType(typ))
			p.Fill(func(_ int, row []float32) { copy(row, some) })
			all = append(all, p)
			bytes += p.Bytes()
		}
		for range 30 {
			for _, s := range layer {
				add(s[0], s[1])
			}
		}
		add(49152, 576)
		for _, l := range Available()[1:] {
			for _, c := range []Compute{F32, BF16} {
				if c == BF16 && (implOf(l).tileDot == nil || typ == 0) {
					continue
				}
				for _, m := range []int{1, 4, 16} {
					b.Run(fmt.Sprintf("panels=%s/%s/compute=%d/m=%d", name, l, c, m), func(b *testing.B) {
						defer Force(l)()
						top := Bandwidth()
						var took []float64
						for b.Loop() {
							t := time.Now()
							for _, p := range all {
								p.MatMul(y, Rows{F: x}, m, false, c, Tail{})
							}
							took = append(took, float64(time.Since(t).Nanoseconds()))
						}
						slices.Sort(took)
						b.ReportMetric(took[len(took)/2]/1e6, "ms")
						b.ReportMetric(float64(bytes)/took[len(took)/2], "GB/s")
						b.ReportMetric(top, "memory-GB/s")
					})
				}
			}
		}
	}
}
