package kernels

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"testing"
)

// exactInputs are numbers in [-4,4), the same on every machine: made of integers, no function of math.
func exactInputs(n int, seed uint32) []float32 {
	x := make([]float32, n)
	for i := range x {
		seed = seed*1664525 + 1013904223
		x[i] = float32(int32(seed)) * 0x1p-29
	}
	return x
}

func hashOf(outs ...[]float32) uint64 {
	h := fnv.New64a()
	var b [4]byte
	for _, x := range outs {
		for _, v := range x {
			binary.LittleEndian.PutUint32(b[:], math.Float32bits(v))
			h.Write(b[:])
		}
	}
	return h.Sum64()
}

// outputs are what the functions of this package make of exactInputs, by name.
func outputs() map[string][][]float32 {
	all := map[string][][]float32{}
	const n = 3000 + 7
	in := func(i int) []float32 { return exactInputs(n, uint32(100+i)) }
	for _, c := range elementCases {
		var x [][]float32
		for i := range c.nin {
			x = append(x, in(i))
		}
		all[c.name] = c.run(x)
	}
	soft := in(1)
	Softmax(soft, 1)
	square := SumSquares(in(1))
	all["Dot"] = [][]float32{{Dot(in(1), in(2))}}
	all["Sum"] = [][]float32{{Sum(in(1))}}
	all["Max"] = [][]float32{{Max(in(1))}}
	all["SumSquares"] = [][]float32{{float32(square), float32(square - float64(float32(square)))}}
	all["LogSumExp"] = [][]float32{{LogSumExp(in(1))}}
	all["Softmax"] = [][]float32{soft}

	const rows, cols, eps = 23, 119, 1e-5
	row := func(i int) []float32 { return exactInputs(rows*cols, uint32(200+i)) }
	vec := func(i int) []float32 { return exactInputs(cols, uint32(300+i)) }
	y, dx, dgain, dbias, mean, rstd := row(1), row(2), vec(1), vec(2), make([]float32, rows), make([]float32, rows)
	RMSNorm(y, row(3), vec(3), eps, rows, cols, rstd)
	RMSNormBackward(dx, nil, row(4), row(3), vec(3), rstd, rows, cols, dgain)
	all["RMSNorm"] = [][]float32{y, rstd, dx, dgain}
	y, dx, dgain, rstd = row(1), row(2), vec(1), make([]float32, rows)
	LayerNorm(y, row(3), vec(3), vec(4), eps, rows, cols, mean, rstd)
	LayerNormBackward(dx, row(4), row(3), vec(3), mean, rstd, rows, cols, dgain, dbias)
	all["LayerNorm"] = [][]float32{y, mean, rstd, dx, dgain, dbias}
	x := exactInputs(rows*2*70, 400)
	RoPE(x, 140, exactInputs(rows*35, 401), exactInputs(rows*35, 402), rows, 2, 70, true)
	all["RoPE"] = [][]float32{x}

	const m, nn, k = 29, 70, 96
	for form := range 4 {
		ta, tb := form&1 > 0, form&2 > 0
		c, lda, ldb := exactInputs(m*nn, 500), k, nn
		if ta {
			lda = m
		}
		if tb {
			ldb = k
		}
		Gemm(ta, tb, m, nn, k, exactInputs(m*k, 501), lda, exactInputs(k*nn, 502), ldb, c, nn, true)
		all["Gemm "+[]string{"NN", "TN", "NT", "TT"}[form]] = [][]float32{c}
	}
	for typ, name := range map[PanelType]string{PanelF32: "f32", PanelBF16: "bf16", PanelI16: "int16", PanelQ8: "q8", PanelQ4: "q4"} {
		p := panelsOf(exactInputs(nn*k, 600), nn, k, typ)
		y, dx := make([]float32, m*nn), make([]float32, m*k)
		p.MatMul(y, Rows{F: exactInputs(m*k, 601)}, m, false, F32, Tail{})
		p.MatMulBackward(dx, Rows{F: exactInputs(m*nn, 602)}, m, false, F32, nil)
		all["Panels "+name] = [][]float32{y, dx}
	}
	return all
}

