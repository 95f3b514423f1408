package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// wide loads 16 bf16 as float32.
func wide(m Mem) reg.VecVirtual {
	x := ZMM()
	VPMOVZXWD(m, x)
	VPSLLD(U8(16), x, x)
	return x
}

// narrow stores x as 16 bf16, by registers that nothing else uses.
func narrow(x reg.VecVirtual, m Mem) {
	VMOVAPS(x, reg.Z31)
	raw("AVX512_BF16", 0x62, 0x02, 0x7e, 0x48, 0x72, 0xf7) // VCVTNEPS2BF16 Y30 = Z31
	VMOVDQU32(reg.Y30, m)
}

// siluHalf are siluMul and siluMulBack of bf16, exact to what rounding to it costs.
func (v vec) siluHalf() {
	body := func(name, signature string, slices []string, f func(half place)) {
		p, n := v.begin(name, signature, "gate", slices...)
		i := GP64()
		XORQ(i, i)
		Label("next")
		f(func(s string) Mem { return Mem{Base: p[s], Index: i, Scale: 2} })
		ADDQ(U8(16), i)
		CMPQ(i, n)
		JLT(LabelRef("next"))
		v.end()
	}
	body("siluMulHalf", "func(y, gate, up []uint16)", []string{"y", "gate", "up"}, func(half place) {
		g := wide(half("gate"))
		y := v.mul(g, logisticHalf(g))
		VMULPS(wide(half("up")), y, y)
		narrow(y, half("y"))
	})
	body("siluMulHalfBack", "func(dgate, dup, dy, gate, up []uint16)", []string{"dgate", "dup", "dy", "gate", "up"}, func(half place) {
		g := wide(half("gate"))
		dg, du := v.siluSlopes(g, logisticHalf(g), wide(half("up")), wide(half("dy")))
		narrow(dg, half("dgate"))
		narrow(du, half("dup"))
	})
}

// normHalf is norm without a mean, rounded.
func (v vec) normHalf() {
	p, n := v.begin("normHalf", "func(y []uint16, x, gain []float32, rstd float32)", "x", "y", "x", "gain")
	rstd := v.broadcast("rstd")
	i := GP64()
	XORQ(i, i)
	Label("next")
	x := v.mul(rstd, Mem{Base: p["x"], Index: i, Scale: 4})
	VMULPS(Mem{Base: p["gain"], Index: i, Scale: 4}, x, x)
	narrow(x, Mem{Base: p["y"], Index: i, Scale: 2})
	ADDQ(U8(16), i)
	CMPQ(i, n)
	JLT(LabelRef("next"))
	v.end()
}

// ropeHalf turns heads of 2*half numbers in each row and rounds them: half is a multiple of 16, ldd in bytes, and zero -0 where angles are
// to be turned back, else 0.
func (v vec) ropeHalf() {
	TEXT("ropeHalfAVX512", NOSPLIT, "func(dst *uint16, ldd int, x, cos, sin *float32, rows, heads, half int, zero float32)")
	Pragma("noescape")
	arg := func(name string) reg.GPVirtual { return Load(Param(name), GP64()).(reg.GPVirtual) }
	dst, ldd, x, cos, sin := arg("dst"), arg("ldd"), arg("x"), arg("cos"), arg("sin")
	rows, heads, half := arg("rows"), arg("heads"), arg("half")
	zero, err := Param("zero").Resolve()
	if err != nil {
		panic(err)
	}
	sign := ZMM()
	VBROADCASTSS(zero.Addr, sign)
	Label("row")
	to, head, i := GP64(), GP64(), GP64()
	MOVQ(dst, to)
	MOVQ(heads, head)
	Label("head")
	x2, to2 := GP64(), GP64()
	LEAQ(Mem{Base: x, Index: half, Scale: 4}, x2)
	LEAQ(Mem{Base: to, Index: half, Scale: 2}, to2)
	XORQ(i, i)
	Label("next")
	at := func(base reg.Register) Mem { return Mem{Base: base, Index: i, Scale: 4} }
	a, b, s := v.load(at(x)), v.load(at(x2)), v.load(at(sin))
	VPXORD(sign, s, s)
	t, u := v.mul(s, b), v.mul(s, a) // as rope does
	VFMSUB231PS(at(cos), a, t)
	VFMADD231PS(at(cos), b, u)
	narrow(t, Mem{Base: to, Index: i, Scale: 2})
	narrow(u, Mem{Base: to2, Index: i, Scale: 2})
	ADDQ(U8(16), i)
	CMPQ(i, half)
	JLT(LabelRef("next"))
	LEAQ(Mem{Base: x2, Index: half, Scale: 4}, x)
	LEAQ(Mem{Base: to2, Index: half, Scale: 2}, to)
	DECQ(head)
	JNZ(LabelRef("head"))
	LEAQ(Mem{Base: cos, Index: half, Scale: 4}, cos)
	LEAQ(Mem{Base: sin, Index: half, Scale: 4}, sin)
	ADDQ(ldd, dst)
	DECQ(rows)
	JNZ(LabelRef("row"))
	v.end()
}

