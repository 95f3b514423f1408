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

// expansion opens a function and loops over blocks of head bytes before the numbers and over their lines, each of which holds four columns
// from each of those in first on. column makes the weights of column c of a line from its words, for vector j of rows.
func (v vec) expansion(name string, pairs bool, head uint32, lines int, first []int, column func(head reg.Register, words, scale reg.VecVirtual, c, j int) reg.VecVirtual) {
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
	line, size := GP64(), 128 // bytes of a column
	if pairs {
		size = 64
	}
	MOVQ(U32(uint32(lines)), line)
	Label("line")
	PREFETCHT0(Mem{Base: src, Disp: 2048})
	PREFETCHT0(Mem{Base: src, Disp: 2048 + 64})
	for j := range v.vectors() {
		words := v.load(Mem{Base: src, Disp: j * v.bytes})
		for _, from := range first {
			for c := from; c < from+4; c += 2 {
				even, odd := column(top, words, scale[j], c, j), column(top, words, scale[j], c+1, j)
				at := Mem{Base: dst, Disp: c*size + j*v.bytes}
				if pairs {
					v.roundHigh(even)
					v.roundHigh(odd)
					VPSRLD(U8(16), even, even)
					VANDPS(bits(0xffff0000), odd, odd)
					VORPS(even, odd, odd)
					VMOVUPS(odd, at)
				} else {
					VMOVUPS(even, at)
					VMOVUPS(odd, at.Offset(size))
				}
			}
		}
	}
	ADDQ(U32(128), src)
	ADDQ(U32(uint32(4*size)), dst)
	DECQ(line)
	JNZ(LabelRef("line"))
	if rest := 32 - 4*lines; rest > 0 {
		ADDQ(U32(uint32(rest*size)), dst)
	}
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
	v.expansion("expandQ8", pairs, 128, 8, []int{0}, func(_ reg.Register, words, scale reg.VecVirtual, c, _ int) reg.VecVirtual {
		x := v.r()
		if c < 3 {
			VPSLLD(U8(uint8(24-8*c)), words, x)
			VPSRAD(U8(24), x, x)
		} else {
			VPSRAD(U8(24), words, x)
		}
		VCVTDQ2PS(x, x)
		VMULPS(scale, x, x)
		return x
	})
}

func (v vec) expandQ4(pairs bool) {
	v.expansion("expandQ4", pairs, 256, 4, []int{0, 16}, func(head reg.Register, words, scale reg.VecVirtual, c, j int) reg.VecVirtual {
		x := v.r()
		if at := c%16*8 + c/16*4; at == 28 {
			VPSRLD(U8(28), words, x)
		} else {
			VPSLLD(U8(uint8(28-at)), words, x)
			VPSRLD(U8(28), x, x)
		}
		VCVTDQ2PS(x, x)
		VFMADD213PS(Mem{Base: head, Disp: 128 + j*v.bytes}, scale, x) // q*scale + offset
		return x
	})
}
