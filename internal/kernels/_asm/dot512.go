package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Products of pairs by the dot products of AVX512_BF16 and AVX512_VNNI, and what becomes of their sums while they are in registers.
func tilesDot512() {
	for _, v := range []int{2, 1} {
		for mr := 1; mr <= rows512; mr++ {
			tileDot512(mr, v)
		}
	}
	for mr := 1; mr <= rows512; mr++ {
		tileInt512(mr)
	}
}

var (
	dotWork = fields{bStride, []string{"kp", "a", "lda", "b", "ahead", "slow", "c", "ldc", "acc", "lowKP", "u", "ldu", "v", "end", "bias", "add"}}
	intWork = fields{bStride, []string{"kp", "a", "lda", "b", "ahead", "slow", "c", "ldc", "acc", "xs", "ws", "r", "u", "ldu", "v", "ldv"}}
)

// place begins with c's first row.
func (w fields) place() {
	MOVQ(w.at("c"), cPtr)
	MOVQ(w.at("ldc"), cStride)
}

// operands sets what mr rows of a and b are read by.
func (w fields) operands(mr int, a, lda, b string) {
	MOVQ(w.at(a), aBase[0])
	MOVQ(w.at(lda), aStride)
	spread(mr, 0)
	MOVQ(w.at(b), bPtr)
}

func inRow(j int) Mem { return Mem{Base: cPtr, Disp: 64 * j} }

// tileDot512: c(mr,32) (+)= a(mr,2*kp)·b + u(mr,2*lowKP)·v, all four in bf16 pairs, and what shall become of the sums. With one vector a row only the
// first 16 columns are computed, and sums that do not begin from c set the others to zeros.
func tileDot512(mr, v int) {
	name := fmt.Sprintf("tileDot%dx%dAVX512", mr, 16*v)
	addToSwitch(fmt.Sprintf("tileDot%dAVX512", 16*v), "dotWork", name)
	TEXT(name, NOSPLIT, "func(w *byte)") // *dotWork
	Pragma("noescape")
	w := dotWork
	Load(Param("w"), w.base)
	w.place()
	CMPQ(w.at("acc"), U8(0))
	JNE(LabelRef("load"))
	for i := range mr * v {
		VPXORD(zs[i], zs[i], zs[i])
	}
	if v == 2 {
		fetchRows(mr, v, 64)
	} else {
		eachOf(mr, func(int) { VMOVUPS(zs[0], inRow(1)) })
	}
	JMP(LabelRef("ready"))
	Label("load")
	eachRow(mr, v, 64, func(at Mem, i int) { VMOVUPS(at, zs[i]) })
	Label("ready")
	MOVQ(w.at("kp"), count)
	w.operands(mr, "a", "lda", "b")
	MOVQ(w.at("ahead"), ahead)
	slow := cPtr
	MOVQ(w.at("slow"), slow)
	low := cStride // steps of the low rank that are to come
	MOVQ(w.at("lowKP"), low)
	Label("sum")
	pairSteps512(mr, v, dpbf16, slow)
	Label("store")
	TESTQ(low, low)
	JZ(LabelRef("end"))
	w.operands(mr, "u", "ldu", "v")
	MOVQ(low, count)
	XORQ(low, low)
	JMP(LabelRef("sum"))
	Label("end")
	w.place()
	if v == 2 {
		MOVQ(w.at("bias"), aBase[0])
		MOVQ(w.at("add"), aBase[1])
		CMPQ(w.at("end"), U8(1))
		JE(LabelRef("add"))
		JG(LabelRef("round"))
	}
	eachRow(mr, v, 64, func(at Mem, i int) { VMOVUPS(zs[i], at) })
	VZEROUPPER()
	RET()
	if v == 1 {
		return
	}
	bias := func(j int) Mem { return Mem{Base: aBase[0], Disp: 64 * j} }
	Label("add")
	eachOf(mr, func(i int) {
		for j := range v {
			x := acc512(i, j, v)
			VADDPS(bias(j), x, x)
			VADDPS(Mem{Base: aBase[1], Disp: 64 * j}, x, x)
			VMOVUPS(x, inRow(j))
		}
		ADDQ(cStride, aBase[1])
	})
	VZEROUPPER()
	RET()
	Label("round")
	eachOf(mr, func(i int) {
		for j, to := range two {
			VADDPS(bias(j), acc512(i, j, v), to)
		}
		convertTwo()
		VMOVDQU32(both, inRow(0))
	})
	VZEROUPPER()
	RET()
}

