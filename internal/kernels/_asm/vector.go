package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// vec writes one function in either width; all functions take multiples of 16 elements, so that both widths treat an
// element alike and no tails exist.
type vec struct {
	bytes  int
	suffix string
}

var widths = []vec{{32, "AVX2"}, {64, "AVX512"}}

func (v vec) r() reg.VecVirtual {
	if v.bytes == 64 {
		return ZMM()
	}
	return YMM()
}

// parts are the vectors in 16 elements of 4 bytes.
func (v vec) parts() int { return 64 / v.bytes }

func (v vec) load(m Mem) reg.VecVirtual {
	x := v.r()
	VMOVUPS(m, x)
	return x
}

func (v vec) broadcast(param string) reg.VecVirtual {
	x := v.r()
	p, err := Param(param).Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(p.Addr, x)
	return x
}

// begin opens a function whose first slice gives the length; ptr has the base of each slice by name.
func (v vec) begin(name, signature string, length string, slices ...string) (ptr map[string]reg.Register, n reg.GPVirtual) {
	TEXT(name+v.suffix, NOSPLIT, signature)
	Pragma("noescape")
	ptr = map[string]reg.Register{}
	for _, s := range slices {
		ptr[s] = Load(Param(s).Base(), GP64())
	}
	n = GP64()
	Load(Param(length).Len(), n)
	return ptr, n
}

// each runs body for every part of every 16 elements; at gives the place of that part in a slice.
func (v vec) each(ptr map[string]reg.Register, n reg.GPVirtual, body func(at func(string) Mem, part int)) {
	i := GP64()
	XORQ(i, i)
	Label("next")
	for p := range v.parts() {
		body(func(s string) Mem { return Mem{Base: ptr[s], Index: i, Scale: 4, Disp: p * v.bytes} }, p)
	}
	ADDQ(U8(16), i)
	CMPQ(i, n)
	JLT(LabelRef("next"))
}

func (v vec) end() {
	VZEROUPPER()
	RET()
}

var constants = map[uint32]Mem{}

// bits is a 64-byte constant of 16 equal words; f32 the same of a float.
func bits(u uint32) Mem {
	if m, ok := constants[u]; ok {
		return m
	}
	m := GLOBL(fmt.Sprintf("c%08x", u), RODATA|NOPTR)
	for i := range 16 {
		DATA(4*i, U32(u))
	}
	constants[u] = m
	return m
}

func f32(f float64) Mem { return bits(math.Float32bits(float32(f))) }

// Short names; destination last, as in Go's assembler.
func (v vec) op2(f func(ops ...Op), a, b Op) reg.VecVirtual {
	d := v.r()
	f(b, a, d)
	return d
}
func (v vec) sub(a, b Op) reg.VecVirtual { return v.op2(VSUBPS, a, b) } // a-b; b may be in memory
func (v vec) mul(a, b Op) reg.VecVirtual { return v.op2(VMULPS, a, b) }
func (v vec) div(a, b Op) reg.VecVirtual { return v.op2(VDIVPS, a, b) }
func (v vec) and(a, b Op) reg.VecVirtual { return v.op2(VANDPS, a, b) }
func (v vec) xor(a, b Op) reg.VecVirtual { return v.op2(VXORPS, a, b) }

// con loads a constant where an operand must be a register.
func (v vec) con(m Mem) reg.VecVirtual { return v.load(m) }

// horner is the polynomial with the highest coefficient first, in x, by fused multiply-adds.
func (v vec) horner(x Op, coef ...float64) reg.VecVirtual {
	q := v.con(f32(coef[0]))
	for _, c := range coef[1:] {
		VFMADD213PS(f32(c), x, q) // q = q*x + c
	}
	return q
}

// exp is e^x: x = n ln2 + r with |r| <= ln2/2, e^r = 1 + r + r²q(r) with q of degree 4 fitted for least relative error (3e-9), then
// two multiplications by powers of two, which round subnormal results once. NaN stays NaN, the ends are 0 and Inf.
func (v vec) exp(x Op) reg.VecVirtual { return v.expFrom(x, -104) }

