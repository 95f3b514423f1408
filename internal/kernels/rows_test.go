package kernels

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func sum64(x []float32, f func(float64) float64) (sum, mag float64) {
	for _, v := range x {
		sum += f(float64(v))
		mag += math.Abs(f(float64(v)))
	}
	return sum, mag
}

func same(x float64) float64 { return x }

// TestReductions compares with float64 at every length around a vector; zeros (for the maximum and the exponentials: -Inf)
// appended to a row must change nothing, and the AVX levels must agree.
func TestReductions(t *testing.T) {
	avx := map[int][]float64{}
	levels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		g := &guards{t: t}
		for n := range 200 {
			x, y := g.copy(random(r, n)), g.copy(random(r, n))
			got := []float64{float64(Dot(x, y)), float64(Sum(x)), SumSquares(x), float64(Max(x)), float64(LogSumExp(x))}
			soft := g.copy(x)
			Softmax(soft, 1)
			again := g.copy(x)
			if lse := LSE(Softmax(again, 1)); float64(lse) != got[4] || equalBits(again, soft) >= 0 {
				t.Fatalf("n %d: with its logarithm %v, LogSumExp is %v", n, lse, got[4])
			}
			g.check("reductions")
			var dot, mag float64
			for i := range x {
				dot += float64(x[i]) * float64(y[i])
				mag += math.Abs(float64(x[i]) * float64(y[i]))
			}
			eps := float64(n+2) * 0x1p-24
			sum, smag := sum64(x, same)
			sq, _ := sum64(x, func(v float64) float64 { return v * v })
			most := math.Inf(-1)
			for _, v := range x {
				most = math.Max(most, float64(v))
			}
			e, _ := sum64(x, math.Exp)
			want := []float64{dot, sum, sq, most, math.Log(e)}
			tol := []float64{mag * eps, smag * eps, sq * 1e-14, 0, 4 * 0x1p-24 * (1 + math.Abs(math.Log(e)))}
			for i := range want {
				if want[i] != got[i] && !(math.Abs(got[i]-want[i]) <= tol[i]) {
					t.Fatalf("n %d, reduction %d: %v, want %v", n, i, got[i], want[i])
				}
			}
			for i, v := range soft {
				if p := math.Exp(float64(x[i])) / e; !(math.Abs(float64(v)-p) <= 8*0x1p-24*p*(1+math.Abs(float64(x[i])-most))) {
					t.Fatalf("n %d: softmax %d is %v, want %v", n, i, v, p)
				}
			}
			zeros := make([]float32, 37)
			x0, y0 := append(append([]float32{}, x...), zeros...), append(append([]float32{}, y...), zeros...)
			if Dot(x0, y0) != Dot(x, y) || Sum(x0) != Sum(x) || SumSquares(x0) != SumSquares(x) {
				t.Fatalf("n %d: zeros appended change a sum", n)
			}
			for i := range zeros {
				x0[n+i] = float32(math.Inf(-1))
			}
			if Max(x0) != Max(x) || LogSumExp(x0) != LogSumExp(x) {
				t.Fatalf("n %d: -Inf appended changes a maximum", n)
			}
			if n > 0 {
				Softmax(x0, 1)
				if i := equalBits(x0[:n], soft); i >= 0 {
					t.Fatalf("n %d: -Inf appended changes softmax at %d", n, i)
				}
				for _, v := range x0[n:] {
					if v != 0 {
						t.Fatalf("n %d: softmax of -Inf is %v", n, v)
					}
				}
			}
			if Active() >= AVX2 {
				for _, v := range soft {
					got = append(got, float64(v))
				}
				if avx[n] == nil {
					avx[n] = got
				}
				for i, v := range got {
					if v != avx[n][i] {
						t.Fatalf("n %d: value %d differs between AVX levels: %v and %v", n, i, v, avx[n][i])
					}
				}
			}
		}
	})
}

