package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// A strip is any number of tiles of stripRows rows and 32 columns, one below the other, in one call. Three rows, and some of the four
// vectors of b read where they are used, take the fewest instructions: of integers 29 for 192 multiplications, where 6 rows of 16
// columns take 32; in float32 18 for 96, not 20. Instructions are what a core runs out of that shares its front end with another thread.
const (
	stripRows   = 3
	stripUnroll = 8
)

func strips256() {
	stripInt256()
	strip256()
	widths[0].widenPairs()
}

// arg is where an argument lies, which may be overwritten.
func arg(name string) Mem {
	p, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return p.Addr
}

// fetchNext asks for so many lines of next, into the second cache, and moves on.
func fetchNext() {
	fetch, lines := aBase[1], aBase[2]
	Load(Param("next"), fetch)
	Load(Param("lines"), lines)
	TESTQ(lines, lines)
	JZ(LabelRef("fetched"))
	Label("fetch")
	PREFETCHT1(Mem{Base: fetch})
	ADDQ(U8(64), fetch)
	DECQ(lines)
	JNZ(LabelRef("fetch"))
	MOVQ(fetch, arg("next"))
	Label("fetched")
}

// nextTile goes on with the tile below, whose rows of a are elements of 1<<shift bytes; c's last row is where cPtr is.
func nextTile(shift uint64) {
	ADDQ(cStride, cPtr)
	MOVQ(cPtr, arg("c"))
	setRows(stripRows, shift)
	ADDQ(aThri, aBase[0])
	MOVQ(aBase[0], arg("a"))
	DECQ(arg("tiles"))
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// stripInt256: c(3*tiles,32) (+)= xs·ws(32)·a(3*tiles,2*kp)·b, both in pairs of integers; then c += u(3*tiles,r)·v(r,32), v's rows vs
// apart. With each tile so many lines of next are fetched.
func stripInt256() {
	const mr, v = stripRows, 4
	TEXT("stripIntAVX2", NOSPLIT, "func(tiles int, kp int, a *uint16, as int, b *uint16, c *float32, cs int, acc bool, xs *float32, ws *float32, next *float32, lines int, r int, u *float32, v *float32, vs int)")
	Pragma("noescape")
	Label("tile")
	openInt(mr, v)
	fetchNext()
	Load(Param("kp"), count)
	setRows(mr, 1)
	Load(Param("b"), bPtr)
	add := func(x Op, i, j int) {
		VPMADDWD(x, ys[14], ys[15])
		VPADDD(ys[15], ys[v*i+j], ys[v*i+j])
	}
	loop(stripUnroll, func(step int) {
		part := func(j int) Mem { return Mem{Base: bPtr, Disp: 128*step + 32*j} }
		VMOVDQU(part(0), ys[12])
		VMOVDQU(part(1), ys[13])
		for i := range mr {
			VPBROADCASTD(rowAt(i, 4*step), ys[14])
			add(ys[12], i, 0)
			add(ys[13], i, 1)
			add(part(2), i, 2)
			add(part(3), i, 3)
		}
	}, stripOnward)
	closeIntLow(mr, v, func() {
		LEAQ(Mem{Base: aBase[0], Index: aThri, Scale: 1}, aBase[1])
		MOVQ(aBase[1], arg("u"))
	})
	ADDQ(U8(4*mr), arg("xs"))
	nextTile(1)
}

// stripOnward moves a and b by n steps.
func stripOnward(n int) {
	ADDQ(U32(uint32(128*n)), bPtr)
	advance(stripRows, uint8(4*n))
}

// strip256: c(3*tiles,32) (+)= a(3*tiles,k)·b(k,32), b's rows one after another.
func strip256() {
	const mr, v = stripRows, 4
	TEXT("stripAVX2", NOSPLIT, "func(tiles int, k int, a *float32, as int, b *float32, c *float32, cs int, acc bool, next *float32, lines int)")
	Pragma("noescape")
	Label("tile")
	open256(mr, v)
	fetchNext()
	Load(Param("k"), count)
	setRows(mr, 2)
	Load(Param("b"), bPtr)
	loop(stripUnroll, func(step int) {
		part := func(j int) Mem { return Mem{Base: bPtr, Disp: 128*step + 32*j} }
		for j := range 3 {
			VMOVUPS(part(j), ys[12+j])
		}
		for i := range mr {
			VBROADCASTSS(rowAt(i, 4*step), ys[15])
			for j := range 3 {
				VFMADD231PS(ys[12+j], ys[15], ys[v*i+j])
			}
			VFMADD231PS(part(3), ys[15], ys[v*i+3])
		}
	}, stripOnward)
	put256(mr, v)
	nextTile(2)
}

// widenPairs makes float32 rows (2*pairs,32) of rows of 32 pairs of bf16.
func (v vec) widenPairs() {
	TEXT("widenPairs"+v.suffix, NOSPLIT, "func(dst *float32, src *uint16, pairs int)")
	Pragma("noescape")
	dst, src := cPtr, bPtr
	Load(Param("dst"), dst)
	Load(Param("src"), src)
	Load(Param("pairs"), count)
	odd := v.con(bits(0xffff0000))
	Label("pair")
	for at := 0; at < 128; at += v.bytes {
		x := v.load(Mem{Base: src, Disp: at})
		y := v.and(x, odd)
		VPSLLD(U8(16), x, x)
		VMOVUPS(x, Mem{Base: dst, Disp: at})
		VMOVUPS(y, Mem{Base: dst, Disp: 128 + at})
	}
	ADDQ(I32(128), src)
	ADDQ(I32(256), dst)
	DECQ(count)
	JNZ(LabelRef("pair"))
	v.end()
}
