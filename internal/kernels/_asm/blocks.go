package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A block of a row of the left operand (blocks.go): 32 high digits, 32 low ones, then the scale, that times the sum of the integers, and
// -128 times the sums of high and of low digits.
const (
	rowLow   = 32
	rowScale = 64
	rowShift = 68
	rowSums  = 72
	rowBlock = 80
)

const (
	blocksType = "func(blocks int, a *byte, as int, b *byte, c *float32, cs int, acc bool)"
	rowsBlocks = 4 // of a tile in 512 bits
)

// blocks writes products of integers with quantised panels.
func blocks() {
	for _, four := range []bool{true, false} {
		for mr := 1; mr <= rowsBlocks; mr++ {
			openBlocks("AVX512", four, mr, 64).blocks512()
		}
		for _, dot := range []bool{false, true} {
			isa := "AVX2"
			if dot {
				isa = "VNNI"
			}
			for mr := 1; mr <= 2; mr++ {
				openBlocks(isa, four, mr, 32).blocks256(dot)
			}
		}
	}
	quantRow()
}

// blockTile is a function that is being written: c(mr,32) (+)= a·b, a's rows as bytes apart, of four or eight bits.
type blockTile struct {
	four      bool
	mr, bytes int
	head      int // bytes of a block before its numbers
	lines     int
	sums      []reg.VecPhysical
}

func openBlocks(isa string, four bool, mr, bytes int) *blockTile {
	t := &blockTile{four: four, mr: mr, bytes: bytes, head: 128, lines: 8, sums: zs}
	bits := 8
	if four {
		bits, t.head, t.lines = 4, 256, 4
	}
	if bytes == 32 {
		t.sums = ys
	}
	table := fmt.Sprintf("tileQ%d%s", bits, isa)
	name := fmt.Sprintf("tileQ%dx%d%s", bits, mr, isa)
	addToTable(table, blocksType, name)
	TEXT(name, NOSPLIT, blocksType)
	Pragma("noescape")
	setRows(mr, 0)
	Load(Param("b"), bPtr)
	Load(Param("blocks"), count)
	Load(Param("c"), cPtr)
	Load(Param("cs"), cStride)
	SHLQ(U8(2), cStride)
	Load(Param("acc"), ahead)
	for i := range mr * t.vectors() {
		VXORPS(t.sums[i], t.sums[i], t.sums[i])
	}
	TESTQ(ahead, ahead)
	JZ(LabelRef("block"))
	eachRow(mr, t.vectors(), bytes, func(at Mem, i int) { VMOVUPS(at, t.sums[i]) })
	Label("block")
	for at := 0; at < t.head+128*t.lines; at += 64 {
		PREFETCHT0(Mem{Base: bPtr, Disp: 4096 + at})
	}
	return t
}

func (t *blockTile) vectors() int { return 128 / t.bytes }

// line is vector j of line l of the block.
func (t *blockTile) line(l, j int) Mem { return Mem{Base: bPtr, Disp: t.head + 128*l + t.bytes*j} }

// add adds a block's sums of products with high and low digits to that of row i, vector j: scale*(255*high + low) times the weights' scale,
// and where they have an offset that times the row's shift. y is free.
func (t *blockTile) add(high, low, y reg.VecPhysical, i, j int) {
	sum, x := t.sums[i*t.vectors()+j], low
	VPSUBD(high, low, low)
	VPSLLD(U8(8), high, high)
	VPADDD(high, low, low)
	VCVTDQ2PS(x, x)
	scales, offsets := Mem{Base: bPtr, Disp: t.bytes * j}, Mem{Base: bPtr, Disp: 128 + t.bytes*j}
	if t.bytes == 64 {
		VMULPS_BCST(rowAt(i, rowScale), x, x)
		VFMADD231PS(scales, x, sum)
		if t.four {
			VMOVUPS(offsets, y)
			VFMADD231PS_BCST(rowAt(i, rowShift), y, sum)
		}
		return
	}
	VBROADCASTSS(rowAt(i, rowScale), y)
	VMULPS(y, x, x)
	VFMADD231PS(scales, x, sum)
	if t.four {
		VBROADCASTSS(rowAt(i, rowShift), y)
		VFMADD231PS(offsets, y, sum)
	}
}

