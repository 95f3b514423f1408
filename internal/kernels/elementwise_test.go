package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// elementCase is an element-wise function: in are its inputs, out what it wrote; want is the exact value from the inputs at one
// element, tol the error allowed relative to the sum of magnitudes that want returns.
type elementCase struct {
	name string
	nin  int
	run  func(in [][]float32) (out [][]float32)
	want func(x []float64) (y, magnitude []float64)
	tol  float64
}

func one(y float64) ([]float64, []float64) { return []float64{y}, []float64{math.Abs(y)} }

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func tanhArg(x float64) float64 { return math.Sqrt(2/math.Pi) * (x + 0.044715*x*x*x) }

var elementCases = []elementCase{
	{"Add", 2, func(in [][]float32) [][]float32 { Add(in[0], in[1]); return in[:1] },
		func(x []float64) ([]float64, []float64) { return one(x[0] + x[1]) }, 1},
	{"Axpy", 2, func(in [][]float32) [][]float32 { Axpy(0.3, in[1], in[0]); return in[:1] },
		func(x []float64) ([]float64, []float64) {
			return []float64{x[0] + float64(float32(0.3))*x[1]}, []float64{math.Abs(x[0]) + math.Abs(x[1])}
		}, 1},
	{"Scale", 1, func(in [][]float32) [][]float32 { Scale(0.3, in[0]); return in[:1] },
		func(x []float64) ([]float64, []float64) { return one(float64(float32(0.3)) * x[0]) }, 1},
	{"Mul", 3, func(in [][]float32) [][]float32 { Mul(in[0], in[1], in[2]); return in[:1] },
		func(x []float64) ([]float64, []float64) { return one(x[1] * x[2]) }, 1},
	{"Exp", 2, func(in [][]float32) [][]float32 { Exp(in[0], in[1]); return in[:1] },
		func(x []float64) ([]float64, []float64) { return one(math.Exp(x[1])) }, 4},
	{"SiLUMul", 3, func(in [][]float32) [][]float32 { SiLUMul(in[0], in[1], in[2]); return in[:1] },
		func(x []float64) ([]float64, []float64) { return one(x[1] * sigmoid(x[1]) * x[2]) }, 8},
	{"SiLUMulBackward", 5, func(in [][]float32) [][]float32 {
		SiLUMulBackward(in[0], in[1], in[2], in[3], in[4])
		return in[:2]
	}, func(x []float64) ([]float64, []float64) {
		s := sigmoid(x[3])
		m := math.Abs(x[2] * x[4])
		return []float64{x[2] * x[4] * s * (1 + x[3]*(1-s)), x[2] * x[3] * s}, []float64{m * s * (1 + math.Abs(x[3])), math.Abs(x[2] * x[3] * s)}
	}, 8},
	{"GELU", 2, func(in [][]float32) [][]float32 { GELU(in[0], in[1], false); return in[:1] },
		func(x []float64) ([]float64, []float64) {
			return []float64{x[1] * 0.5 * math.Erfc(-x[1]/math.Sqrt2)}, []float64{math.Abs(x[1])}
		}, 4},
	{"GELUBackward", 3, func(in [][]float32) [][]float32 { GELUBackward(in[0], in[1], in[2], false); return in[:1] },
		func(x []float64) ([]float64, []float64) {
			v := x[2]
			d := 0.5*math.Erfc(-v/math.Sqrt2) + v*math.Exp(-v*v/2)/math.Sqrt(2*math.Pi)
			return []float64{x[1] * d}, []float64{math.Abs(x[1])}
		}, 8},
	{"GELUTanh", 2, func(in [][]float32) [][]float32 { GELU(in[0], in[1], true); return in[:1] },
		func(x []float64) ([]float64, []float64) {
			return []float64{0.5 * x[1] * (1 + math.Tanh(tanhArg(x[1])))}, []float64{math.Abs(x[1])}
		}, 8},
	{"GELUTanhBackward", 3, func(in [][]float32) [][]float32 { GELUBackward(in[0], in[1], in[2], true); return in[:1] },
		func(x []float64) ([]float64, []float64) {
			v := x[2]
			th := math.Tanh(tanhArg(v))
			d := 0.5*(1+th) + 0.5*v*(1-th*th)*math.Sqrt(2/math.Pi)*(1+3*0.044715*v*v)
			return []float64{x[1] * d}, []float64{2 * math.Abs(x[1]) * (1 + math.Abs(v))}
		}, 8},
	{"AdamW", 4, func(in [][]float32) [][]float32 {
		for i, v := range in[3] {
			in[3][i] = v * v
		}
		AdamW(in[0], in[1], in[2], in[3], 0.01, 0.9, 0.999, 1e-8, 0.1, 1-0.9*0.9, 1-0.999*0.999)
		return [][]float32{in[0], in[2], in[3]}
	}, func(x []float64) ([]float64, []float64) {
		v0 := float64(float32(x[3] * x[3]))
		b1, b2, c1, c2 := float64(float32(0.9)), float64(float32(0.999)), float64(float32(1-0.9*0.9)), float64(float32(1-0.999*0.999))
		lr, wd := float64(float32(0.01)), float64(float32(0.1))
		m := b1*x[2] + (1-b1)*x[1]
		v := b2*v0 + (1-b2)*x[1]*x[1]
		step := lr / c1 * m / (math.Sqrt(v)/math.Sqrt(c2) + 1e-8)
		return []float64{x[0]*(1-lr*wd) - step, m, v}, []float64{math.Abs(x[0]) + math.Abs(step), math.Abs(x[1]) + math.Abs(x[2]), v}
	}, 8},
}

