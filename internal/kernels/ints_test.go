package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// wild is random numbers with rows of very different sizes, a row with one number far above the rest, and a row of zeros.
func wild(r *rand.Rand, m, k int) []float32 {
	x := random(r, m*k)
	for i := range m {
		row := x[i*k:][:k]
		Scale(float32(math.Pow(10, float64(i%9-4))), row)
		switch i % 5 {
		case 1:
			row[i%k] *= 1000
		case 2:
			clear(row)
		}
	}
	return x
}

// TestInts: products in 16-bit integers are within what half a step in every element of the left operand may change, the same bits
// at every level, for any number of rows and threads, and write nothing beside the result.
func TestInts(t *testing.T) {
	shapes := [][2]int{{1, 1}, {31, 15}, {33, 18}, {100, 47}, {192, 96}, {2*backDepth + 40, 64}, {70, intDepth + 3}, {40, 2*intDepth + 33}}
	const most = 130
	first := map[string]uint64{}
	levels(t, func(t *testing.T) {
		g := &guards{t: t}
		for si, s := range shapes {
			r := rand.New(rand.NewPCG(31, uint64(si)))
			n, k := s[0], s[1]
			w, x, dy := wild(r, n, k), wild(r, most, k), wild(r, most, n)
			p := panelsOf(w, n, k, PanelI16)
			product := func(m int) (y, dx []float32) {
				y, dx = g.copy(make([]float32, m*n)), g.copy(make([]float32, m*k))
				p.MatMul(y, Rows{F: x[:m*k]}, m, false, I16, Tail{})
				p.MatMulBackward(dx, Rows{F: dy[:m*n]}, m, false, I16, nil)
				g.check(fmt.Sprintf("W %v, %d rows", s, m))
				return y, dx
			}
			y, dx := product(most)
			if key := fmt.Sprint(s); first[key] == 0 {
				first[key] = hashOf(y, dx)
			} else if first[key] != hashOf(y, dx) {
				t.Fatalf("W %v: other bits than at the first level", s)
			}
			for _, m := range []int{1, 2, 3, 5, 6, 7, 13, 14, 15, 29, 33, 64, 98} {
				SetThreads(1 + m%3)
				y1, dx1 := product(m)
				SetThreads(0)
				if equalBits(y1, y[:m*n]) >= 0 || equalBits(dx1, dx[:m*k]) >= 0 {
					t.Fatalf("W %v: bits differ with %d rows", s, m)
				}
			}
			rounded := Rows{I: make([]uint16, HalfLen(most, k)), Steps: make([]float32, most)}
			IntRows(rounded.I, rounded.Steps, x, most, k)
			y2 := make([]float32, most*n)
			p.MatMul(y2, rounded, most, true, I16, Tail{})
			if equalBits(y2, y) >= 0 {
				t.Fatalf("W %v: other bits from rows rounded before, or by adding to zeros", s)
			}
			checkInts(t, p, w, x, y, dy, dx, most)
		}
	})
}

// checkInts compares y(m,N) and dx(m,K) with products in float64 with the weights that p holds, and those with w.
func checkInts(t *testing.T, p *Panels, w, x, y, dy, dx []float32, m int) {
	t.Helper()
	n, k := p.n, p.k
	held, length := make([]float32, n*k), func(n int, at func(i int) float64) float64 {
		sum := 0.0
		for i := range n {
			sum += at(i) * at(i)
		}
		return math.Sqrt(sum)
	}
	for i := range n {
		row, step := held[i*k:][:k], float64(p.ints.step[i])
		p.Row(row, i)
		largest := 0.0
		for j, v := range row {
			largest = math.Max(largest, math.Abs(float64(w[i*k+j])))
			if d := math.Abs(float64(v) - float64(w[i*k+j])); d > 0.51*step {
				t.Fatalf("weight (%d,%d) is %v, was %v: steps are %v", i, j, v, w[i*k+j], step)
			}
		}
		l := length(k, func(j int) float64 { return float64(w[i*k+j]) })
		if top := math.Max(l/(intPanelLength-2-0.5*math.Sqrt(float64(k))), largest/(maxInt-2)); step > top {
			t.Fatalf("row %d of length %v has steps of %v, want %v at most", i, l, step, top)
		}
	}
	compare := func(name string, got []float32, m, n, k int, length func(i int) float64, a func(i, l int) float64, b func(j, l int) float64, slope func(j int) float64) {
		for i := range m {
			for j := range n {
				sum, size := 0.0, 0.0
				for l := range k {
					v := a(i, l) * b(j, l)
					sum, size = sum+v, size+math.Abs(v)
				}
				bound := 0.51*math.Sqrt(float64(k))*length(i)*slope(j) + 1e-6*size
				if d := math.Abs(float64(got[i*n+j]) - sum); !(d <= bound) {
					t.Fatalf("%d x %d, %s: element (%d,%d) is %v, want %v within %v", p.n, p.k, name, i, j, got[i*n+j], sum, bound)
				}
			}
		}
	}
	rows, columns, lx, ly := make([]float64, n), make([]float64, k), make([]float64, m), make([]float64, m)
	for j := range rows {
		rows[j] = length(k, func(l int) float64 { return float64(held[j*k+l]) })
	}
	for j := range columns {
		columns[j] = length(n, func(l int) float64 {
			if held[l*k+j] == 0 {
				return 0
			}
			return float64(held[l*k+j]) / float64(p.ints.step[l])
		})
		if columns[j] > p.ints.longest+0.5*math.Sqrt(float64(n)) {
			t.Fatalf("column %d has %v steps, said to be %v at most", j, columns[j], p.ints.longest)
		}
	}
	for i := range m {
		lx[i] = length(k, func(l int) float64 { return float64(x[i*k+l]) }) / roundedLength(intLength, k)
		ly[i] = length(n, func(l int) float64 { return float64(dy[i*n+l]) * float64(p.ints.step[l]) }) / p.backLength(0, n)
	}
	compare("forward", y, m, n, k, func(i int) float64 { return lx[i] },
		func(i, l int) float64 { return float64(x[i*k+l]) }, func(j, l int) float64 { return float64(held[j*k+l]) }, func(j int) float64 { return rows[j] })
	compare("backward", dx, m, k, n, func(i int) float64 { return ly[i] },
		func(i, l int) float64 { return float64(dy[i*n+l]) }, func(j, l int) float64 { return float64(held[l*k+j]) }, func(j int) float64 { return columns[j] })
}

