package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// quant writes the functions that expand blocks of 32 columns and 32 rows of quantised weights, to [32][32] float32 or, the
// numbers rounded, to pairs [16][32][2] of bf16. panels_quant.go has the layout of blocks.
func quant() {
	for _, v := range widths {
		for _, pairs := range []bool{false, true} {
			v.expandQ8(pairs)
			v.expandQ4(pairs)
		}
	}
}

// vectors is how many vectors hold 32 words.
func (v vec) vectors() int { return 128 / v.bytes }

// expansion opens a function, loops over blocks of head bytes before the numbers and over their pairs of columns, and
// calls body for each vector of rows of a pair to get both columns' weights.
func (v vec) expansion(name string, pairs bool, head uint32, step uint8, body func(src, head reg.Register, j int, scale reg.VecVirtual) (even, odd reg.VecVirtual)) {
	if pairs {
		name += "Pairs"
	}
	TEXT(name+v.suffix, NOSPLIT, "func(dst *float32, src *byte, blocks int)")
	Pragma("noescape")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	n := GP64()
	Load(Param("blocks"), n)
	Label("block")
	top := GP64()
	MOVQ(src, top)
	var scale []reg.VecVirtual
	for j := range v.vectors() {
		scale = append(scale, v.load(Mem{Base: src, Disp: j * v.bytes}))
	}
	ADDQ(U32(head), src)
	row := GP64()
	MOVQ(U32(16), row)
	Label("row")
	PREFETCHT0(Mem{Base: src, Disp: 2048})
	for j := range v.vectors() {
		even, odd := body(src, top, j, scale[j])
		if pairs {
			v.roundHigh(even)
			v.roundHigh(odd)
			VPSRLD(U8(16), even, even)
			VANDPS(bits(0xffff0000), odd, odd)
			VORPS(even, odd, odd)
			VMOVUPS(odd, Mem{Base: dst, Disp: j * v.bytes})
		} else {
			VMOVUPS(even, Mem{Base: dst, Disp: j * v.bytes})
			VMOVUPS(odd, Mem{Base: dst, Disp: 128 + j*v.bytes})
		}
	}
	ADDQ(U8(step), src)
	if pairs {
		ADDQ(U32(128), dst)
	} else {
		ADDQ(U32(256), dst)
	}
	DECQ(row)
	JNZ(LabelRef("row"))
	DECQ(n)
	JNZ(LabelRef("block"))
	v.end()
}

// roundHigh makes the high half of x its bf16, to nearest even. A NaN must have the standard bits.
func (v vec) roundHigh(x reg.VecVirtual) {
	odd := v.r()
	VPSRLD(U8(16), x, odd)
	VANDPS(bits(1), odd, odd)
	VPADDD(bits(0x7fff), x, x)
	VPADDD(odd, x, x)
}

func (v vec) expandQ8(pairs bool) {
	v.expansion("expandQ8", pairs, 128, 64, func(src, _ reg.Register, j int, scale reg.VecVirtual) (even, odd reg.VecVirtual) {
		column := func(at int) reg.VecVirtual {
			x := v.r()
			VPMOVSXBD(Mem{Base: src, Disp: at + j*v.bytes/4}, x)
			VCVTDQ2PS(x, x)
			VMULPS(scale, x, x)
			return x
		}
		return column(0), column(32)
	})
}

func (v vec) expandQ4(pairs bool) {
	v.expansion("expandQ4", pairs, 256, 32, func(src, head reg.Register, j int, scale reg.VecVirtual) (even, odd reg.VecVirtual) {
		even, odd = v.r(), v.r()
		VPMOVZXBD(Mem{Base: src, Disp: j * v.bytes / 4}, even)
		VPSRLD(U8(4), even, odd)
		VANDPS(bits(15), even, even)
		for _, x := range []reg.VecVirtual{even, odd} {
			VCVTDQ2PS(x, x)
			VFMADD213PS(Mem{Base: head, Disp: 128 + j*v.bytes}, scale, x) // q*scale + offset
		}
		return even, odd
	})
}