// wantBits are hashes of outputs: of the generic level and of every other one. NEON and the AVX levels round alike, on any
// machine; whoever changes the arithmetic of one changes the others and these numbers with it.
var wantBits = map[string][2]uint64{
	"AdamW":            {0xaf7544b430a181c6, 0xd1a9f2be926a9180},
	"Add":              {0xf44a98a41fceb4c4, 0xf44a98a41fceb4c4},
	"Axpy":             {0xb9000fde58639ef9, 0xe8d055ef317d9459},
	"Dot":              {0x41a787ac08b21122, 0xc935c1d0d96878c3},
	"Exp":              {0xedaa1c2d8ada1da4, 0xcf47bc64535aa5b7},
	"GELU":             {0xd31f0cc32b105e6c, 0x7dca943fdccbf543},
	"GELUBackward":     {0xa01fd21cbe5de479, 0xa4f1b0eac31ed022},
	"GELUTanh":         {0xa58d67664daa9db3, 0x2175329b2bdae490},
	"GELUTanhBackward": {0xcedb9022932c350c, 0x564159bec13979ba},
	"Gemm NN":          {0x096fabb0f506abf9, 0x5aff0d3cc515461e},
	"Gemm NT":          {0x2bf201e74bf4b733, 0xe06a5d5fce260d0e},
	"Gemm TN":          {0x572860a18ba0da55, 0x73ae17398750a055},
	"Gemm TT":          {0x9a5e0fe0f70aa190, 0x19f6ddc9221a2976},
	"LayerNorm":        {0xcb3e25d399e96786, 0x3ec2a4b7676af2c9},
	"LogSumExp":        {0x38e3f51de0738fb3, 0x38e3f51de0738fb3},
	"Max":              {0xde54dcb13dc40e4c, 0xde54dcb13dc40e4c},
	"Mul":              {0x571b0b69768c991b, 0x571b0b69768c991b},
	"Panels bf16":      {0xd449a479e96c5149, 0x6c7ea2fad0be1c87},
	"Panels f32":       {0x76a0afcbec325004, 0x587cb487c49b231b},
	"Panels int16":     {0xc8aef189341d0e8f, 0xc8aef189341d0e8f},
	"Panels q4":        {0xd063ee920f19a5fe, 0xccb763a66e5eb7d0},
	"Panels q8":        {0x30553aec7c0cd3d2, 0xf6f9c44c12886168},
	"RMSNorm":          {0x16368ced5debee60, 0x4227b22250e646e3},
	"RoPE":             {0xcbb3d05f09d4cd76, 0x48da4ccf14d003ce},
	"Scale":            {0xddf196054c55e792, 0xddf196054c55e792},
	"SiLUMul":          {0x42081b0ec4f5e10e, 0x07c18d5f0976b93b},
	"SiLUMulBackward":  {0x5c0b4f7bbacd8f1e, 0x1191882a952356a2},
	"Softmax":          {0x1b36fe8abcf2936d, 0xf752abbe4f25356a},
	"Sum":              {0xb9def82d085fbe71, 0xb9def82d085fbe71},
	"SumSquares":       {0x317cefb9ad662a4c, 0x317cefb9ad662a4c},
}

// TestBitsAcrossMachines: run on amd64 and on arm64, it shows that both compute the same bits in f32.
func TestBitsAcrossMachines(t *testing.T) {
	levels(t, func(t *testing.T) {
		got := outputs()
		if len(got) != len(wantBits) {
			t.Errorf("%d outputs, %d wanted", len(got), len(wantBits))
		}
		which := 0
		if Active() != Generic {
			which = 1
		}
		for name, outs := range got {
			if h := hashOf(outs...); h != wantBits[name][which] {
				t.Errorf("%q: %#016x, want %#016x", name, h, wantBits[name][which])
			}
		}
	})
}