// expFrom is exp with x no less than low.
func (v vec) expFrom(x Op, low float64) reg.VecVirtual {
	a := v.con(f32(89))
	VMINPS(x, a, a) // the second operand wins when x is NaN
	b := v.con(f32(low))
	VMAXPS(a, b, a)
	const magic = 0x1.8p23 // its unit in the last place is 1
	t := v.con(f32(math.Log2E))
	VFMADD213PS(f32(magic), a, t)
	n := v.sub(t, f32(magic))
	VFNMADD231PS(f32(0x1.62e4p-1), n, a) // 15 bits of ln2: the product is exact
	VFNMADD231PS(f32(math.Ln2-0x1.62e4p-1), n, a)
	q := v.horner(a, 0.0013814320554956794, 0.00836885068565607, 0.041668400168418884, 0.1666651964187622, 0.4999999403953552, 1, 1)
	if v.bytes == 64 {
		VSCALEFPS(n, q, q) // rounds once too
		return q
	}
	k := v.r()
	VPSUBD(bits(math.Float32bits(magic)), t, k)
	h := v.r()
	VPSRAD(U8(1), k, h)
	VPSUBD(h, k, k)
	for _, e := range []reg.VecVirtual{h, k} {
		VPADDD(bits(127), e, e)
		VPSLLD(U8(23), e, e)
		VMULPS(e, q, q)
	}
	return q
}

// expNormal is exp with 0 for what lies below expLow: the processor takes its time with subnormal results.
func (v vec) expNormal(x Op) reg.VecVirtual {
	const notLess = 5 // a NaN is not
	e := v.expFrom(x, expLow)
	if v.bytes == 64 {
		k := K()
		VCMPPS(U8(notLess), f32(expLow), x, k)
		VMOVAPS_Z(e, k, e)
		return e
	}
	mask := v.r()
	VCMPPS(U8(notLess), f32(expLow), x, mask)
	return v.and(e, mask)
}

// exp2Half is 2^x where the result is for bf16: the polynomial for the part of x above a whole number has a relative error of 8e-5, a
// 50th of what rounding to bf16 may cost. NaN stays NaN, the ends are 0 and Inf. x is lost. 512 bits only.
func exp2Half(x reg.VecVirtual) reg.VecVirtual {
	const down = 1
	v := widths[1]
	f := v.r()
	VREDUCEPS(U8(down), x, f)
	q := v.horner(f, 0.07802403, 0.22606708, 0.69583399, 0.99992513)
	VSCALEFPS(x, q, q)
	return q
}

// logisticHalf is logistic for bf16.
func logisticHalf(x reg.VecVirtual) reg.VecVirtual {
	return logisticOf(widths[1].mul(x, f32(-math.Log2E)))
}

// logisticOf is 1/(1+2^x) for bf16: its reciprocal has 14 bits. x is lost.
func logisticOf(x reg.VecVirtual) reg.VecVirtual {
	e := exp2Half(x)
	VADDPS(f32(1), e, e)
	VRCP14PS(e, e)
	return e
}

// expLow is the last whole number whose exponential is normal.
const expLow = -87

// logistic is 1/(1+e^-x).
func (v vec) logistic(x Op) reg.VecVirtual {
	e := v.exp(v.xor(x, bits(1<<31)))
	VADDPS(f32(1), e, e)
	return v.div(v.con(f32(1)), e)
}

// normal is the distribution function of x and e^(-x²/2). With a = |x|, Phi(-a) = e^(-a²/2) Q(1/(1+0.3a)), Q being a polynomial
// of degree 8 fitted for least relative error (5e-8) on 0 <= a <= 10.
func (v vec) normal(x Op) (phi, e reg.VecVirtual) {
	a := v.con(bits(1<<31 - 1))
	VANDPS(x, a, a)
	half := v.mul(x, f32(-0.5))
	VMULPS(x, half, half)
	e = v.exp(half)
	one := v.con(f32(1))
	t := v.con(f32(0.3))
	VFMADD213PS(f32(1), a, t)
	VDIVPS(t, one, t)
	q := v.horner(t, 0.03754797205328941, -0.16507723927497864, 0.22008466720581055, -0.0665239468216896, 0.13549616932868958,
		0.09775613993406296, 0.121111199259758, 0.11960504204034805)
	VMULPS(t, q, q)
	VMULPS(e, q, q) // Phi(-a)
	rest := v.sub(one, q)
	neg := v.r()
	VPSRAD(U8(31), x, neg)
	VANDPS(neg, q, q)
	VANDNPS(rest, neg, neg)
	VORPS(neg, q, q)
	return q, e
}
