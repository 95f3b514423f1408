package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A wide strip is any number of tiles of wideRows rows and 64 columns, of two panels, one below the other, in one call. What a core shares
// with another thread, above all its loads, is what it runs out of: 6 rows of 4 vectors take 10 loads for 24 multiply-adds, where 14 rows
// of 2 take 16 for 28.
const (
	wideRows    = 6
	wideVectors = 4
	wideUnroll  = 8
	wideLead    = 12 // multiply-adds between the load of a number and its first use
)

const wideType = "func(tiles int, k int, a *float32, as int, b *float32, bs int, c *float32, cs int, acc bool, next *float32, step int)"

// Registers of the wide strips beside those of the tiles.
var (
	bRight    = reg.R13 // the right panel
	fetchAt   = reg.RDX
	fetchStep = reg.R9
	fetchLeft = reg.R10 // rows of c that are not yet fetched
)

func wide512() {
	for mr := 1; mr <= wideRows; mr++ {
		strip512(mr)
	}
	widths[1].widenPairs()
}

// strip512: c(mr*tiles,64) (+)= a(mr*tiles,k)·b, b being two panels (k,32) that begin bs elements apart. Every wideUnroll steps it fetches
// what is at next and moves on by step bytes, and a row of c: little at a time, for a burst of them would hold up the loads.
func strip512(mr int) {
	name := fmt.Sprintf("wide%dAVX512", mr)
	addToTable("wideAVX512", wideType, name)
	TEXT(name, NOSPLIT, wideType)
	Pragma("noescape")
	Load(Param("as"), aStride)
	SHLQ(U8(2), aStride)
	LEAQ(Mem{Base: aStride, Index: aStride, Scale: 2}, aThri)
	Load(Param("cs"), cStride)
	SHLQ(U8(2), cStride)
	Load(Param("next"), fetchAt)
	Load(Param("step"), fetchStep)
	Label("tile")
	openWide(mr)
	Load(Param("a"), aBase[0])
	for i := 1; i < len(bases(mr)); i++ {
		LEAQ(Mem{Base: aBase[i-1], Index: aStride, Scale: 4}, aBase[i])
	}
	Load(Param("b"), bPtr)
	Load(Param("bs"), bRight)
	LEAQ(Mem{Base: bPtr, Index: bRight, Scale: 4}, bRight)
	Load(Param("k"), count)
	SUBQ(U8(wideUnroll), count)
	JL(LabelRef("rest"))
	Label("many")
	fetchWide()
	wideSteps(mr, wideUnroll)
	SUBQ(U8(wideUnroll), count)
	JGE(LabelRef("many"))
	Label("rest")
	ADDQ(U8(wideUnroll), count)
	oneByOne(func(int) { wideSteps(mr, 1) }, func(int) {})
	Label("store")
	Load(Param("c"), cPtr)
	eachRow(mr, wideVectors, 64, func(at Mem, i int) { VMOVUPS(zs[i], at) })
	ADDQ(cStride, cPtr)
	MOVQ(cPtr, arg("c"))
	IMUL3Q(U8(uint8(mr)), aStride, count)
	ADDQ(count, arg("a"))
	DECQ(arg("tiles"))
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// openWide zeroes the accumulators, or loads them. The rows to be fetched are then the tile's own, or those of the tile below.
func openWide(mr int) {
	Load(Param("c"), cPtr)
	Load(Param("acc"), count)
	TESTQ(count, count)
	JNZ(LabelRef("load"))
	for i := range mr * wideVectors {
		VPXORD(zs[i], zs[i], zs[i])
	}
	MOVQ(U32(uint32(mr)), fetchLeft)
	JMP(LabelRef("ready"))
	Label("load")
	eachRow(mr, wideVectors, 64, func(at Mem, i int) { VMOVUPS(at, zs[i]) })
	ADDQ(cStride, cPtr)
	MOVQ(arg("tiles"), fetchLeft)
	DECQ(fetchLeft)
	JZ(LabelRef("ready"))
	MOVQ(U32(uint32(mr)), fetchLeft)
	Label("ready")
}

// fetchWide asks for a row of c, if one is left, and for two lines of what is read next, into the second cache; the processor gets the
// other line of each two itself.
func fetchWide() {
	DECQ(fetchLeft)
	JL(LabelRef("fetched"))
	fetchOwned(0)
	fetchOwned(64)
	ADDQ(I32(128), cPtr) // an offset of 128 is beyond fetchOwned
	fetchOwned(0)
	fetchOwned(64)
	LEAQ(Mem{Base: cPtr, Index: cStride, Scale: 1, Disp: -128}, cPtr)
	Label("fetched")
	PREFETCHT1(Mem{Base: fetchAt})
	PREFETCHT1(Mem{Base: fetchAt, Disp: 128})
	ADDQ(fetchStep, fetchAt)
}

// wideSteps does so many steps and moves a and b. Each number is loaded wideLead multiply-adds ahead of its use, or as soon as its register
// is free.
func wideSteps(mr, steps int) {
	const v = wideVectors
	broadcasts := 32 - v*mr - v
	vector := func(j int) reg.VecPhysical { return zs[v*mr+j] }
	broadcast := func(row int) reg.VecPhysical { return zs[v*mr+v+row%broadcasts] }
	loads := make([][]func(), steps*mr*v)
	put := func(use, free int, load func()) {
		at := max(use-wideLead, free, 0)
		loads[at] = append(loads[at], load)
	}
	for s := range steps {
		for j := range v {
			panel := []reg.GPPhysical{bPtr, bRight}[j/2]
			put(s*mr*v+j, (s*mr-1)*v+j+1, func() { VMOVUPS(Mem{Base: panel, Disp: 128*s + 64*(j%2)}, vector(j)) })
		}
		for i := range mr {
			row := s*mr + i
			put(row*v, (row-broadcasts+1)*v, func() { VBROADCASTSS(rowAt(i, 4*s), broadcast(row)) })
		}
	}
	for n, some := range loads {
		for _, load := range some {
			load()
		}
		row, j := n/v, n%v
		VFMADD231PS(vector(j), broadcast(row), acc512(row%mr, j, v))
	}
	ADDQ(I32(int32(128*steps)), bPtr)
	ADDQ(I32(int32(128*steps)), bRight)
	advance(mr, uint8(4*steps))
}