// TestElementwise compares with float64, at every length around a vector, within guard cells; an element's bits must not
// depend on its place, on threads or on which of the AVX levels runs.
func TestElementwise(t *testing.T) {
	for _, c := range elementCases {
		var avx [][]float32
		levels(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 4))
			const n = 3*grain + 37
			in := make([][]float32, c.nin)
			for i := range in {
				in[i] = random(r, n)
				for j := range in[i] {
					in[i][j] *= float32(1 + j%5)
				}
			}
			g := &guards{t: t}
			call := func(lo, hi int) [][]float32 {
				var part [][]float32
				for _, x := range in {
					part = append(part, g.copy(x[lo:hi]))
				}
				out := c.run(part)
				g.check(fmt.Sprint(c.name, lo, hi))
				return out
			}
			whole := call(0, n)
			x := make([]float64, c.nin)
			for j := range n {
				for i := range in {
					x[i] = float64(in[i][j])
				}
				want, mag := c.want(x)
				for o := range want {
					if d := math.Abs(float64(whole[o][j]) - want[o]); !(d <= c.tol*mag[o]*0x1p-24+0x1p-140) {
						t.Fatalf("%s of %v: %v, want %v", c.name, x, whole[o][j], want[o])
					}
				}
			}
			for lo := range 3 {
				for hi := lo; hi < 70; hi++ {
					for o, part := range call(lo, hi) {
						if i := equalBits(part, whole[o][lo:hi]); i >= 0 {
							t.Fatalf("%s: element %d differs in [%d,%d)", c.name, lo+i, lo, hi)
						}
					}
				}
			}
			SetThreads(3)
			for o, part := range call(0, n) {
				if i := equalBits(part, whole[o]); i >= 0 {
					t.Fatalf("%s: element %d differs with 3 threads", c.name, i)
				}
			}
			SetThreads(0)
			if Active() >= AVX2 {
				if avx == nil {
					avx = whole
				}
				for o := range whole {
					if i := equalBits(whole[o], avx[o]); i >= 0 {
						t.Fatalf("%s: element %d differs between AVX levels: %v and %v", c.name, i, whole[o][i], avx[o][i])
					}
				}
			}
		})
	}
}

// TestExpEverywhere checks the error bound over the whole range, and the special values.
func TestExpEverywhere(t *testing.T) {
	levels(t, func(t *testing.T) {
		var x, y []float32
		for v := float32(-104); v < 89; v += 0.00037 {
			x = append(x, v)
		}
		y = make([]float32, len(x))
		Exp(y, x)
		worst := 0.0
		for i, v := range y {
			want := math.Exp(float64(x[i]))
			if want > math.MaxFloat32 {
				if !math.IsInf(float64(v), 1) && want > math.MaxFloat32*(1+0x1p-24) {
					t.Fatalf("exp(%v) = %v, want +Inf", x[i], v)
				}
				continue
			}
			_, e := math.Frexp(want)
			worst = max(worst, math.Abs(float64(v)-want)/math.Ldexp(1, max(e-24, -149)))
		}
		if !(worst <= 2) {
			t.Errorf("worst error %v units in the last place", worst)
		}
		inf := float32(math.Inf(1))
		s := []float32{-inf, inf, float32(math.NaN()), 0, -1e30, 1e30}
		Exp(s, s)
		if s[0] != 0 || s[1] != inf || s[2] == s[2] || s[3] != 1 || s[4] != 0 || s[5] != inf {
			t.Errorf("exp of -Inf, Inf, NaN, 0, -1e30, 1e30: %v", s)
		}
	})
}

