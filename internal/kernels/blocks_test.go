package kernels

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
)

// blockInputs are rows with blocks of nothing, of tiny and of large numbers.
func blockInputs(r *rand.Rand, m, k int) []float32 {
	x := random(r, m*k)
	clear(x[:min(len(x), QuantBlock)])
	for i := range x {
		switch i / QuantBlock % 7 {
		case 3:
			x[i] *= 1e-33
		case 5:
			x[i] *= 1e20
		}
	}
	return x
}

// TestQuantRow: every level rounds a row of the left operand to the same bytes, no integer more than half a step off.
func TestQuantRow(t *testing.T) {
	const k = 9 * QuantBlock
	r := rand.New(rand.NewPCG(41, 42))
	x := blockInputs(r, 1, k)
	want := make([]byte, k/QuantBlock*rowBlock)
	quantRowGeneric(want, x)
	for i, v := range x {
		scale := math.Float32frombits(asU32Bytes(want[i/QuantBlock*rowBlock+rowScale:]))
		d := want[i/QuantBlock*rowBlock+i%QuantBlock:]
		if q := float32(digitBase*int(int8(d[0])) + int(int8(d[rowLow]))); math.Abs(float64(v-q*scale)) > max(0.5001*float64(scale), 1e-30) {
			t.Fatalf("element %d is %v, its integer %v times %v", i, v, q, scale)
		}
	}
	levels(t, func(t *testing.T) {
		g := &guards{t: t}
		if active.Load().quantRow == nil {
			t.Skip("no products of integers with blocks at this level")
		}
		got := asBytes(g.make(len(want) / 4))
		active.Load().quantRow(got, x)
		if !bytes.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
		g.check("rounded row")
	})
}

func asU32Bytes(x []byte) uint32 {
	return uint32(x[0]) | uint32(x[1])<<8 | uint32(x[2])<<16 | uint32(x[3])<<24
}

// TestBlocks: a product of integers is that of the rounded row, whatever rows and threads are beside it, the tail included; a row
// that is not finite shows.
func TestBlocks(t *testing.T) {
	levels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(43, 44))
		g := &guards{t: t}
		for _, s := range [][2]int{{1, 32}, {31, 64}, {100, 96}, {160, 576}} {
			n, k := s[0], s[1]
			for _, typ := range []PanelType{PanelQ8, PanelQ4} {
				p := panelsOf(random(r, n*k), n, k, typ)
				if !p.Blocks(I16) {
					t.Skip("no product of integers with blocks at this level")
				}
				const most = 29
				x, bias := blockInputs(r, most, k), random(r, n)
				low := &LowRank{R: 3, U: random(r, most*3), V: random(r, n*3)}
				tail := Tail{Low: low, Bias: bias}
				whole, start := make([]float32, most*n), random(r, most*n)
				p.MatMul(whole, Rows{F: x}, most, false, I16, tail)
				row, w := make([]byte, k/QuantBlock*rowBlock), make([]float32, k)
				for i := range most {
					quantRowGeneric(row, x[i*k:][:k])
					for j := range n {
						p.Row(w, j)
						sum, mag := float64(bias[j]), math.Abs(float64(bias[j]))
						for l, v := range w {
							b := row[l/QuantBlock*rowBlock:]
							f := float64(digitBase*int(int8(b[l%QuantBlock]))+int(int8(b[rowLow+l%QuantBlock]))) * float64(math.Float32frombits(asU32Bytes(b[rowScale:]))) * float64(v)
							sum, mag = sum+f, mag+math.Abs(f)
						}
						for l := range low.R {
							sum += float64(low.U[i*low.R+l]) * float64(low.V[j*low.R+l])
						}
						if d := math.Abs(float64(whole[i*n+j]) - sum); !(d <= 1e-5*(mag+1)) {
							t.Fatalf("%v type %d: (%d,%d) is %v, want %v", s, typ, i, j, whole[i*n+j], sum)
						}
					}
				}
				for _, m := range []int{1, 2, 3, 5, 6, 7, 12, most} {
					SetThreads(1 + m%3)
					got := g.copy(start[:m*n])
					p.MatMul(got, Rows{F: x}, m, m%2 == 0, I16, Tail{})
					want := append([]float32{}, start[:m*n]...)
					for i := range m {
						one := want[i*n:][:n]
						p.MatMul(one, Rows{F: x[i*k:]}, 1, m%2 == 0, I16, Tail{})
					}
					SetThreads(0)
					g.check("product of blocks")
					if i := equalBits(got, want); i >= 0 {
						t.Fatalf("%v type %d, %d rows: element %d is %v, alone %v", s, typ, m, i, got[i], want[i])
					}
				}
				y := make([]float32, n)
				for _, bad := range []float64{math.NaN(), math.Inf(1)} {
					v := append([]float32{}, x[:k]...)
					v[k-1] = float32(bad)
					if p.MatMul(y, Rows{F: v}, 1, false, I16, Tail{}); !math.IsNaN(float64(y[0])) && !math.IsInf(float64(y[0]), 0) {
						t.Fatalf("%v type %d: of a row with %v: %v", s, typ, bad, y[0])
					}
				}
				dx, want := make([]float32, k), make([]float32, k)
				p.MatMulBackward(dx, Rows{F: start}, 1, false, I16, nil)
				p.MatMulBackward(want, Rows{F: start}, 1, false, F32, nil)
				if i := equalBits(dx, want); i >= 0 {
					t.Fatalf("%v type %d: backward is not the one in float32", s, typ)
				}
			}
		}
	})
}