// convertBF is toBF by the instructions of AVX512_BF16, which the assembler lacks. They take numbers below the normal ones for 0.
func convertBF() {
	TEXT("convertBFAVX512", NOSPLIT, "func(dst []uint16, src []float32, by float32)")
	Pragma("noescape")
	dst, src, n := Load(Param("dst").Base(), GP64()), Load(Param("src").Base(), GP64()), Load(Param("src").Len(), GP64())
	p, err := Param("by").Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(p.Addr, reg.Z3)
	SUBQ(U8(32), n)
	JLT(LabelRef("rest"))
	Label("next")
	VMULPS(Mem{Base: src}, reg.Z3, two[0])
	VMULPS(Mem{Base: src, Disp: 64}, reg.Z3, two[1])
	convertTwo()
	VMOVDQU32(both, Mem{Base: dst})
	ADDQ(U8(128), src)
	ADDQ(U8(64), dst)
	SUBQ(U8(32), n)
	JGE(LabelRef("next"))
	Label("rest")
	ADDQ(U8(32), n)
	JZ(LabelRef("done"))
	VMULPS(Mem{Base: src}, reg.Z3, reg.Z0)
	raw("AVX512_BF16", 0x62, 0xf2, 0x7e, 0x48, 0x72, 0xd0) // VCVTNEPS2BF16 Y2 = Z0
	VMOVDQU(reg.Y2, Mem{Base: dst})
	Label("done")
	VZEROUPPER()
	RET()
}

// two are the low and the high half of what convertTwo, VCVTNE2PS2BF16, rounds, 32 bf16 in both: registers that nothing else uses.
var two, both = []reg.VecPhysical{reg.Z30, reg.Z31}, reg.Z29

func convertTwo() { raw("AVX512_BF16", 0x62, 0x02, 0x07, 0x40, 0x72, 0xee) }

// rowFunction sets to to a function of x, which is lost.
type rowFunction func(x, to reg.Register)

// roundRow writes a row of 32 sums, and bias added to each, to dst in bf16, or put of them unless that is nil.
func roundRow(dst, sums reg.Register, bias [2]Op, put rowFunction) {
	roundBoth(sums, bias, put)
	VMOVDQU32(both, Mem{Base: dst})
}

// roundBoth is roundRow whose result stays in a register.
func roundBoth(sums reg.Register, bias [2]Op, put rowFunction) {
	for q, to := range two {
		x := ZMM()
		VMOVUPS(Mem{Base: sums, Disp: 64 * q}, x)
		if put == nil {
			VADDPS(bias[q], x, to)
			continue
		}
		VADDPS(bias[q], x, x)
		put(x, to)
	}
	convertTwo()
}

// sumRow writes a row of 32 sums, and bias added to each, and what is at add unless that is nil, to dst.
func sumRow(dst, sums reg.Register, bias [2]Op, add reg.Register) {
	for q := range 2 {
		x := ZMM()
		VMOVUPS(Mem{Base: sums, Disp: 64 * q}, x)
		VADDPS(bias[q], x, x)
		if add != nil {
			VADDPS(Mem{Base: add, Disp: 64 * q}, x, x)
		}
		VMOVUPS(x, Mem{Base: dst, Disp: 64 * q})
	}
}

