package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// halfRows are loops over rows of float32 whose results are rounded to bf16: n numbers of the row at hand, whole of them in pairs of
// vectors, the rest under two masks.
type halfRows struct {
	v           vec
	n, i, whole reg.GPVirtual
	tail        [2]Op
}

// masks sets whole and tail for n.
func (h *halfRows) masks() {
	MOVQ(h.n, h.whole)
	ANDQ(I8(-32), h.whole)
	MOVQ(h.n, reg.RCX)
	ANDQ(U8(31), reg.RCX)
	mask := GP64()
	MOVQ(U32(1), mask)
	SHLQ(reg.CL, mask)
	DECQ(mask)
	KMOVW(mask.As32(), h.tail[0])
	SHRQ(U8(16), mask)
	KMOVW(mask.As32(), h.tail[1])
}

// each runs body for both vectors of every pair up to whole.
func (h *halfRows) each(label string, body func(q int)) {
	XORQ(h.i, h.i)
	JMP(LabelRef(label + "Test"))
	Label(label)
	body(0)
	body(1)
	ADDQ(U8(32), h.i)
	Label(label + "Test")
	CMPQ(h.i, h.whole)
	JLT(LabelRef(label))
}

// rest runs body for the pair of vectors behind whole, if there is any, which then counts as whole: what body leaves there under the
// masks must be zeros.
func (h *halfRows) rest(label string, body func(q int)) {
	CMPQ(h.i, h.n)
	JGE(LabelRef(label))
	body(0)
	body(1)
	ADDQ(U8(32), h.whole)
	Label(label)
}

// at is the pair of vectors of a row of float32, half that of bf16.
func (h *halfRows) at(row reg.Register, q int) Mem {
	return Mem{Base: row, Index: h.i, Scale: 4, Disp: 64 * q}
}
func (h *halfRows) half(row reg.Register) Mem { return Mem{Base: row, Index: h.i, Scale: 2} }

// zeros fills rows of bf16 from i up to room.
func (h *halfRows) zeros(rows ...reg.Register) {
	zero, end := h.v.r(), GP64()
	VXORPS(zero, zero, zero)
	Load(Param("room"), end)
	JMP(LabelRef("zeroTest"))
	Label("zero")
	for _, r := range rows {
		VMOVUPS(zero, h.half(r))
	}
	ADDQ(U8(32), h.i)
	Label("zeroTest")
	CMPQ(h.i, end)
	JLT(LabelRef("zero"))
}

// next moves rows on by a parameter's numbers of so many bytes.
func (h *halfRows) next(param string, scale uint8, rows ...reg.Register) {
	step := GP64()
	Load(Param(param), step)
	for _, r := range rows {
		LEAQ(Mem{Base: r, Index: step, Scale: scale}, r)
	}
}

func (v vec) halfRows() *halfRows {
	return &halfRows{v: v, n: Load(Param("n"), GP64()).(reg.GPVirtual), i: GP64(), whole: GP64(), tail: [2]Op{K(), K()}}
}

// folded combines the lanes of two vectors as folds does.
func folded(z [2]reg.VecVirtual, op func(a, b, d Op)) reg.VecVirtual {
	op(z[1], z[0], z[0])
	return sixteen(z[0], op)
}

// spread puts the first lane of x everywhere.
func (v vec) spread(x reg.VecVirtual) reg.VecVirtual {
	z := v.r()
	VBROADCASTSS(x, z)
	return z
}

func (v vec) pair(from Op) (z [2]reg.VecVirtual) {
	for q := range z {
		z[q] = v.r()
		VMOVAPS(from, z[q])
	}
	return z
}