// TestNaNTravels: one NaN in any input must show in the output at its place.
func TestNaNTravels(t *testing.T) {
	levels(t, func(t *testing.T) {
		for _, c := range elementCases {
			for bad := range c.nin {
				in := make([][]float32, c.nin)
				for i := range in {
					in[i] = make([]float32, 40) // zeros, which must not hide it
				}
				in[bad][21] = float32(math.NaN())
				seen := false
				for _, o := range c.run(in) {
					seen = seen || o[21] != o[21]
					if o[20] != o[20] || o[22] != o[22] {
						t.Errorf("%s: NaN spread to a neighbour", c.name)
					}
				}
				// outputs that are assigned do not read what was there
				assigned := map[string]int{"Mul": 1, "Exp": 1, "SiLUMul": 1, "SiLUMulBackward": 2, "GELU": 1, "GELUBackward": 1, "GELUTanh": 1, "GELUTanhBackward": 1}[c.name]
				if seen != (bad >= assigned) {
					t.Errorf("%s: NaN in input %d: seen %v", c.name, bad, seen)
				}
			}
		}
	})
}

func TestFormats(t *testing.T) {
	levels(t, func(t *testing.T) {
		var x []float32
		for i := range 1 << 16 { // every bf16, and its neighbours and ties in f32
			for _, low := range []uint32{0, 1, 0x7fff, 0x8000, 0x8001, 0xffff} {
				x = append(x, math.Float32frombits(uint32(i)<<16|low))
			}
		}
		b := make([]uint16, len(x))
		F32ToBF16(b, x)
		wide := make([]float32, len(x))
		BF16ToF32(wide, b)
		for i, v := range x {
			w := wide[i]
			if v != v {
				if w == w {
					t.Fatalf("NaN %08x became %v", math.Float32bits(v), w)
				}
				continue
			}
			want := ToBF16(v)
			if active.Load().converts && math.Float32bits(v)&0x7f800000 == 0 {
				want &= 0x8000
			}
			if b[i] != want {
				t.Fatalf("%08x: %04x, want %04x", math.Float32bits(v), b[i], want)
			}
			if want != ToBF16(v) {
				continue
			}
			lo := math.Float32frombits(math.Float32bits(v) &^ 0xffff)
			hi := math.Float32frombits(math.Float32bits(lo) + 0x10000)
			if w != lo && w != hi {
				t.Fatalf("%v became %v, neither %v nor %v", v, w, lo, hi)
			}
			if !math.IsInf(float64(hi), 0) && math.Abs(float64(w)-float64(v)) > math.Abs(float64(hi)-float64(lo))/2 {
				t.Fatalf("%v became %v, not the nearest", v, w)
			}
		}
	})
	for h := range 1 << 16 {
		v := F32FromF16(uint16(h))
		if v != v {
			if h&0x7c00 != 0x7c00 || h&0x3ff == 0 {
				t.Fatalf("%04x became NaN", h)
			}
			continue
		}
		if ToF16(v) != uint16(h) {
			t.Fatalf("%04x came back as %04x", h, ToF16(v))
		}
		next := F32FromF16(uint16(h) + 1)
		if h&0x7fff >= 0x7bff {
			continue
		}
		mid := (v + next) / 2 // exact: ties go to even
		if got := ToF16(mid); got != uint16(h+h&1) {
			t.Fatalf("the tie above %04x became %04x", h, got)
		}
	}
	if ToF16(65519.99) != 0x7bff || ToF16(65520) != 0x7c00 || ToF16(float32(math.Inf(-1))) != 0xfc00 || ToF16(float32(math.NaN()))&0x7fff <= 0x7c00 {
		t.Error("f16 at the end of its range")
	}
}
