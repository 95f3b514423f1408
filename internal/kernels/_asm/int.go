package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	tileInt256Type = "func(kp int, a *uint16, as int, b *uint16, c *float32, cs int, acc bool, xs *float32, ws *float32, ahead int, slow int, r int, u *float32, v *float32, vs int)"
)

// tilesInt writes products of 16-bit integers, whose sums are exact: with multiplications and additions apart (AVX2) or in one
// (AVX-VNNI).
func tilesInt() {
	for _, dot := range []bool{false, true} {
		for mr := 1; mr <= rows256; mr++ {
			tileInt256(mr, 16, dot)
		}
		for mr := 1; mr <= 2; mr++ {
			tileInt256(mr, 32, dot)
		}
	}
	peakInts()
}

// tileInt256: c(mr,cols) (+)= xs(mr)·ws(cols)·a(mr,2*kp)·b, both in pairs of integers, b's rows 32 pairs apart; then
// c += u(mr,r)·v(r,cols), v's rows vs apart. What is fetched ahead moves on by slow bytes less than b in four steps.
func tileInt256(mr, cols int, dot bool) {
	v := cols / 8
	isa := "AVX2"
	if dot {
		isa = "VNNI"
	}
	name := fmt.Sprintf("tileInt%dx%d%s", mr, cols, isa)
	addToTable(fmt.Sprintf("tileInt%d%s", cols, isa), tileInt256Type, name)
	TEXT(name, NOSPLIT, tileInt256Type)
	Pragma("noescape")
	openInt(mr, v)
	Load(Param("kp"), count)
	setRows(mr, 1)
	Load(Param("b"), bPtr)
	Load(Param("ahead"), ahead)
	slow := cPtr
	Load(Param("slow"), slow)
	add := func(acc, x, y int) {
		if dot {
			dpwssd256(acc, x, y)
			return
		}
		VPMADDWD(ys[x], ys[y], ys[15])
		VPADDD(ys[15], ys[acc], ys[acc])
	}
	loop(4, func(step int) {
		fetchPanel(v, 128*step, true)
		if v == 2 {
			VMOVDQU(Mem{Base: bPtr, Disp: 128 * step}, ys[12])
			VMOVDQU(Mem{Base: bPtr, Disp: 128*step + 32}, ys[13])
			for i := range mr {
				VPBROADCASTD(rowAt(i, 4*step), ys[14])
				add(2*i, 14, 12)
				add(2*i+1, 14, 13)
			}
			return
		}
		for i := range mr {
			VPBROADCASTD(rowAt(i, 4*step), ys[12+i])
		}
		for j := range v {
			VMOVDQU(Mem{Base: bPtr, Disp: 128*step + 32*j}, ys[14])
			for i := range mr {
				add(v*i+j, 12+i, 14)
			}
		}
	}, func(n int) {
		ADDQ(U32(uint32(128*n)), bPtr)
		advance(mr, uint8(4*n))
		if n > 1 {
			SUBQ(slow, ahead)
		}
	})
	closeIntLow(mr, v, func() {})
	VZEROUPPER()
	RET()
}

// openInt zeroes the sums and asks for c's rows.
func openInt(mr, v int) {
	for i := range mr * v {
		VPXOR(ys[i], ys[i], ys[i])
	}
	Load(Param("c"), cPtr)
	Load(Param("cs"), cStride)
	SHLQ(U8(2), cStride)
	fetchRows(mr, v, 32)
}

// closeIntLow turns the sums into float32, adds what is in c if it shall, then u(mr,r)·v(r,8*v), and sets c; onward comes behind the loading
// of u's rows.
func closeIntLow(mr, v int, onward func()) {
	scaleInt(mr, v)
	JZ(LabelRef("low"))
	eachRow(mr, v, 32, func(at Mem, i int) { VADDPS(at, ys[i], ys[i]) })
	Label("low")
	Load(Param("r"), count)
	TESTQ(count, count)
	JZ(LabelRef("set"))
	Load(Param("u"), aBase[0])
	MOVQ(count, aStride)
	spread(mr, 2)
	onward()
	Load(Param("v"), bPtr)
	Load(Param("vs"), bStride)
	SHLQ(U8(2), bStride)
	Label("rank")
	madd256(mr, v, func(i int) Mem { return rowAt(i, 0) }, func(j int, y reg.VecPhysical) { VMOVUPS(Mem{Base: bPtr, Disp: 32 * j}, y) })
	ADDQ(bStride, bPtr)
	advance(mr, 4)
	DECQ(count)
	JNZ(LabelRef("rank"))
	Label("set")
	Load(Param("c"), cPtr)
	eachRow(mr, v, 32, func(at Mem, i int) { VMOVUPS(ys[i], at) })
}

// scaleInt turns the sums into float32, scales them by column, then by row, and sets the zero flag unless they are to be added to c,
// whose first row AX is then.
func scaleInt(mr, v int) {
	Label("store")
	Load(Param("c"), cPtr)
	Load(Param("cs"), cStride)
	SHLQ(U8(2), cStride)
	xs, ws := aBase[0], aBase[1]
	Load(Param("xs"), xs)
	Load(Param("ws"), ws)
	Load(Param("acc"), aThri)
	scaleSums(mr, v, 32, ys, xs, ws)
	TESTQ(aThri, aThri)
}

// scaleSums turns the sums into float32 and scales them by column, then by row. The last register is lost.
func scaleSums(mr, v, bytes int, r []reg.VecPhysical, xs, ws reg.Register) {
	x := r[len(r)-1]
	for i := range mr {
		VBROADCASTSS(Mem{Base: xs, Disp: 4 * i}, x)
		for j := range v {
			s := r[i*v+j]
			VCVTDQ2PS(s, s)
			VMULPS(Mem{Base: ws, Disp: bytes * j}, s, s)
			VMULPS(x, s, s)
		}
	}
}

// peakInts writes loops of what the products above spend their time on, without memory.
func peakInts() {
	for _, p := range []struct {
		name, doc string
		sums      int
		zero      func(i int)
		add       func(i int)
	}{
		{"peakIntAVX2", "12 multiplications of 8 pairs of integers and additions of their sums", 12, func(i int) { VPXOR(ys[i], ys[i], ys[i]) },
			func(i int) { VPMADDWD(ys[13], ys[14], ys[15]); VPADDD(ys[15], ys[i], ys[i]) }},
		{"peakIntVNNI", "12 dot products of 8 pairs of integers", 12, func(i int) { VPXOR(ys[i], ys[i], ys[i]) }, func(i int) { dpwssd256(i, 13, 14) }},
		{"peakInt512", "24 dot products of 16 pairs of integers", 24, func(i int) { VPXORD(zs[i], zs[i], zs[i]) }, func(i int) { dpwssd(i, 30, 31) }},
	} {
		TEXT(p.name, NOSPLIT, "func(n int)")
		Doc(p.name + " runs n rounds of " + p.doc + ".")
		Load(Param("n"), count)
		for i := range p.sums {
			p.zero(i)
		}
		Label("again")
		for i := range p.sums {
			p.add(i)
		}
		DECQ(count)
		JNZ(LabelRef("again"))
		VZEROUPPER()
		RET()
	}
}
