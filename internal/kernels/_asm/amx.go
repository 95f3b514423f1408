package main

import (
	"fmt"
	"slices"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Products of bf16 on the tile unit, and what becomes of their sums. Tiles 0 to 3 are sums of 32 rows and columns, 4 and 5
// rows of a, 6 and 7 of b. Sums of the last tile are stored within the first step of the next, each just before its register is
// needed again: the unit would wait for all four otherwise (448 ns a tile of 18 steps against 422). While the sums of a tile are made,
// the vector unit does to the last one's what is to be done to them.
//
// Registers: a at SI and, its low half, DI, rows AX apart; b at DX, rows CX = 128 apart; the last tile's sums at R8, R15 rows of
// them left, which become rows at R9, R12 apart and BX from a tile to the next, as those at R13 are that are added; bias is at R11; R14 is what is
// fetched of the next panel; R10 counts.

// amxWork are the fields of that in amxtail_amd64.go, whose address R10 has to hold.
var amxWork = fields{reg.R10, []string{
	"cfg", "a", "lda", "low", "byA", "b", "byB", "k32", "n", "panels", "rows",
	"u", "ldu", "lowU", "byU", "v", "byV", "r32",
	"dst", "ldd", "byTile", "byPanel", "acc", "lowDst", "bias", "byBias", "x", "coef", "c",
	"left", "at", "atU", "to", "xTo",
}}

func work(name string) Mem { return amxWork.at(name) }

// Encodings (Intel SDM volume 2): VEX.128.0F38.W0 with the prefix in the third byte; a tile and its memory at base+index.
func tileMemory(prefix byte, tile int, base, index byte) {
	raw("AMX_TILE", 0xc4, 0xe2, prefix, 0x4b, byte(tile)<<3|4, index<<3|base)
}

// tileAt is tileMemory so many bytes behind; base and index may be any register.
func tileAt(prefix byte, tile int, base, index byte, behind uint32) {
	extended := ^(index>>3<<6 | base>>3<<5) & 0xe0
	raw("AMX_TILE", 0xc4, extended|2, prefix, 0x4b, byte(tile)<<3|0x84, index&7<<3|base&7,
		byte(behind), byte(behind>>8), byte(behind>>16), byte(behind>>24))
}

const (
	tileLoad, tilePass, tileStore = 0x7b, 0x79, 0x7a // TILELOADD, TILELOADDT1, which leaves the first cache to others, TILESTORED
	atAX, atCX, atDX, atBX        = 0, 1, 2, 3
	atSI, atDI, atR8, atR12       = 6, 7, 8, 12
)

// configure is LDTILECFG (SI).
func configure() { raw("AMX_TILE", 0xc4, 0xe2, 0x78, 0x49, 0x06) }

func tileRelease() { raw("AMX_TILE", 0xc4, 0xe2, 0x78, 0x49, 0xc0) }

func tileZero(tile int) { raw("AMX_TILE", 0xc4, 0xe2, 0x7b, 0x49, byte(0xc0+8*tile)) }

// tileDot is TDPBF16PS: c += a·b.
func tileDot(c, a, b int) {
	raw("AMX_BF16", 0xc4, 0xe2, byte(^b&15)<<3|2, 0x5c, byte(0xc0|c<<3|a))
}

// apart keeps instructions of the tile unit apart; see NOP4 in amx_amd64.s.
func apart() {
	raw("NOP", 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90)
}

// nearSteps is how many steps of a panel, of 2 KB each, stay in the first cache while rows pass by it. A longer one passes by the first cache as rows
// do.
const nearSteps = 24

// tailRow does what is to be done to a row of sums, and moves R9 to the next but not R8.
type tailRow func()

// amxTail writes a function for one such row, done behind those instructions of a step that slots names, and end after the last.
func amxTail(name string, slots []int, setup func() tailRow, end func()) {
	TEXT(name, NOSPLIT, "func(w *byte)") // *amxWork
	w := NewParamAddr("w", 0)
	MOVQ(w, reg.R10)
	MOVQ(work("cfg"), reg.RSI)
	configure()
	MOVQ(work("lda"), reg.RAX)
	MOVQ(U32(128), reg.RCX)
	MOVQ(work("ldd"), reg.R12)
	MOVQ(work("byTile"), reg.RBX)
	row := setup()
	XORQ(reg.R15, reg.R15)

	Label("panel")
	for _, f := range [][2]string{{"left", "n"}, {"at", "a"}, {"atU", "u"}, {"to", "dst"}, {"xTo", "x"}} {
		MOVQ(work(f[1]), reg.RSI)
		MOVQ(reg.RSI, work(f[0]))
	}
	MOVQ(work("b"), reg.R14)
	ADDQ(work("byB"), reg.R14)
	Label("tile")
	products(slots, row)
	lowRank(w)
	rowsLeft("rest", "more", row)
	for _, f := range []struct {
		name string
		to   reg.Register
	}{{"rows", reg.R15}, {"to", reg.R9}, {"xTo", reg.R13}, {"bias", reg.R11}} {
		MOVQ(work(f.name), f.to)
	}
	for _, f := range [][2]string{{"to", "byTile"}, {"xTo", "byTile"}, {"at", "byA"}, {"atU", "byU"}} {
		move(f[0], f[1])
	}
	DECQ(work("left"))
	JNZ(LabelRef("tile"))

	for _, f := range [][2]string{{"b", "byB"}, {"v", "byV"}, {"dst", "byPanel"}, {"x", "byPanel"}, {"bias", "byBias"}} {
		move(f[0], f[1])
	}
	DECQ(work("panels"))
	JNZ(LabelRef("panel"))

	for t := range 4 {
		storeSum(t)
	}
	rowsLeft("last", "done", row)
	end()
	tileRelease()
	VZEROUPPER()
	RET()
}

// move adds a field to another.
func move(field, by string) {
	MOVQ(work(by), reg.RSI)
	ADDQ(reg.RSI, work(field))
}

// operands sets the four addresses that a step reads.
func operands(a, low, b string) {
	MOVQ(work(a), reg.RSI)
	MOVQ(reg.RSI, reg.RDI)
	ADDQ(work(low), reg.RDI)
	MOVQ(work(b), reg.RDX)
}

// storeSum stores a tile of the last one's sums, and leaves R8 at their beginning.
func storeSum(t int) {
	MOVQ(work("c"), reg.R8)
	tileAt(tileStore, t, atR8, atCX, uint32(t/2*2048+t%2*64))
}

// step adds the products of 32 columns of a and rows of b, which are loaded by that instruction. What stands in places between its
// instructions is up to between; ready makes one of the sums ready for its first product.
func step(loadB byte, between, ready func(i int)) {
	for i, do := range []func(){
		func() { tileMemory(loadB, 6, atDX, atCX) }, func() { tileMemory(tilePass, 4, atSI, atAX) },
		func() { tileAt(loadB, 7, atDX, atCX, 64) }, func() { tileMemory(tilePass, 5, atDI, atAX) },
		func() { tileDot(0, 4, 6) }, func() { tileDot(1, 4, 7) }, func() { tileDot(2, 5, 6) }, func() { tileDot(3, 5, 7) },
	} {
		if i >= 4 {
			ready(i - 4)
		}
		do()
		between(i)
		if i%2 == 1 { // of the next panel, which the second cache may lack
			PREFETCHT1(Mem{Base: reg.R14, Disp: 32 * (i - 1)})
		}
		apart()
	}
	for _, r := range []reg.GPPhysical{reg.RSI, reg.RDI} {
		ADDQ(U8(64), r)
	}
	ADDQ(U32(2048), reg.RDX)
	ADDQ(U32(256), reg.R14)
}

func nothing(int) {}

// products adds all steps of a with b, from zero on or from what is where they go, and does rows of the last tile meanwhile.
func products(slots []int, row tailRow) {
	operands("at", "low", "b")
	CMPQ(work("acc"), U8(0))
	JEQ(LabelRef("zero"))
	step(tileLoad, nothing, func(t int) {
		storeSum(t)
		apart()
		MOVQ(work("to"), reg.R8)
		if t >= 2 {
			ADDQ(work("lowDst"), reg.R8)
		}
		tileAt(tileLoad, t, atR8, atR12, uint32(t%2*64))
		apart()
	})
	MOVQ(work("c"), reg.R8)
	JMP(LabelRef("begun"))
	Label("zero")
	step(tileLoad, nothing, func(t int) {
		storeSum(t)
		tileZero(t)
	})
	Label("begun")
	MOVQ(work("k32"), reg.R10)
	CMPQ(reg.R10, U8(nearSteps))
	JG(LabelRef("isDeep"))
	loop := func(label, begin string, loadB byte) {
		JMP(LabelRef(begin))
		Label(label)
		step(loadB, func(i int) {
			if slices.Contains(slots, i) {
				done := fmt.Sprintf("%s%d", label, i)
				nextRow(done, row)
				Label(done)
			}
		}, nothing)
		Label(begin)
		DECQ(reg.R10)
		JNZ(LabelRef(label))
	}
	loop("near", "isNear", tileLoad)
	JMP(LabelRef("low"))
	loop("deep", "isDeep", tilePass)
	Label("low")
}

// lowRank adds u·v.
func lowRank(w Mem) {
	MOVQ(w, reg.R10)
	CMPQ(work("r32"), U8(0))
	JEQ(LabelRef("rest"))
	MOVQ(work("ldu"), reg.RAX)
	operands("atU", "lowU", "v")
	MOVQ(work("r32"), reg.R10)
	Label("again")
	step(tileLoad, nothing, nothing)
	DECQ(reg.R10)
	JNZ(LabelRef("again"))
	MOVQ(w, reg.R10)
	MOVQ(work("lda"), reg.RAX)
}

// nextRow does a row of the last tile, or goes to done where none is left.
func nextRow(done string, row tailRow) {
	DECQ(reg.R15)
	JLT(LabelRef(done))
	row()
	ADDQ(U32(128), reg.R8)
}

// rowsLeft does all rows that are left.
func rowsLeft(label, done string, row tailRow) {
	Label(label)
	nextRow(done, row)
	JMP(LabelRef(label))
	Label(done)
}

// fetchTile is PREFETCHW line(R9)(BX*1): a row's line of the tile whose sums are being made, which is written in the next one's steps.
func fetchTile(line int) { raw("PREFETCHW", 0x41, 0x0f, 0x0d, 0x4c, 0x19, byte(line)) }

func amx() {
	outer()
	even := []int{0, 2, 4, 6}
	bias := [2]Op{Mem{Base: reg.R11}, Mem{Base: reg.R11, Disp: 64}}
	stored := func(add reg.Register) tailRow {
		return func() {
			for line := 0; line < 128; line += 64 {
				fetchTile(line)
				if add != nil {
					PREFETCHT0(Mem{Base: add, Index: reg.RBX, Scale: 1, Disp: line})
				}
			}
			sumRow(reg.R9, reg.R8, bias, add)
			ADDQ(reg.R12, reg.R9)
			if add != nil {
				ADDQ(reg.R12, add)
			}
		}
	}
	rounded := func(put rowFunction) tailRow {
		return func() {
			fetchTile(0)
			roundRow(reg.R9, reg.R8, bias, put)
			ADDQ(reg.R12, reg.R9)
		}
	}
	without := func() {}
	amxTail("tileAMXStore", even, func() tailRow { return stored(nil) }, without)
	amxTail("tileAMXSum", even, func() tailRow { return stored(reg.R13) }, without)
	amxTail("tileAMXRound", even, func() tailRow { return rounded(nil) }, without)
	amxTail("tileAMXPast", even, func() tailRow {
		return func() {
			roundBoth(reg.R8, bias, nil)
			VMOVNTDQ(both, Mem{Base: reg.R9})
			ADDQ(reg.R12, reg.R9)
		}
	}, SFENCE)
	amxTail("tileAMXGELU", []int{1, 4, 7}, func() tailRow {
		MOVQ(work("coef"), reg.RSI)
		return rounded(geluBy(reg.RSI))
	}, without)
}