func (t *blockTile) close() {
	ADDQ(U32(uint32(t.head+128*t.lines)), bPtr)
	advance(t.mr, rowBlock)
	DECQ(count)
	JNZ(LabelRef("block"))
	Load(Param("c"), cPtr)
	eachRow(t.mr, t.vectors(), t.bytes, func(at Mem, i int) { VMOVUPS(t.sums[i], at) })
	VZEROUPPER()
	RET()
}

// digits are where the high and the low digits of a row's block begin.
var digits = []int{0, rowLow}

// blocks512 multiplies with the dot product of bytes; eight bits are made unsigned by adding 128.
func (t *blockTile) blocks512() {
	const low, high, x = 26, 28, 30 // two vectors of weights each, and one that is free
	mask := zs[31]
	sum := func(i, j, digit int) reg.VecPhysical { return zs[2*t.mr+4*i+2*j+digit] }
	each := func(do func(i, j, digit int)) {
		for i := range t.mr {
			for j := range 2 {
				do(i, j, 0)
				do(i, j, 1)
			}
		}
	}
	VMOVUPS(bits(map[bool]uint32{true: 0x0f0f0f0f, false: 0x80808080}[t.four]), mask)
	each(func(i, j, digit int) {
		if z := sum(i, j, digit); t.four {
			VPXORD(z, z, z)
		} else {
			VPBROADCASTD(rowAt(i, rowSums+4*digit), z)
		}
	})
	for l := range t.lines {
		for j := range 2 {
			if t.four {
				VMOVDQU32(t.line(l, j), zs[high+j])
				VPANDD(mask, zs[high+j], zs[low+j])
				VPSRLW(U8(4), zs[high+j], zs[high+j])
				VPANDD(mask, zs[high+j], zs[high+j])
			} else {
				VPXORD(t.line(l, j), mask, zs[low+j])
			}
		}
		each(func(i, j, digit int) {
			dpbusd(rowAt(i, digits[digit]+4*l), zs[low+j], sum(i, j, digit), "BCST")
			if t.four {
				dpbusd(rowAt(i, digits[digit]+16+4*l), zs[high+j], sum(i, j, digit), "BCST")
			}
		})
	}
	for i := range t.mr {
		for j := range 2 {
			t.add(sum(i, j, 0), sum(i, j, 1), zs[x], i, j)
		}
	}
	t.close()
}

// blocks256 multiplies with the dot product of bytes, or adds pairs of products in 16 bits: eight pairs of four bits fit, of eight bits,
// whose signs go to the other operand, one.
func (t *blockTile) blocks256(dot bool) {
	const first, w, v, x, mask = 8, 12, 13, 14, 15
	ones := bits(0x00010001)
	VMOVUPS(bits(map[bool]uint32{true: 0x0f0f0f0f, false: 0x80808080}[t.four]), ys[mask])
	for j := range 4 {
		each := func(do func(i, digit int, sum reg.VecPhysical)) {
			for i := range t.mr {
				for digit := range 2 {
					do(i, digit, ys[first+2*i+digit])
				}
			}
		}
		each(func(i, digit int, sum reg.VecPhysical) {
			if dot && !t.four {
				VPBROADCASTD(rowAt(i, rowSums+4*digit), sum)
			} else {
				VPXOR(sum, sum, sum)
			}
		})
		// multiply adds the products of unsigned bytes and four digits of each row, from at on.
		multiply := func(unsigned, at int) {
			each(func(i, digit int, sum reg.VecPhysical) {
				VPBROADCASTD(rowAt(i, digits[digit]+at), ys[x])
				switch {
				case dot:
					dpbusd256(first+2*i+digit, unsigned, x)
				case t.four:
					VPMADDUBSW(ys[x], ys[unsigned], ys[x])
					VPADDW(ys[x], sum, sum)
				default:
					VPSIGNB(ys[w], ys[x], ys[x])
					VPMADDUBSW(ys[x], ys[unsigned], ys[x])
					VPMADDWD(ones, ys[x], ys[x])
					VPADDD(ys[x], sum, sum)
				}
			})
		}
		for l := range t.lines {
			VMOVDQU(t.line(l, j), ys[w])
			switch {
			case t.four:
				VPAND(ys[mask], ys[w], ys[v])
				VPSRLW(U8(4), ys[w], ys[w])
				VPAND(ys[mask], ys[w], ys[w])
				multiply(v, 4*l)
				multiply(w, 16+4*l)
			case dot:
				VPXOR(ys[mask], ys[w], ys[v])
				multiply(v, 4*l)
			default:
				VPABSB(ys[w], ys[v])
				multiply(v, 4*l)
			}
		}
		if t.four && !dot {
			each(func(_, _ int, sum reg.VecPhysical) { VPMADDWD(ones, sum, sum) })
		}
		for i := range t.mr {
			t.add(ys[first+2*i], ys[first+2*i+1], ys[x], i, j)
		}
	}
	t.close()
}

