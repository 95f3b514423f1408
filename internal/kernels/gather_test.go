package kernels

import (
	"math/rand/v2"
	"testing"
)

func TestDotsI8(t *testing.T) { dotsI8Equal(t) }

// dotsI8Equal compares every level with sums computed one product at a time.
func dotsI8Equal(t *testing.T) {
	levels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, k := range []int{64, 128, 192, 384, 1024} {
			const rows = 50
			q, codes := make([]int8, k), make([]int8, rows*k)
			for i := range q {
				q[i] = int8(r.IntN(256) - 128)
			}
			for i := range codes {
				codes[i] = int8(r.IntN(256) - 128)
			}
			for i := range k { // the largest sums
				q[i], codes[i] = -128, -128
			}
			for i := range k {
				codes[k+i] = 127
			}
			for n := range 20 {
				at, dst := make([]int32, n), make([]int32, n+2)
				for i := range at {
					at[i] = int32(r.IntN(rows))
				}
				if n > 2 {
					at[0], at[1], at[n-1] = 1, 0, rows-1
				}
				dst[n] = 77
				DotsI8(dst, q, codes, at)
				for i, a := range at {
					want := 0
					for j := range k {
						want += int(q[j]) * int(codes[int(a)*k+j])
					}
					if int(dst[i]) != want {
						t.Fatalf("K %d, %d rows: row %d is %d, expected %d", k, n, i, dst[i], want)
					}
				}
				if dst[n] != 77 || dst[n+1] != 0 {
					t.Fatal("wrote outside of its slice")
				}
			}
		}
	})
}

func TestFetchChangesNothing(t *testing.T) {
	x := AllocI32(1000)
	for n := range len(x) {
		Fetch(x[n:])
		Fetch(x[:n])
	}
	for i, v := range x {
		if v != 0 {
			t.Fatalf("number %d became %d", i, v)
		}
	}
	Fetch[float32](nil)
}

func TestDotsI8Refuses(t *testing.T) {
	for name, f := range map[string]func(){
		"a row behind the last": func() { DotsI8(make([]int32, 1), make([]int8, 64), make([]int8, 128), []int32{2}) },
		"a negative row":        func() { DotsI8(make([]int32, 1), make([]int8, 64), make([]int8, 128), []int32{-1}) },
		"a length of 65":        func() { DotsI8(make([]int32, 1), make([]int8, 65), make([]int8, 130), []int32{0}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func BenchmarkDotsI8(b *testing.B) {
	const rows, k = 200000, 384
	r := rand.New(rand.NewPCG(1, 2))
	codes, q := AllocI8(rows*k), make([]int8, k)
	for i := range codes {
		codes[i] = int8(i)
	}
	at, dst := make([]int32, 16), make([]int32, 16)
	for b.Loop() {
		for i := range at {
			at[i] = int32(r.IntN(rows))
		}
		DotsI8(dst, q, codes, at)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/16, "ns/row")
}
