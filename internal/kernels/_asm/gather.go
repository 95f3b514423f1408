package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// gatherAhead is how many rows ahead of their use are fetched: a row of a few hundred bytes is multiplied in a tenth of
// the time that memory takes to answer.
const gatherAhead = 6

// gather multiplies a row of 8-bit numbers with rows that lie anywhere.
func gather() {
	for _, v := range widths {
		v.dotsI8(v.suffix, false)
	}
	vec{64, ""}.dotsI8("VNNI", true)
	fetch()
}

// dpbusd is VPDPBUSD, which the generator lacks and the assembler has: acc += the 64 numbers at signed times those of unsigned, four
// to a sum, exact. With BCST signed is four numbers in memory, for all.
func dpbusd(signed Op, unsigned, acc reg.Register, suffixes ...string) {
	Instruction(&ir.Instruction{Opcode: "VPDPBUSD", Suffixes: suffixes, Operands: []Op{signed, unsigned, acc}, Inputs: []Op{signed, unsigned, acc},
		Outputs: []Op{acc}, ISA: []string{"AVX512_VNNI"}})
}

// fetch asks for the cache lines of a slice.
func fetch() {
	TEXT("fetchLines", NOSPLIT, "func(x []int32)")
	Pragma("noescape")
	p, n := Load(Param("x").Base(), GP64()), Load(Param("x").Len(), GP64())
	Label("line")
	PREFETCHT0(Mem{Base: p})
	ADDQ(U8(64), p)
	SUBQ(U8(16), n)
	JGT(LabelRef("line"))
	RET()
}

// dotsI8 with vnni multiplies a row's numbers, moved up by 128 so that they have no sign, with q's, which have one: sums begin at what
// that adds, taken off.
func (v vec) dotsI8(suffix string, vnni bool) {
	TEXT("dotsI8"+suffix, NOSPLIT, "func(dst []int32, q []int8, codes []int8, at []int32)")
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

	var moved, begin reg.VecVirtual
	if vnni {
		moved, begin = v.r(), v.r()
		t, off := v.r(), GP64()
		mask := GP32()
		MOVL(U32(0x80808080), mask)
		VPBROADCASTD(mask, moved)
		v.clear(t)
		v.clear(begin)
		XORQ(off, off)
		Label("offset")
		dpbusd(Mem{Base: q, Index: off, Scale: 1}, moved, t)
		ADDQ(U8(64), off)
		CMPQ(off, n)
		JLT(LabelRef("offset"))
		VPSUBD(t, begin, begin)
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
	if vnni {
		VMOVDQA64(begin, sum[0])
	} else {
		v.clear(sum[0])
		v.clear(sum[1])
	}
	XORQ(off, off)
	Label("part") // 64 numbers
	PREFETCHT0(Mem{Base: fetched, Index: off, Scale: 1})
	if vnni {
		x := v.r()
		VPXORD(Mem{Base: p, Index: off, Scale: 1}, moved, x)
		dpbusd(Mem{Base: q, Index: off, Scale: 1}, x, sum[0])
	}
	for k := range 128 / v.bytes {
		if vnni {
			break
		}
		x, y := v.r(), v.r()
		VPMOVSXBW(Mem{Base: p, Index: off, Scale: 1, Disp: k * v.bytes / 2}, x)
		VPMOVSXBW(Mem{Base: q, Index: off, Scale: 1, Disp: k * v.bytes / 2}, y)
		VPMADDWD(y, x, x)
		VPADDD(x, sum[k%2], sum[k%2])
	}
	ADDQ(U8(64), off)
	CMPQ(off, n)
	JLT(LabelRef("part"))
	if !vnni {
		VPADDD(sum[1], sum[0], sum[0])
	}
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