// TestIntsFull: sums as large as they can become, where all elements of both rows are equal or one is all there is, do not leave
// 32 bits.
func TestIntsFull(t *testing.T) {
	levels(t, func(t *testing.T) {
		for _, k := range []int{1, 2, 64, 4096} {
			x, w := make([]float32, 2*k), make([]float32, 33*k)
			for i := range k {
				x[i] = 3
				x[k+i] = -3
			}
			for i := range w {
				w[i] = 0.25
			}
			clear(w[7*k : 8*k])
			w[7*k+k/2] = 1e-3
			p := panelsOf(w, 33, k, PanelI16)
			y, dx := make([]float32, 2*33), make([]float32, 2*k)
			p.MatMul(y, Rows{F: x}, 2, false, I16, Tail{})
			for j := range 33 {
				want := 0.75 * float64(k)
				if j == 7 {
					want = 3e-3
				}
				if a, b := float64(y[j]), float64(y[33+j]); math.Abs(a-want) > 1e-3*want || b != -a {
					t.Fatalf("%d columns: %v and %v, want %v", k, a, b, want)
				}
			}
			dy := make([]float32, 2*33)
			for i := range dy {
				dy[i] = float32(1 - i/33*2)
			}
			p.MatMulBackward(dx, Rows{F: dy}, 2, false, I16, nil)
			for l := range k {
				want := 32 * 0.25
				if l == k/2 {
					want += 1e-3
				}
				if a, b := float64(dx[l]), float64(dx[k+l]); math.Abs(a-want) > 1e-3*want || b != -a {
					t.Fatalf("%d columns: gradient %v and %v, want %v", k, a, b, want)
				}
			}
		}
	})
}

// TestIntsOdd: what is not a number stays so in its row and spares the others; very large and very small rows keep their digits.
func TestIntsOdd(t *testing.T) {
	levels(t, func(t *testing.T) {
		const n, k = 40, 50
		r := rand.New(rand.NewPCG(5, 6))
		nan, inf := float32(math.NaN()), float32(math.Inf(1))
		w, x := random(r, n*k), random(r, 6*k)
		w[3*k+4] = nan
		Scale(1e30, x[k:2*k])
		Scale(1e-30, x[2*k:3*k])
		x[3*k+1], x[4*k+2] = nan, -inf
		p := panelsOf(w, n, k, PanelI16)
		y := make([]float32, 6*n)
		p.MatMul(y, Rows{F: x}, 6, false, I16, Tail{})
		for i := range 6 {
			for j := range n {
				sum, size := 0.0, 0.0
				for l := range k {
					v := float64(x[i*k+l]) * float64(w[j*k+l])
					sum, size = sum+v, size+math.Abs(v)
				}
				got := float64(y[i*n+j])
				if odd := i == 3 || i == 4 || j == 3; odd != (got != got) || !odd && !(math.Abs(got-sum) <= 1e-3*size) {
					t.Fatalf("element (%d,%d) is %v, want %v", i, j, got, sum)
				}
			}
		}
	})
}

// TestTurnBlock: every level turns a block as the generic code does, and turning twice changes nothing.
func TestTurnBlock(t *testing.T) {
	levels(t, func(t *testing.T) {
		src, want := make([]uint16, 1024), make([]uint16, 1024)
		for i := range src {
			src[i] = uint16(i * 31)
		}
		turnBlockGeneric(want, src)
		got, again := make([]uint16, 1024), make([]uint16, 1024)
		im := active.Load()
		im.turnBlock(got, src)
		im.turnBlock(again, got)
		for i := range src {
			if got[i] != want[i] || again[i] != src[i] {
				t.Fatalf("number %d is %d, want %d; turned again %d, was %d", i, got[i], want[i], again[i], src[i])
			}
		}
	})
}
