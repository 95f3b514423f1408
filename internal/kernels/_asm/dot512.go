package main

import (
	"fmt"
	"slices"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Products of bf16 by the dot product of AVX512_BF16, and what becomes of their sums while they are in registers.
func tilesDot512() {
	for _, v := range []int{2, 1} {
		for mr := 1; mr <= rows512; mr++ {
			tileDot512(mr, v)
		}
	}
}

// dotFields are those of dotWork, eight bytes each.
var dotFields = []string{"kp", "a", "lda", "b", "ahead", "c", "ldc", "acc", "lowKP", "u", "ldu", "v", "end", "bias", "add"}

// dotField is a field of the work, whose address is in R13.
func dotField(name string) Mem {
	i := slices.Index(dotFields, name)
	if i < 0 {
		panic("dotWork has no " + name)
	}
	return Mem{Base: bStride, Disp: 8 * i}
}

// tileDot512: c(mr,32) (+)= a(mr,2*kp)·b + u(mr,2*lowKP)·v, all four in bf16 pairs, and what shall become of the sums. With one vector a row only the
// first 16 columns are computed, and sums that do not begin from c set the others to zeros.
func tileDot512(mr, v int) {
	name := fmt.Sprintf("tileDot%dx%dAVX512", mr, 16*v)
	addToSwitch(fmt.Sprintf("tileDot%dAVX512", 16*v), "w *dotWork", "w", name)
	TEXT(name, NOSPLIT, "func(w *byte)") // *dotWork
	Pragma("noescape")
	begin := func() {
		MOVQ(dotField("c"), cPtr)
		MOVQ(dotField("ldc"), cStride)
	}
	rows := func(do func(i int)) {
		for i := range mr {
			do(i)
			if i < mr-1 {
				ADDQ(cStride, cPtr)
			}
		}
	}
	place := func(j int) Mem { return Mem{Base: cPtr, Disp: 64 * j} }
	Load(Param("w"), bStride)
	begin()
	CMPQ(dotField("acc"), U8(0))
	JNE(LabelRef("load"))
	for i := range mr * v {
		VPXORD(zs[i], zs[i], zs[i])
	}
	rows(func(int) {
		fetchOwned(0)
		if v == 1 {
			VMOVUPS(zs[0], place(1))
		}
	})
	JMP(LabelRef("ready"))
	Label("load")
	rows(func(i int) {
		for j := range v {
			VMOVUPS(place(j), acc512(i, j, v))
		}
	})
	Label("ready")
	operands := func(a, lda, b string) {
		MOVQ(dotField(a), aBase[0])
		MOVQ(dotField(lda), aStride)
		spread(mr, 0)
		MOVQ(dotField(b), bPtr)
	}
	MOVQ(dotField("kp"), count)
	operands("a", "lda", "b")
	MOVQ(dotField("ahead"), ahead)
	low := cStride // steps of the low rank that are to come
	MOVQ(dotField("lowKP"), low)
	Label("sum")
	pairSteps512(mr, v, dpbf16)
	Label("store")
	TESTQ(low, low)
	JZ(LabelRef("end"))
	operands("u", "ldu", "v")
	MOVQ(low, count)
	XORQ(low, low)
	JMP(LabelRef("sum"))
	Label("end")
	begin()
	if v == 2 {
		MOVQ(dotField("bias"), aBase[0])
		MOVQ(dotField("add"), aBase[1])
		CMPQ(dotField("end"), U8(1))
		JE(LabelRef("add"))
		JG(LabelRef("round"))
	}
	rows(func(i int) {
		for j := range v {
			VMOVUPS(acc512(i, j, v), place(j))
		}
	})
	VZEROUPPER()
	RET()
	if v == 1 {
		return
	}
	bias := func(j int) Mem { return Mem{Base: aBase[0], Disp: 64 * j} }
	Label("add")
	rows(func(i int) {
		for j := range v {
			x := acc512(i, j, v)
			VADDPS(bias(j), x, x)
			VADDPS(Mem{Base: aBase[1], Disp: 64 * j}, x, x)
			VMOVUPS(x, place(j))
		}
		ADDQ(cStride, aBase[1])
	})
	VZEROUPPER()
	RET()
	Label("round")
	rows(func(i int) {
		for j, to := range two {
			VADDPS(bias(j), acc512(i, j, v), to)
		}
		convertTwo()
		VMOVDQU32(both, place(0))
	})
	VZEROUPPER()
	RET()
}