func TestReductionsOfSpecialValues(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	levels(t, func(t *testing.T) {
		for at := range 50 {
			x := make([]float32, 50)
			x[at] = nan
			if v := Max(x); v == v {
				t.Errorf("NaN at %d: the maximum is %v", at, v)
			}
			if v := LogSumExp(x); v == v {
				t.Errorf("NaN at %d: LogSumExp is %v", at, v)
			}
			if v := Dot(x, make([]float32, 50)); v == v {
				t.Errorf("NaN at %d times 0: the dot product is %v", at, v)
			}
			Softmax(x, 1)
			for i, v := range x {
				if v == v {
					t.Errorf("NaN at %d: softmax %d is %v", at, i, v)
				}
			}
			x = make([]float32, 50)
			x[at] = -inf
			if v := Max(x); v != 0 {
				t.Errorf("-Inf at %d: the maximum is %v", at, v)
			}
			x[at] = inf
			if v := LogSumExp(x); v != inf {
				t.Errorf("Inf at %d: LogSumExp is %v", at, v)
			}
		}
		none := []float32{-inf, -inf}
		if v := LogSumExp(none); v != -inf {
			t.Errorf("LogSumExp of -Inf: %v", v)
		}
		if Softmax(none, 1); none[0] == none[0] {
			t.Errorf("softmax of nothing but -Inf: %v", none)
		}
		if v := Max(nil); v != -inf {
			t.Errorf("the maximum of nothing: %v", v)
		}
	})
}

// TestNorms compares outputs and gradients with float64.
func TestNorms(t *testing.T) {
	for _, layer := range []bool{false, true} {
		var avx [][]float32
		levels(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, 8))
			var all [][]float32
			for _, shape := range [][2]int{{1, 1}, {3, 7}, {5, 16}, {4, 33}, {300, 130}} {
				rows, cols := shape[0], shape[1]
				const eps = 1e-5
				g := &guards{t: t}
				x, gain, bias := g.copy(random(r, rows*cols)), g.copy(random(r, cols)), g.copy(random(r, cols))
				y, mean, rstd := g.make(rows*cols), g.make(rows), g.make(rows)
				dy, dx := g.copy(random(r, rows*cols)), g.copy(random(r, rows*cols))
				dgain, dbias := g.copy(random(r, cols)), g.copy(random(r, cols))
				dx0, dgain0, dbias0 := append([]float32{}, dx...), append([]float32{}, dgain...), append([]float32{}, dbias...)
				if layer {
					LayerNorm(y, x, gain, bias, eps, rows, cols, mean, rstd)
					LayerNormBackward(dx, dy, x, gain, mean, rstd, rows, cols, dgain, dbias)
				} else {
					RMSNorm(y, x, gain, eps, rows, cols, rstd)
					half := g.half(HalfLen(rows, cols))
					RMSNormBackward(dx, half, dy, x, gain, rstd, rows, cols, dgain)
					rounded := make([]uint16, len(half))
					HalfRows(rounded, dx, rows, cols)
					if !slices.Equal(half, rounded) {
						t.Errorf("%v: the gradient is %v, in bf16 %v", shape, dx, half)
					}
				}
				all = append(all, y, rstd, dx, dgain, dbias)
				wantGain, wantBias := make([]float64, cols), make([]float64, cols)
				for i := range rows {
					row, d := x[i*cols:][:cols], dy[i*cols:][:cols]
					var mu float64
					if layer {
						mu, _ = sum64(row, same)
						mu /= float64(cols)
					}
					v, _ := sum64(row, func(v float64) float64 { return (v - mu) * (v - mu) })
					s := 1 / math.Sqrt(v/float64(cols)+eps)
					var gd, gdx float64
					for j := range cols {
						h := (float64(row[j]) - mu) * s
						gd += float64(gain[j]) * float64(d[j]) / float64(cols)
						gdx += float64(gain[j]) * float64(d[j]) * h / float64(cols)
						wantGain[j] += float64(d[j]) * h
						wantBias[j] += float64(d[j])
					}
					if !layer {
						gd = 0
					}
					tol := 1e-5 * (1 + s)
					for j := range cols {
						h := (float64(row[j]) - mu) * s
						want := h * float64(gain[j])
						if layer {
							want += float64(bias[j])
						}
						if !(math.Abs(float64(y[i*cols+j])-want) <= tol) {
							t.Fatalf("layer %v %v: y(%d,%d) is %v, want %v", layer, shape, i, j, y[i*cols+j], want)
						}
						want = float64(dx0[i*cols+j]) + s*(float64(gain[j])*float64(d[j])-gd-h*gdx)
						if !(math.Abs(float64(dx[i*cols+j])-want) <= tol*10) {
							t.Fatalf("layer %v %v: dx(%d,%d) is %v, want %v", layer, shape, i, j, dx[i*cols+j], want)
						}
					}
				}
				for j := range cols {
					if want := wantGain[j] + float64(dgain0[j]); !(math.Abs(float64(dgain[j])-want) <= 1e-4) {
						t.Fatalf("layer %v %v: dgain(%d) is %v, want %v", layer, shape, j, dgain[j], want)
					}
					want := float64(dbias0[j])
					if layer {
						want += wantBias[j]
					}
					if !(math.Abs(float64(dbias[j])-want) <= 1e-4) {
						t.Fatalf("layer %v %v: dbias(%d) is %v, want %v", layer, shape, j, dbias[j], want)
					}
				}
				one := make([]float32, cols)
				last := x[(rows-1)*cols:]
				if layer {
					LayerNorm(one, last, gain, bias, eps, 1, cols, nil, nil)
				} else {
					RMSNorm(one, last, gain, eps, 1, cols, nil)
				}
				if i := equalBits(one, y[(rows-1)*cols:]); i >= 0 {
					t.Fatalf("layer %v %v: a row alone differs at %d", layer, shape, i)
				}
				g.check("norm")
			}
			if Active() >= AVX2 {
				if avx == nil {
					avx = all
				}
				for i := range all {
					if j := equalBits(all[i], avx[i]); j >= 0 {
						t.Fatalf("layer %v: AVX levels differ in output %d at %d", layer, i, j)
					}
				}
			}
		})
	}
}

