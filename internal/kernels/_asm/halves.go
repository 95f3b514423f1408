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
	body := func(name, signature string, slices []string, f func(half, full place)) {
		p, n := v.begin(name, signature, "gate", slices...)
		i := GP64()
		XORQ(i, i)
		Label("next")
		f(func(s string) Mem { return Mem{Base: p[s], Index: i, Scale: 2} }, func(s string) Mem { return Mem{Base: p[s], Index: i, Scale: 4} })
		ADDQ(U8(16), i)
		CMPQ(i, n)
		JLT(LabelRef("next"))
		v.end()
	}
	body("siluMulHalf", "func(y, gate, up []uint16)", []string{"y", "gate", "up"}, func(half, _ place) {
		g := wide(half("gate"))
		y := v.mul(g, logisticHalf(g))
		VMULPS(wide(half("up")), y, y)
		narrow(y, half("y"))
	})
	body("siluMulHalfBack", "func(dgate, dup []uint16, dy []float32, gate, up []uint16)", []string{"dgate", "dup", "dy", "gate", "up"}, func(half, full place) {
		g := wide(half("gate"))
		dg, du := v.siluSlopes(g, logisticHalf(g), wide(half("up")), v.load(full("dy")))
		narrow(dg, half("dgate"))
		narrow(du, half("dup"))
	})
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

// convertRows rounds the rows of a tile of 32 columns, and bias added to each, to bf16, in rows ldd apart.
func convertRows() {
	TEXT("convertRowsAVX512", NOSPLIT, "func(dst *uint16, ldd, rows int, c, bias *float32)")
	Pragma("noescape")
	dst, ldd, left, c := Load(Param("dst"), GP64()), Load(Param("ldd"), GP64()), Load(Param("rows"), GP64()), Load(Param("c"), GP64())
	b := Load(Param("bias"), GP64())
	VMOVUPS(Mem{Base: b}, reg.Z3)
	VMOVUPS(Mem{Base: b, Disp: 64}, reg.Z4)
	SHLQ(U8(1), ldd)
	Label("next")
	VADDPS(Mem{Base: c}, reg.Z3, two[0])
	VADDPS(Mem{Base: c, Disp: 64}, reg.Z4, two[1])
	convertTwo()
	VMOVDQU32(both, Mem{Base: dst})
	ADDQ(U32(128), c)
	ADDQ(ldd, dst)
	DECQ(left)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}

// geluRows is convertRows with x*logistic(x*q(min(x*x, coef[3]))) of each sum x, q having the coefficients coef[0:3], times -log2(e).
func geluRows() {
	TEXT("geluRowsAVX512", NOSPLIT, "func(dst *uint16, ldd, rows int, c, bias *float32, coef *[4]float32)")
	Pragma("noescape")
	dst, ldd, left, c := Load(Param("dst"), GP64()), Load(Param("ldd"), GP64()), Load(Param("rows"), GP64()), Load(Param("c"), GP64())
	v := widths[1]
	b, from := Load(Param("bias"), GP64()), Load(Param("coef"), GP64())
	bias := []reg.VecVirtual{v.load(Mem{Base: b}), v.load(Mem{Base: b, Disp: 64})}
	gelu := geluBy(from)
	SHLQ(U8(1), ldd)
	Label("next")
	for q, to := range two {
		x := v.r()
		VADDPS(Mem{Base: c, Disp: 64 * q}, bias[q], x)
		gelu(x, to)
	}
	convertTwo()
	VMOVDQU32(both, Mem{Base: dst})
	ADDQ(U32(128), c)
	ADDQ(ldd, dst)
	DECQ(left)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}

// geluBy is that function of x with the coefficients at from.
func geluBy(from reg.Register) func(x, to reg.Register) {
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
	TEXT("sumRowsAVX512", NOSPLIT, "func(dst *float32, ldd, rows int, c, bias, x *float32, ldx int)")
	Pragma("noescape")
	dst, ldd, left, c := Load(Param("dst"), GP64()), Load(Param("ldd"), GP64()), Load(Param("rows"), GP64()), Load(Param("c"), GP64())
	x, ldx := Load(Param("x"), GP64()), Load(Param("ldx"), GP64())
	SHLQ(U8(2), ldd)
	SHLQ(U8(2), ldx)
	b := Load(Param("bias"), GP64())
	bias := []reg.VecVirtual{ZMM(), ZMM()}
	for q, z := range bias {
		VMOVUPS(Mem{Base: b, Disp: 64 * q}, z)
	}
	Label("next")
	for q := range 2 {
		z := ZMM()
		VADDPS(Mem{Base: c, Disp: 64 * q}, bias[q], z)
		VADDPS(Mem{Base: x, Disp: 64 * q}, z, z)
		VMOVUPS(z, Mem{Base: dst, Disp: 64 * q})
	}
	ADDQ(U32(128), c)
	ADDQ(ldx, x)
	ADDQ(ldd, dst)
	DECQ(left)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
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