// quantRow rounds a row block by block: the largest magnitude becomes 32512, of a NaN a scale that is none.
func quantRow() {
	TEXT("quantRowAVX2", NOSPLIT, "func(dst *byte, x *float32, blocks int)")
	Pragma("noescape")
	v := widths[0]
	dst, x, n := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("blocks"), GP64())
	order := GLOBL("packOrder", RODATA|NOPTR)
	for i, w := range []uint32{0, 4, 1, 5, 2, 6, 3, 7} {
		DATA(4*i, U32(w))
	}
	turn := v.con(order)
	Label("block")
	most := v.r()
	VPXOR(most, most, most)
	var part, high [4]reg.VecVirtual
	for q := range part {
		part[q] = v.load(Mem{Base: x, Disp: 32 * q})
		VPMAXSD(v.and(part[q], bits(1<<31-1)), most, most)
	}
	top := eight(most, func(a, b, d Op) { VPMAXSD(a, b, d) }).AsX()
	scale, least := XMM(), XMM()
	VMULSS(f32(1.0/32512), top, scale)
	VMOVSS(scale, Mem{Base: dst, Disp: rowScale})
	VMOVSS(f32(1e-30), least)
	VMAXSS(least, top, top)
	by, one := v.r(), XMM()
	VMOVSS(f32(32512), one)
	VDIVSS(top, one, top)
	VBROADCASTSS(top, by)
	for q, y := range part {
		high[q] = v.r()
		VMULPS(by, y, y)
		VCVTPS2DQ(y, y)
		VCVTDQ2PS(y, high[q])
		VMULPS(f32(1.0/255), high[q], high[q])
		VCVTPS2DQ(high[q], high[q])
		times := v.r() // 255 times high
		VPSLLD(U8(8), high[q], times)
		VPSUBD(high[q], times, times)
		VPSUBD(times, y, y)
	}
	var sums [2]reg.Register
	for digit, d := range [][4]reg.VecVirtual{high, part} {
		a, b := v.r(), v.r()
		VPACKSSDW(d[1], d[0], a)
		VPACKSSDW(d[3], d[2], b)
		VPACKSSWB(b, a, a)
		VPERMD(a, turn, a)
		VMOVDQU(a, Mem{Base: dst, Disp: digits[digit]})
		VPADDD(d[1], d[0], d[0])
		VPADDD(d[3], d[2], d[2])
		VPADDD(d[2], d[0], d[0])
		sums[digit] = eight(d[0], func(a, b, d Op) { VPADDD(a, b, d) }).AsX()
	}
	sum, shift, zero := XMM(), XMM(), XMM()
	VPSLLD(U8(8), sums[0], sum)
	VPSUBD(sums[0], sum, sum)
	VPADDD(sums[1], sum, sum)
	VCVTDQ2PS(sum, shift)
	VMULSS(scale, shift, shift)
	VMOVSS(shift, Mem{Base: dst, Disp: rowShift})
	VPXOR(zero, zero, zero)
	for digit, s := range sums {
		VPSLLD(U8(7), s, s)
		VPSUBD(s, zero, s)
		VMOVD(s, Mem{Base: dst, Disp: rowSums + 4*digit})
	}
	ADDQ(U32(rowBlock), dst)
	ADDQ(U32(128), x)
	DECQ(n)
	JNZ(LabelRef("block"))
	v.end()
}
