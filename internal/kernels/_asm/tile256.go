package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	rows256    = 6
	narrowRows = 12 // of a tile of 8 columns
)

// up moves the lower half of each word to the upper, and zeros below.
var up Mem

func tiles256() {
	up = GLOBL("evenHalves256", RODATA|NOPTR)
	for i := range 8 {
		at := i % 4 * 4
		DATA(4*i, U32(uint32(at+1)<<24|uint32(at)<<16|0x8080))
	}
	for _, along := range []bool{true, false} {
		for mr := 1; mr <= rows256; mr++ {
			tile256(mr, 16, along)
		}
	}
	for mr := 1; mr <= 3; mr++ {
		tile256(mr, 32, true)
	}
	for mr := 1; mr <= narrowRows; mr++ {
		tile256(mr, 8, true)
	}
	for mr := 1; mr <= rows256; mr++ {
		tileBF256(mr, 16)
	}
	for mr := 1; mr <= 2; mr++ {
		tileBF256(mr, 32)
	}
}

func open256(mr, v int) {
	Load(Param("c"), cPtr)
	Load(Param("cs"), cStride)
	SHLQ(U8(2), cStride)
	Load(Param("acc"), aThri) // set again by setRows
	TESTQ(aThri, aThri)
	JNZ(LabelRef("load"))
	for i := range mr * v {
		VXORPS(ys[i], ys[i], ys[i])
	}
	fetchRows(mr, v, 32)
	JMP(LabelRef("ready"))
	Label("load")
	eachRow(mr, v, 32, func(at Mem, i int) { VMOVUPS(at, ys[i]) })
	Label("ready")
}

func close256(mr, v int) {
	put256(mr, v)
	VZEROUPPER()
	RET()
}

// put256 stores the accumulators.
func put256(mr, v int) {
	Label("store")
	Load(Param("c"), cPtr)
	Load(Param("cs"), cStride)
	SHLQ(U8(2), cStride)
	eachRow(mr, v, 32, func(at Mem, i int) { VMOVUPS(ys[i], at) })
}

// madd256 adds row by row: either all vectors of b and one element of a at a time (8 and 16
// columns), or all elements of a and one vector of b at a time (32 columns).
func madd256(mr, v int, row func(i int) Mem, load func(j int, y reg.VecPhysical)) {
	if v == 1 {
		load(0, ys[13])
		for i := range mr {
			VBROADCASTSS(row(i), ys[14])
			VFMADD231PS(ys[14], ys[13], ys[i])
		}
		return
	}
	if v == 2 {
		load(0, ys[12])
		load(1, ys[13])
		for i := range mr {
			VBROADCASTSS(row(i), ys[14])
			VFMADD231PS(ys[14], ys[12], ys[2*i])
			VFMADD231PS(ys[14], ys[13], ys[2*i+1])
		}
		return
	}
	for i := range mr {
		VBROADCASTSS(row(i), ys[4*mr+i])
	}
	for j := range v {
		b := ys[14+j%2]
		if mr == 3 {
			b = ys[15]
		}
		load(j, b)
		for i := range mr {
			VFMADD231PS(ys[4*mr+i], b, ys[4*i+j])
		}
	}
}

// fetchPanel asks for v vectors of b that are used later, where rows are few enough for that.
func fetchPanel(v, disp int, fetch bool) {
	for j := 0; j < v && fetch; j += 2 {
		PREFETCHT0(Mem{Base: bPtr, Index: ahead, Scale: 1, Disp: disp + 32*j})
	}
}

// tile256 is tile512 in AVX2.
func tile256(mr, cols int, along bool) {
	v := cols / 8
	form := "T"
	if along {
		form = "N"
	}
	name := fmt.Sprintf("tile%s%dx%dAVX2", form, mr, cols)
	addToTable(fmt.Sprintf("tile%s%dAVX2", form, cols), tileType, name)
	TEXT(name, NOSPLIT, tileType)
	Pragma("noescape")
	open256(mr, v)
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
	add := func(step int) {
		madd256(mr, v, func(i int) Mem {
			if along {
				return rowAt(i, 4*step)
			}
			return Mem{Base: aBase[0], Disp: 4 * i}
		}, func(j int, y reg.VecPhysical) { VMOVUPS(Mem{Base: bPtr, Disp: 32 * j}, y) })
		ADDQ(bStride, bPtr)
	}
	onward := func(n int) { advance(mr, uint8(4*n)) }
	switch {
	case !along:
		loop(1, add, func(int) { ADDQ(aStride, aBase[0]) })
	case v == 1:
		loop(4, add, onward)
	default:
		Load(Param("ahead"), ahead)
		loopFetching(4, func(step int, fetch bool) {
			fetchPanel(v, 0, fetch)
			add(step)
		}, onward)
	}
	close256(mr, v)
}

// tileBF256 is tileBF512 in AVX2; with 16 columns b still has rows of 32 pairs.
func tileBF256(mr, cols int) {
	v := cols / 8
	name := fmt.Sprintf("tileBF%dx%dAVX2", mr, cols)
	addToTable(fmt.Sprintf("tileBF%dAVX2", cols), tileBFType, name)
	TEXT(name, NOSPLIT, tileBFType)
	Pragma("noescape")
	open256(mr, v)
	Load(Param("k"), count)
	setRows(mr, 2)
	Load(Param("b"), bPtr)
	Load(Param("ahead"), ahead)
	// 8 accumulators and 2 elements at most with 32 columns: Y13 is free there too
	mask := ys[15]
	if v == 4 {
		mask = ys[13]
	}
	VPCMPEQD(mask, mask, mask)
	VPSLLD(U8(16), mask, mask)
	half := func(odd bool, disp, adisp int) {
		madd256(mr, v, func(i int) Mem { return rowAt(i, adisp) }, func(j int, y reg.VecPhysical) {
			src := Mem{Base: bPtr, Disp: disp + 32*j}
			if odd {
				VPAND(src, mask, y)
			} else {
				VMOVDQU(src, y)
				VPSHUFB(up, y, y) // not a shift: those take the ports of the multiply-adds
			}
		})
	}
	manyOrPlain(4, func(fetch bool) {
		for s := range 2 {
			fetchPanel(v, 128*s, fetch)
			half(false, 128*s, 8*s)
			half(true, 128*s, 8*s+4)
		}
		ADDQ(U32(256), bPtr)
		advance(mr, 16)
	})
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
	close256(mr, v)
}
