package main

import (
	"fmt"
	"slices"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// outerFields are those of outerWork in outer_amd64.go, of eight bytes each.
var outerFields = []string{"cfg", "a", "x", "ldx", "blocks", "acc", "c", "wide"}

// outerWide is how many tiles of x meet one of a at most: the sums take registers 0 to 2, a 3, and x 4 to 6.
const outerWide = 3

// outer is aᵀ·x, a block of 16 rows after another, of tiles that lie one behind the other in a. Lines of x are fetched four blocks ahead.
//
// Registers: a at SI, rows CX = 64 apart; x at DX, rows AX apart; what is fetched at R14; c at BX; R10 counts.
func outer() {
	TEXT("outerAMX", NOSPLIT, "func(w *byte)") // *outerWork
	MOVQ(NewParamAddr("w", 0), reg.R10)
	field := func(name string) Mem { return Mem{Base: reg.R10, Disp: 8 * slices.Index(outerFields, name)} }
	MOVQ(field("cfg"), reg.RSI)
	configure()
	for _, f := range []struct {
		to   reg.Register
		name string
	}{{reg.RSI, "a"}, {reg.RDX, "x"}, {reg.RAX, "ldx"}, {reg.RBX, "c"}, {reg.R8, "acc"}, {reg.R9, "wide"}, {reg.R10, "blocks"}} {
		MOVQ(field(f.name), f.to)
	}
	MOVQ(U32(64), reg.RCX)
	MOVQ(reg.RAX, reg.R11)
	SHLQ(U8(4), reg.R11) // bytes of a block's rows
	LEAQ(Mem{Base: reg.RDX, Index: reg.R11, Scale: 4}, reg.R14)
	for n := 1; n < outerWide; n++ {
		CMPQ(reg.R9, U8(n))
		JEQ(LabelRef(fmt.Sprintf("tiles%d", n)))
	}
	for n := outerWide; n > 0; n-- {
		outerTiles(n)
	}
	Label("done")
	tileRelease()
	RET()
}

// outerTiles is outer for n tiles of x.
func outerTiles(n int) {
	label := func(name string) string { return fmt.Sprintf("%s%d", name, n) }
	sums := func(prefix byte) {
		for t := range n {
			tileAt(prefix, t, atBX, atCX, uint32(1024*t))
			apart()
		}
	}
	Label(label("tiles"))
	TESTQ(reg.R8, reg.R8)
	JNZ(LabelRef(label("more")))
	for t := range n {
		tileZero(t)
	}
	JMP(LabelRef(label("block")))
	Label(label("more"))
	sums(tileLoad)

	Label(label("block"))
	steps := []func(){func() { tileMemory(tileLoad, outerWide, atSI, atCX) }}
	for j := range n {
		steps = append(steps, func() { tileAt(tileLoad, outerWide+1+j, atDX, atAX, uint32(64*j)) })
	}
	for j := range n {
		steps = append(steps, func() { tileDot(j, outerWide, outerWide+1+j) })
	}
	row := 0
	for i, do := range steps {
		do()
		for ; row < 16*(i+1)/len(steps); row++ {
			for j := range n {
				PREFETCHT0(Mem{Base: reg.R14, Disp: 64 * j})
			}
			ADDQ(reg.RAX, reg.R14)
		}
	}
	ADDQ(U32(1024), reg.RSI)
	ADDQ(reg.R11, reg.RDX)
	DECQ(reg.R10)
	JNZ(LabelRef(label("block")))
	sums(tileStore)
	JMP(LabelRef("done"))
}

// spreadHalves writes blocks of 16 bf16 as the low and, 8 rows of a tile behind them, the high halves of 16 words; tiles are 1024 bytes apart.
func spreadHalves() {
	TEXT("spreadHalvesAVX512", NOSPLIT, "func(dst *uint32, src *uint16, blocks int)")
	Pragma("noescape")
	dst, src, n := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("blocks"), GP64())
	Label("next")
	x := ZMM()
	VPMOVZXWD(Mem{Base: src}, x)
	VMOVDQU32(x, Mem{Base: dst})
	VPSLLD(U8(16), x, x)
	VMOVDQU32(x, Mem{Base: dst, Disp: 512})
	ADDQ(U8(32), src)
	ADDQ(U32(1024), dst)
	DECQ(n)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}
