package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const rows512 = 14

const (
	tileType   = "func(k int, a *float32, as int, b *float32, bs int, c *float32, cs int, acc bool, ahead int)"
	tileBFType = "func(k int, a *float32, as int, b *uint16, c *float32, cs int, acc bool, ahead int)"
)

func tiles512() {
	for _, cols := range []int{32, 16} {
		for _, along := range []bool{true, false} {
			for mr := 1; mr <= rows512; mr++ {
				tile512(mr, cols, along)
			}
		}
	}
	for mr := 1; mr <= rows512; mr++ {
		tileBF512(mr)
	}
}

// acc512 is the accumulator of row i, vector j, of a tile of v vectors a row.
func acc512(i, j, v int) reg.VecPhysical { return zs[i*v+j] }

// open512 zeroes or loads the accumulators; close512 stores them.
func open512(mr, v int) {
	Load(Param("c"), cPtr)
	Load(Param("cs"), cStride)
	SHLQ(U8(2), cStride)
	Load(Param("acc"), aThri) // set again by setRows
	TESTQ(aThri, aThri)
	JNZ(LabelRef("load"))
	for i := range mr * v {
		VPXORD(zs[i], zs[i], zs[i])
	}
	fetchRows(mr, v, 64)
	JMP(LabelRef("ready"))
	Label("load")
	for i := range mr {
		for j := range v {
			VMOVUPS(Mem{Base: cPtr, Disp: 64 * j}, acc512(i, j, v))
		}
		if i < mr-1 {
			ADDQ(cStride, cPtr)
		}
	}
	Label("ready")
}

func close512(mr, v int) {
	Label("store")
	Load(Param("c"), cPtr)
	Load(Param("cs"), cStride)
	SHLQ(U8(2), cStride)
	for i := range mr {
		for j := range v {
			VMOVUPS(acc512(i, j, v), Mem{Base: cPtr, Disp: 64 * j})
		}
		if i < mr-1 {
			ADDQ(cStride, cPtr)
		}
	}
	VZEROUPPER()
	RET()
}

// loop runs body(step) over count, unroll steps at a time, then one at a time. end advances the pointers by n steps.
func loop(unroll int, body func(step int), end func(n int)) {
	if unroll > 1 {
		SUBQ(U8(uint8(unroll)), count)
		JL(LabelRef("rest"))
		Label("many")
		for s := range unroll {
			body(s)
		}
		end(unroll)
		SUBQ(U8(uint8(unroll)), count)
		JGE(LabelRef("many"))
		Label("rest")
		ADDQ(U8(uint8(unroll)), count)
	} else {
		TESTQ(count, count)
	}
	oneByOne(body, end)
}

// oneByOne runs body over what is left of count; the zero flag says whether that is nothing.
func oneByOne(body func(step int), end func(n int)) {
	JZ(LabelRef("store"))
	Label("one")
	body(0)
	end(1)
	DECQ(count)
	JNZ(LabelRef("one"))
}

// tile512: c(mr,cols) (+)= a(mr,k)·b(k,cols). along: a's columns are adjacent and its rows as elements apart; otherwise its
// rows are adjacent and its columns as elements apart.
func tile512(mr, cols int, along bool) {
	v := cols / 16
	form := "T"
	if along {
		form = "N"
	}
	name := fmt.Sprintf("tile%s%dx%dAVX512", form, mr, cols)
	addToTable(fmt.Sprintf("tile%s%dAVX512", form, cols), tileType, name)
	TEXT(name, NOSPLIT, tileType)
	Pragma("noescape")
	open512(mr, v)
	Load(Param("k"), count)
	if along {
		setRows(mr, 2)
	} else {
		Load(Param("a"), aBase[0])
		Load(Param("as"), aStride)
		SHLQ(U8(2), aStride)
	}
	Load(Param("b"), bPtr)
	Load(Param("bs"), bStride)
	SHLQ(U8(2), bStride)
	Load(Param("ahead"), ahead)
	unroll := 1
	if along {
		unroll = 4
	}
	loop(unroll, func(step int) {
		PREFETCHT0(Mem{Base: bPtr, Index: ahead, Scale: 1})
		if v == 2 {
			PREFETCHT0(Mem{Base: bPtr, Index: ahead, Scale: 1, Disp: 64})
		}
		for j := range v {
			VMOVUPS(Mem{Base: bPtr, Disp: 64 * j}, zs[28+j])
		}
		ADDQ(bStride, bPtr)
		for i := range mr {
			src := Mem{Base: aBase[0], Disp: 4 * i}
			if along {
				src = rowAt(i, 4*step)
			}
			x := zs[30+i%2]
			VBROADCASTSS(src, x)
			for j := range v {
				VFMADD231PS(x, zs[28+j], acc512(i, j, v))
			}
		}
	}, func(n int) {
		if along {
			advance(mr, uint8(4*n))
		} else {
			ADDQ(aStride, aBase[0])
		}
	})
	close512(mr, v)
}

// tileBF512: c(mr,32) (+)= a(mr,k)·b with b in bf16 pairs [k/2][32][2], widened on the way.
func tileBF512(mr int) {
	name := fmt.Sprintf("tileBF%dx32AVX512", mr)
	addToTable("tileBFAVX512", tileBFType, name)
	TEXT(name, NOSPLIT, tileBFType)
	Pragma("noescape")
	open512(mr, 2)
	Load(Param("k"), count)
	setRows(mr, 2)
	Load(Param("b"), bPtr)
	Load(Param("ahead"), ahead)
	MOVL(U32(0xaaaaaaaa), reg.EAX)
	KMOVD(reg.EAX, reg.K1)
	half := func(odd bool, disp, adisp int) {
		for j := range 2 {
			src := Mem{Base: bPtr, Disp: disp + 64*j}
			if odd {
				VMOVDQU16_Z(src, reg.K1, zs[28+j])
			} else {
				VPSLLD(U8(16), src, zs[28+j])
			}
		}
		for i := range mr {
			x := zs[30+i%2]
			VBROADCASTSS(rowAt(i, adisp), x)
			VFMADD231PS(x, zs[28], acc512(i, 0, 2))
			VFMADD231PS(x, zs[29], acc512(i, 1, 2))
		}
	}
	SUBQ(U8(4), count)
	JL(LabelRef("rest"))
	Label("many")
	for s := range 2 {
		PREFETCHT0(Mem{Base: bPtr, Index: ahead, Scale: 1, Disp: 128 * s})
		PREFETCHT0(Mem{Base: bPtr, Index: ahead, Scale: 1, Disp: 128*s + 64})
		half(false, 128*s, 8*s)
		half(true, 128*s, 8*s+4)
	}
	ADDQ(U32(256), bPtr)
	advance(mr, 16)
	SUBQ(U8(4), count)
	JGE(LabelRef("many"))
	Label("rest")
	ADDQ(U8(2), count)
	JL(LabelRef("last"))
	half(false, 0, 0)
	half(true, 0, 4)
	ADDQ(U32(128), bPtr)
	advance(mr, 8)
	SUBQ(U8(2), count)
	Label("last")
	TESTQ(U32(1), count)
	JZ(LabelRef("store"))
	half(false, 0, 0)
	close512(mr, 2)
}
