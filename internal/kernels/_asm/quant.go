package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// quant writes the functions that expand blocks of 32 columns and 32 rows of quantised weights to [32][32] float32, see
// panels_quant.go for their layout.
func quant() {
	for _, v := range widths {
		v.expandQ8()
		v.expandQ4()
	}
}

// vectors is how many vectors hold 32 words.
func (v vec) vectors() int { return 128 / v.bytes }

func (v vec) expandQ8() {
	TEXT("expandQ8"+v.suffix, NOSPLIT, "func(dst *float32, src *byte, blocks int)")
	Pragma("noescape")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	n := GP64()
	Load(Param("blocks"), n)
	Label("block")
	var scale []reg.VecVirtual
	for j := range v.vectors() {
		scale = append(scale, v.load(Mem{Base: src, Disp: j * v.bytes}))
	}
	ADDQ(U32(128), src)
	row := GP64()
	MOVQ(U32(32), row)
	Label("row")
	for j := range v.vectors() {
		x := v.r()
		VPMOVSXBD(Mem{Base: src, Disp: j * v.bytes / 4}, x)
		VCVTDQ2PS(x, x)
		VMULPS(scale[j], x, x)
		VMOVUPS(x, Mem{Base: dst, Disp: j * v.bytes})
	}
	ADDQ(U8(32), src)
	ADDQ(U32(128), dst)
	DECQ(row)
	JNZ(LabelRef("row"))
	DECQ(n)
	JNZ(LabelRef("block"))
	v.end()
}

func (v vec) expandQ4() {
	TEXT("expandQ4"+v.suffix, NOSPLIT, "func(dst *float32, src *byte, blocks int)")
	Pragma("noescape")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	n := GP64()
	Load(Param("blocks"), n)
	mask := v.con(bits(15))
	Label("block")
	head := GP64()
	MOVQ(src, head)
	var scale []reg.VecVirtual
	for j := range v.vectors() {
		scale = append(scale, v.load(Mem{Base: src, Disp: j * v.bytes}))
	}
	ADDQ(U32(256), src)
	row := GP64()
	MOVQ(U32(16), row)
	Label("row")
	for j := range v.vectors() {
		q := v.r()
		VPMOVZXBD(Mem{Base: src, Disp: j * v.bytes / 4}, q)
		odd := v.r()
		VPSRLD(U8(4), q, odd)
		VANDPS(mask, q, q)
		for i, x := range []reg.VecVirtual{q, odd} {
			VCVTDQ2PS(x, x)
			VFMADD213PS(Mem{Base: head, Disp: 128 + j*v.bytes}, scale[j], x) // q*scale + offset
			VMOVUPS(x, Mem{Base: dst, Disp: 128*i + j*v.bytes})
		}
	}
	ADDQ(U8(32), src)
	ADDQ(U32(256), dst)
	DECQ(row)
	JNZ(LabelRef("row"))
	DECQ(n)
	JNZ(LabelRef("block"))
	v.end()
}