// pairSteps512 adds the products of a's pairs and b's to the sums, v vectors a row, by an instruction for pairs of 16 bits; b's rows have 32 pairs.
// What is fetched ahead, to the second cache, for the first has no room, moves on by slow bytes less than b in four steps.
func pairSteps512(mr, v int, dot func(acc, x, y int), slow reg.Register) {
	loop(4, func(step int) {
		for j := range v {
			PREFETCHT1(Mem{Base: bPtr, Index: ahead, Scale: 1, Disp: 128*step + 64*j})
			VMOVUPS(Mem{Base: bPtr, Disp: 128*step + 64*j}, zs[28+j])
		}
		for i := range mr {
			VPBROADCASTD(rowAt(i, 4*step), zs[30+i%2])
			for j := range v {
				dot(v*i+j, 30+i%2, 28+j)
			}
		}
	}, func(n int) {
		ADDQ(U32(uint32(128*n)), bPtr)
		advance(mr, uint8(4*n))
		if n > 1 {
			SUBQ(slow, ahead)
		}
	})
}

// tileInt512: c(mr,32) (+)= xs(mr)·ws(32)·a(mr,2*kp)·b, both in pairs of integers, whose sums are exact; then c += u(mr,r)·v(r,32) in float32.
func tileInt512(mr int) {
	name := fmt.Sprintf("tileInt%dx32AVX512", mr)
	addToSwitch("tileInt32AVX512", "intWork", name)
	TEXT(name, NOSPLIT, "func(w *byte)") // *intWork
	Pragma("noescape")
	w := intWork
	Load(Param("w"), w.base)
	w.place()
	for i := range 2 * mr {
		VPXORD(zs[i], zs[i], zs[i])
	}
	fetchRows(mr, 2, 64)
	MOVQ(w.at("kp"), count)
	w.operands(mr, "a", "lda", "b")
	MOVQ(w.at("ahead"), ahead)
	slow := cPtr
	MOVQ(w.at("slow"), slow)
	pairSteps512(mr, 2, dpwssd, slow)
	Label("store")
	MOVQ(w.at("xs"), aBase[0])
	MOVQ(w.at("ws"), aBase[1])
	scaleSums(mr, 2, 64, zs, aBase[0], aBase[1])
	CMPQ(w.at("acc"), U8(0))
	JE(LabelRef("low"))
	w.place()
	eachRow(mr, 2, 64, func(at Mem, i int) { VADDPS(at, zs[i], zs[i]) })
	Label("low")
	MOVQ(w.at("r"), count)
	TESTQ(count, count)
	JZ(LabelRef("set"))
	w.operands(mr, "u", "ldu", "v")
	MOVQ(w.at("ldv"), cStride)
	Label("rank")
	for j := range 2 {
		VMOVUPS(Mem{Base: bPtr, Disp: 64 * j}, zs[28+j])
	}
	for i := range mr {
		x := zs[30+i%2]
		VBROADCASTSS(rowAt(i, 0), x)
		for j := range 2 {
			VFMADD231PS(x, zs[28+j], acc512(i, j, 2))
		}
	}
	ADDQ(cStride, bPtr)
	advance(mr, 4)
	DECQ(count)
	JNZ(LabelRef("rank"))
	Label("set")
	w.place()
	eachRow(mr, 2, 64, func(at Mem, i int) { VMOVUPS(zs[i], at) })
	VZEROUPPER()
	RET()
}