// softmaxHalf is SoftmaxHalf for rows one after another, row i of n + i*more numbers: exponentials in place, their rounded shares in
// dst with zeros up to room, a multiple of 32. top and sum of each row go to stats, a pair a row.
func (v vec) softmaxHalf() {
	TEXT("softmaxHalfAVX512", NOSPLIT, "func(dst *uint16, ldd int, s *float32, lds, rows, n, more, room int, scale float32, stats *float32)")
	Pragma("noescape")
	dst, row := Load(Param("dst"), GP64()), Load(Param("s"), GP64())
	left, stats := Load(Param("rows"), GP64()), Load(Param("stats"), GP64())
	h := v.halfRows()
	scale := v.broadcast("scale")
	by2 := v.mul(scale, f32(math.Log2E))
	low, one, zero := v.con(bits(0xff800000)), XMM(), v.r()
	VMOVSS(f32(1), one)
	VXORPS(zero, zero, zero)
	Label("row")
	h.masks()
	most := v.pair(low)
	h.each("largest", func(q int) { VMAXPS(h.at(row, q), most[q], most[q]) })
	for q, m := range most {
		VMAXPS(h.at(row, q), m, h.tail[q], m)
	}
	top := folded(most, func(a, b, d Op) { VMAXPS(a, b, d) })
	shift := v.spread(top)
	VMULSS(scale.AsX(), top, top)
	VMOVSS(top, Mem{Base: stats})
	VMULPS(by2, shift, shift)

	total := v.pair(zero)
	exponential := exponentialBy(by2, shift)
	h.each("exponentials", func(q int) {
		e := exponential(v.load(h.at(row, q)))
		VMOVUPS(e, h.at(row, q))
		VADDPS(e, total[q], total[q])
	})
	h.rest("summed", func(q int) {
		x := v.r()
		VMOVUPS_Z(h.at(row, q), h.tail[q], x)
		e := exponential(x)
		VMOVAPS_Z(e, h.tail[q], e)
		VMOVUPS(e, h.at(row, q))
		VADDPS(e, total[q], total[q])
	})
	sum := folded(total, func(a, b, d Op) { VADDPS(a, b, d) })
	VMOVSS(sum, Mem{Base: stats, Disp: 4})
	VDIVSS(sum, one, sum)
	by := v.spread(sum)
	h.each("rounded", func(q int) {
		VMULPS(h.at(row, q), by, two[q])
		if q == 1 {
			convertTwo()
			VMOVDQU32(both, h.half(dst))
		}
	})
	h.zeros(dst)
	h.next("ldd", 2, dst)
	h.next("lds", 4, row)
	h.next("more", 1, h.n)
	ADDQ(U8(8), stats)
	DECQ(left)
	JNZ(LabelRef("row"))
	v.end()
}

// exponentialBy is 2^(x*by2 - shift) for bf16. x is lost.
func exponentialBy(by2, shift reg.VecVirtual) func(x reg.VecVirtual) reg.VecVirtual {
	return func(x reg.VecVirtual) reg.VecVirtual {
		VFMSUB213PS(shift, by2, x)
		return exp2Half(x)
	}
}

// softmaxHalfBack is SoftmaxHalfBackward: probabilities p = e^(scale*s - lse), and (d - sum of d*p)*p*by, both rounded, with zeros up to
// room. s is written over.
func (v vec) softmaxHalfBack() {
	TEXT("softmaxHalfBackAVX512", NOSPLIT, "func(p, ds *uint16, ldd int, s, d *float32, lds, rows, n, more, room int, scale, by float32, lse *float32)")
	Pragma("noescape")
	p, ds := Load(Param("p"), GP64()), Load(Param("ds"), GP64())
	row, d := Load(Param("s"), GP64()), Load(Param("d"), GP64())
	left, lse := Load(Param("rows"), GP64()), Load(Param("lse"), GP64())
	h := v.halfRows()
	by2, by, zero := v.mul(v.broadcast("scale"), f32(math.Log2E)), v.broadcast("by"), v.r()
	VXORPS(zero, zero, zero)
	Label("row")
	h.masks()
	shift := v.r()
	VBROADCASTSS(Mem{Base: lse}, shift)
	VMULPS(f32(math.Log2E), shift, shift)
	total := v.pair(zero)
	exponential := exponentialBy(by2, shift)
	h.each("probabilities", func(q int) {
		e := exponential(v.load(h.at(row, q)))
		VMOVUPS(e, h.at(row, q))
		VFMADD231PS(h.at(d, q), e, total[q])
	})
	h.rest("summed", func(q int) {
		x, y := v.r(), v.r()
		VMOVUPS_Z(h.at(row, q), h.tail[q], x)
		e := exponential(x)
		VMOVAPS_Z(e, h.tail[q], e)
		VMOVUPS(e, h.at(row, q))
		VMOVUPS_Z(h.at(d, q), h.tail[q], y)
		VMOVUPS(y, h.at(d, q))
		VFMADD231PS(y, e, total[q])
	})
	sum := v.spread(folded(total, func(a, b, d Op) { VADDPS(a, b, d) }))
	h.each("rounded", func(q int) {
		VMOVUPS(h.at(row, q), two[q])
		if q == 1 {
			convertTwo()
			VMOVDQU32(both, h.half(p))
		}
	})
	h.each("slopes", func(q int) {
		x := v.sub(v.load(h.at(d, q)), sum)
		VMULPS(h.at(row, q), x, x)
		VMULPS(x, by, two[q])
		if q == 1 {
			convertTwo()
			VMOVDQU32(both, h.half(ds))
		}
	})
	h.zeros(p, ds)
	h.next("ldd", 2, p, ds)
	h.next("lds", 4, row, d)
	h.next("more", 1, h.n)
	ADDQ(U8(4), lse)
	DECQ(left)
	JNZ(LabelRef("row"))
	v.end()
}
