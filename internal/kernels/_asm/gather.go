package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// gatherAhead is how many rows ahead of their use are fetched: a row of a few hundred bytes is multiplied in a tenth of
// the time that memory takes to answer.
const gatherAhead = 6

// gather multiplies a row of 8-bit numbers with rows that lie anywhere.
func gather() {
	for _, v := range widths {
		v.dotsI8()
	}
}

func (v vec) dotsI8() {
	TEXT("dotsI8"+v.suffix, NOSPLIT, "func(dst []int32, q []int8, codes []int8, at []int32)")
	Pragma("noescape")
	dst, q, codes, at := Load(Param("dst").Base(), GP64()), Load(Param("q").Base(), GP64()), Load(Param("codes").Base(), GP64()), Load(Param("at").Base(), GP64())
	n, count := Load(Param("q").Len(), GP64()), Load(Param("at").Len(), GP64())
	row := func(i reg.Register) reg.GPVirtual {
		p := GP64()
		MOVLQSX(Mem{Base: at, Index: i, Scale: 4}, p)
		IMULQ(n, p)
		ADDQ(codes, p)
		return p
	}

	last, i := GP64(), GP64()
	LEAQ(Mem{Base: count, Disp: -1}, last)
	XORQ(i, i)
	Label("first") // the rows that no other can fetch
	p, off := row(i), GP64()
	XORQ(off, off)
	Label("line")
	PREFETCHT0(Mem{Base: p, Index: off, Scale: 1})
	ADDQ(U8(64), off)
	CMPQ(off, n)
	JLT(LabelRef("line"))
	INCQ(i)
	CMPQ(i, U8(gatherAhead))
	JGE(LabelRef("begin"))
	CMPQ(i, count)
	JLT(LabelRef("first"))

	Label("begin")
	XORQ(i, i)
	Label("next")
	p = row(i)
	later := GP64()
	LEAQ(Mem{Base: i, Disp: gatherAhead}, later)
	CMPQ(later, last)
	CMOVQGT(last, later)
	fetched := row(later)
	sum := []reg.VecVirtual{v.r(), v.r()}
	for _, s := range sum {
		v.clear(s)
	}
	XORQ(off, off)
	Label("part") // 64 numbers
	PREFETCHT0(Mem{Base: fetched, Index: off, Scale: 1})
	for k := range 128 / v.bytes {
		x, y := v.r(), v.r()
		VPMOVSXBW(Mem{Base: p, Index: off, Scale: 1, Disp: k * v.bytes / 2}, x)
		VPMOVSXBW(Mem{Base: q, Index: off, Scale: 1, Disp: k * v.bytes / 2}, y)
		VPMADDWD(y, x, x)
		VPADDD(x, sum[k%2], sum[k%2])
	}
	ADDQ(U8(64), off)
	CMPQ(off, n)
	JLT(LabelRef("part"))
	VPADDD(sum[1], sum[0], sum[0])
	y := YMM()
	if v.bytes == 64 {
		VEXTRACTI64X4(U8(1), sum[0], y)
		VPADDD(sum[0].(reg.Vec).AsY(), y, y)
	} else {
		y = sum[0].(reg.VecVirtual)
	}
	x, t := XMM(), XMM()
	VEXTRACTI128(U8(1), y, x)
	VPADDD(y.AsX(), x, x)
	VPSHUFD(U8(0x4e), x, t)
	VPADDD(t, x, x)
	VPSHUFD(U8(0xb1), x, t)
	VPADDD(t, x, x)
	VMOVD(x, Mem{Base: dst, Index: i, Scale: 4})
	INCQ(i)
	CMPQ(i, count)
	JLT(LabelRef("next"))
	v.end()
}

// clear makes x zero.
func (v vec) clear(x reg.VecVirtual) {
	if v.bytes == 64 {
		VPXORD(x, x, x)
		return
	}
	VPXOR(x, x, x)
}