// eachTileRow writes a function over the rows of a tile c of 32 columns and of dst, ldd numbers of 1<<shift bytes apart. What setup returns is
// done to each.
func eachTileRow(name, signature string, shift uint64, setup func() func(dst, c reg.Register, bias [2]Op)) {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
	dst, ldd, left, c := Load(Param("dst"), GP64()), Load(Param("ldd"), GP64()), Load(Param("rows"), GP64()), Load(Param("c"), GP64())
	SHLQ(U8(shift), ldd)
	b := Load(Param("bias"), GP64())
	var bias [2]Op
	for q := range bias {
		bias[q] = widths[1].load(Mem{Base: b, Disp: 64 * q})
	}
	row := setup()
	Label("next")
	row(dst, c, bias)
	ADDQ(U32(128), c)
	ADDQ(ldd, dst)
	DECQ(left)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}

// convertRows rounds the rows of a tile of 32 columns, and bias added to each, to bf16, in rows ldd apart.
func convertRows() {
	eachTileRow("convertRowsAVX512", "func(dst *uint16, ldd, rows int, c, bias *float32)", 1, func() func(dst, c reg.Register, bias [2]Op) {
		return func(dst, c reg.Register, bias [2]Op) { roundRow(dst, c, bias, nil) }
	})
}

// geluRows is convertRows with x*logistic(x*q(min(x*x, coef[3]))) of each sum x, q having the coefficients coef[0:3], times -log2(e).
func geluRows() {
	eachTileRow("geluRowsAVX512", "func(dst *uint16, ldd, rows int, c, bias *float32, coef *[4]float32)", 1, func() func(dst, c reg.Register, bias [2]Op) {
		gelu := geluBy(Load(Param("coef"), GP64()))
		return func(dst, c reg.Register, bias [2]Op) { roundRow(dst, c, bias, gelu) }
	})
}

// geluBy is that function with the coefficients at from.
func geluBy(from reg.Register) rowFunction {
	v := widths[1]
	var coef [4]reg.VecVirtual
	for i := range coef {
		coef[i] = v.r()
		VBROADCASTSS(Mem{Base: from, Disp: 4 * i}, coef[i])
	}
	return func(x, to reg.Register) {
		t, p := v.mul(x, x), v.r()
		VMINPS(coef[3], t, t)
		VMOVAPS(coef[2], p)
		VFMADD213PS(coef[1], t, p)
		VFMADD213PS(coef[0], t, p)
		VMULPS(x, p, p)
		VMULPS(x, logisticOf(p), to)
	}
}

// sumRows adds a tile of 32 columns, bias to each row, and rows of x, into rows of dst.
func sumRows() {
	eachTileRow("sumRowsAVX512", "func(dst *float32, ldd, rows int, c, bias, x *float32, ldx int)", 2, func() func(dst, c reg.Register, bias [2]Op) {
		x, ldx := Load(Param("x"), GP64()), Load(Param("ldx"), GP64())
		SHLQ(U8(2), ldx)
		return func(dst, c reg.Register, bias [2]Op) {
			sumRow(dst, c, bias, x)
			ADDQ(ldx, x)
		}
	})
}

// pairRows is interleave for rows lds apart.
func pairRows() {
	TEXT("pairRowsAVX512", NOSPLIT, "func(dst, src *uint16, lds, pairs int)")
	Pragma("noescape")
	dst, src, lds, left := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("lds"), GP64()), Load(Param("pairs"), GP64())
	SHLQ(U8(1), lds)
	Label("next")
	for q := range 2 {
		a, b := ZMM(), ZMM()
		VPMOVZXWD(Mem{Base: src, Disp: 32 * q}, a)
		VPMOVZXWD(Mem{Base: src, Index: lds, Scale: 1, Disp: 32 * q}, b)
		VPSLLD(U8(16), b, b)
		VPORD(a, b, b)
		VMOVDQU32(b, Mem{Base: dst, Disp: 64 * q})
	}
	LEAQ(Mem{Base: src, Index: lds, Scale: 2}, src)
	ADDQ(U32(128), dst)
	DECQ(left)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}