// TestRoPE compares with complex multiplication and turns back.
func TestRoPE(t *testing.T) {
	levels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 10))
		for _, shape := range [][3]int{{1, 1, 2}, {3, 2, 6}, {5, 3, 64}, {40, 9, 80}} {
			rows, heads, dim := shape[0], shape[1], shape[2]
			ldx := heads*dim + 3
			g := &guards{t: t}
			x, cos, sin := g.copy(random(r, rows*ldx)), g.make(rows*dim/2), g.make(rows*dim/2)
			for i := range cos {
				a := 10 * r.Float64()
				cos[i], sin[i] = float32(math.Cos(a)), float32(math.Sin(a))
			}
			was := append([]float32{}, x...)
			RoPE(x, ldx, cos, sin, rows, heads, dim, false)
			for i := range rows {
				for j := range ldx {
					want := complex(float64(was[i*ldx+j]), 0)
					if p := j % dim; j < heads*dim && p < dim/2 {
						want = complex(real(want), float64(was[i*ldx+j+dim/2])) * complex(float64(cos[i*dim/2+p]), float64(sin[i*dim/2+p]))
						if d := float64(x[i*ldx+j+dim/2]) - imag(want); !(math.Abs(d) <= 1e-5) {
							t.Fatalf("%v: element (%d,%d) is off by %v", shape, i, j+dim/2, d)
						}
					} else if j < heads*dim {
						continue
					}
					if d := float64(x[i*ldx+j]) - real(want); !(math.Abs(d) <= 1e-5) {
						t.Fatalf("%v: element (%d,%d) is off by %v", shape, i, j, d)
					}
				}
			}
			RoPE(x, ldx, cos, sin, rows, heads, dim, true)
			for i, v := range x {
				if !(math.Abs(float64(v-was[i])) <= 1e-5) {
					t.Fatalf("%v: turned back, element %d is %v, was %v", shape, i, v, was[i])
				}
			}
			g.check("RoPE")
		}
	})
}

// TestRMSNormBackwardOf: the gradient by a norm's rounded result is that of the input which it stands for.
func TestRMSNormBackwardOf(t *testing.T) {
	levels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		const rows, eps = 9, 1e-5
		for _, cols := range []int{32, 96, 576} {
			x, dy, gain := random(r, rows*cols), random(r, rows*cols), random(r, cols)
			y, rstd := make([]uint16, HalfLen(rows, cols)), make([]float32, rows)
			RMSNormHalf(y, x, gain, eps, rows, cols, rstd)
			stands := make([]float32, rows*cols)
			for i := range rows {
				for j := range cols {
					v := math.Float32frombits(uint32(y[HalfLen(i, cols)+j]) << 16)
					stands[i*cols+j] = v / gain[j] / rstd[i]
				}
			}
			begun := random(r, rows*cols)
			got, want := append([]float32{}, begun...), append([]float32{}, begun...)
			gotHalf, wantHalf := make([]uint16, HalfLen(rows, cols)), make([]uint16, HalfLen(rows, cols))
			RMSNormBackwardOf(got, gotHalf, dy, y, gain, rstd, rows, cols)
			RMSNormBackward(want, nil, dy, stands, gain, rstd, rows, cols, nil)
			for i := range want {
				if math.Abs(float64(got[i]-want[i])) > 1e-5*(1+math.Abs(float64(want[i]))) {
					t.Fatalf("%d columns: element %d is %v, want %v", cols, i, got[i], want[i])
				}
			}
			HalfRows(wantHalf, got, rows, cols)
			sameRows(t, "rounded", gotHalf, wantHalf, rows, cols)
		}
	})
}
