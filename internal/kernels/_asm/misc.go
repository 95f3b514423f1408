package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func misc() {
	TEXT("pause", NOSPLIT, "func()")
	Doc("pause is a short rest in a spin loop.")
	PAUSE()
	RET()
	transpose512()
	transpose256()
	for _, v := range widths {
		turn(v)
	}
	peaks()
}

// transpose512: blocks of 16x16 words, dst[j*ldd+i] = src[i*lds+j].
func transpose512() {
	TEXT("transpose16AVX512", NOSPLIT, "func(dst *uint32, ldd int, src *uint32, lds int, n int)")
	Pragma("noescape")
	Load(Param("dst"), reg.RDI)
	Load(Param("ldd"), reg.R8)
	Load(Param("src"), reg.RSI)
	Load(Param("lds"), reg.R9)
	Load(Param("n"), reg.RCX)
	SHLQ(U8(2), reg.R8)
	SHLQ(U8(2), reg.R9)
	Label("block")
	MOVQ(reg.RSI, reg.RAX)
	for i := range 16 {
		VMOVUPS(Mem{Base: reg.RAX}, zs[i])
		if i < 15 {
			ADDQ(reg.R9, reg.RAX)
		}
	}
	for i := 0; i < 16; i += 2 { // words of two rows
		VUNPCKLPS(zs[i+1], zs[i], zs[16+i])
		VUNPCKHPS(zs[i+1], zs[i], zs[17+i])
	}
	for g := 0; g < 16; g += 4 { // of four rows: register g+c, lane L holds column 4L+c
		VUNPCKLPD(zs[16+g+2], zs[16+g], zs[g])
		VUNPCKHPD(zs[16+g+2], zs[16+g], zs[g+1])
		VUNPCKLPD(zs[16+g+3], zs[16+g+1], zs[g+2])
		VUNPCKHPD(zs[16+g+3], zs[16+g+1], zs[g+3])
	}
	for c := range 4 { // lanes 0,2 and 1,3 of two groups
		VSHUFF32X4(U8(0x88), zs[4+c], zs[c], zs[16+c])
		VSHUFF32X4(U8(0xdd), zs[4+c], zs[c], zs[20+c])
		VSHUFF32X4(U8(0x88), zs[12+c], zs[8+c], zs[24+c])
		VSHUFF32X4(U8(0xdd), zs[12+c], zs[8+c], zs[28+c])
	}
	for c := range 4 {
		VSHUFF32X4(U8(0x88), zs[24+c], zs[16+c], zs[c])
		VSHUFF32X4(U8(0x88), zs[28+c], zs[20+c], zs[4+c])
		VSHUFF32X4(U8(0xdd), zs[24+c], zs[16+c], zs[8+c])
		VSHUFF32X4(U8(0xdd), zs[28+c], zs[20+c], zs[12+c])
	}
	for i := range 16 {
		VMOVUPS(zs[i], Mem{Base: reg.RDI})
		ADDQ(reg.R8, reg.RDI)
	}
	ADDQ(U8(64), reg.RSI)
	DECQ(reg.RCX)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}

// transpose256 does the same by blocks of 8x8.
func transpose256() {
	TEXT("transpose16AVX2", NOSPLIT, "func(dst *uint32, ldd int, src *uint32, lds int, n int)")
	Pragma("noescape")
	Load(Param("dst"), reg.RDI)
	Load(Param("ldd"), reg.R8)
	Load(Param("src"), reg.RSI)
	Load(Param("lds"), reg.R9)
	Load(Param("n"), reg.RCX)
	SHLQ(U8(2), reg.R8)
	SHLQ(U8(2), reg.R9)
	SHLQ(U8(1), reg.RCX)
	Label("block") // 16 rows by 8 columns
	MOVQ(reg.RSI, reg.RAX)
	for half := range 2 {
		for i := range 8 {
			VMOVUPS(Mem{Base: reg.RAX}, ys[i])
			ADDQ(reg.R9, reg.RAX)
		}
		for i := 0; i < 8; i += 2 {
			VUNPCKLPS(ys[i+1], ys[i], ys[8+i])
			VUNPCKHPS(ys[i+1], ys[i], ys[9+i])
		}
		for g := 0; g < 8; g += 4 {
			VUNPCKLPD(ys[8+g+2], ys[8+g], ys[g])
			VUNPCKHPD(ys[8+g+2], ys[8+g], ys[g+1])
			VUNPCKLPD(ys[8+g+3], ys[8+g+1], ys[g+2])
			VUNPCKHPD(ys[8+g+3], ys[8+g+1], ys[g+3])
		}
		for c := range 4 {
			VPERM2F128(U8(0x20), ys[4+c], ys[c], ys[8+c])
			VPERM2F128(U8(0x31), ys[4+c], ys[c], ys[12+c])
		}
		MOVQ(reg.RDI, reg.RBX)
		for i := range 8 {
			VMOVUPS(ys[8+i], Mem{Base: reg.RBX, Disp: 32 * half})
			ADDQ(reg.R8, reg.RBX)
		}
	}
	MOVQ(reg.RBX, reg.RDI)
	ADDQ(U8(32), reg.RSI)
	DECQ(reg.RCX)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}

// peaks are loops of nothing but independent multiply-adds in registers, n rounds each.
// turn writes turnBlock: a block of 32 rows by 32 columns of 16 bits, from [column/2][row][2] to [row/2][column][2]. In words of 64
// bits, which hold 2 rows of 2 columns, that is a transpose of 16 by 16 and then an exchange within each.
func turn(v vec) {
	n := v.bytes / 8 // words of a vector
	TEXT("turnBlock"+v.suffix, NOSPLIT, "func(dst, src *uint16)")
	Pragma("noescape")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	swap := GLOBL("exchange"+v.suffix, RODATA|NOPTR)
	for i := range v.bytes / 8 {
		at := uint64(i%2) * 0x0808080808080808
		DATA(8*i, U64(0x0706030205040100+at))
	}
	order := v.r()
	VMOVUPS(swap, order)
	for rows := 0; rows < 16; rows += n {
		for cols := 0; cols < 16; cols += n {
			x := make([]reg.VecVirtual, n)
			for r := range x {
				x[r] = v.load(Mem{Base: src, Disp: 128*(rows+r) + 8*cols})
			}
			for c, y := range turned(v, x) {
				VPSHUFB(order, y, y)
				VMOVUPS(y, Mem{Base: dst, Disp: 128*(cols+c) + 8*rows})
			}
		}
	}
	v.end()
}

// turned is the transpose of a square of 64-bit words.
func turned(v vec, x []reg.VecVirtual) []reg.VecVirtual {
	n := len(x)
	pairs := make([]reg.VecVirtual, n)
	for r := 0; r < n; r += 2 {
		pairs[r], pairs[r+1] = v.r(), v.r()
		VPUNPCKLQDQ(x[r+1], x[r], pairs[r])
		VPUNPCKHQDQ(x[r+1], x[r], pairs[r+1])
	}
	out := make([]reg.VecVirtual, n)
	for odd := range 2 {
		if n == 4 {
			a, b := pairs[odd], pairs[2+odd]
			out[odd], out[2+odd] = v.r(), v.r()
			VPERM2I128(U8(0x20), b, a, out[odd])
			VPERM2I128(U8(0x31), b, a, out[2+odd])
			continue
		}
		for step, pick := range []uint8{0x88, 0xdd} {
			a, b := v.r(), v.r()
			VSHUFI64X2(U8(pick), pairs[2+odd], pairs[odd], a)
			VSHUFI64X2(U8(pick), pairs[6+odd], pairs[4+odd], b)
			for half, which := range []uint8{0x88, 0xdd} {
				y := v.r()
				VSHUFI64X2(U8(which), b, a, y)
				out[odd+2*step+4*half] = y
			}
		}
	}
	return out
}

func peaks() {
	TEXT("peakAVX512", NOSPLIT, "func(n int)")
	Doc("peakAVX512 runs n rounds of 24 multiply-adds of 16 float32.")
	Load(Param("n"), reg.RCX)
	for i := range 32 {
		VPXORD(zs[i], zs[i], zs[i])
	}
	Label("again")
	for i := range 24 {
		VFMADD231PS(zs[30], zs[31], zs[i])
	}
	DECQ(reg.RCX)
	JNZ(LabelRef("again"))
	VZEROUPPER()
	RET()

	TEXT("peakDot", NOSPLIT, "func(n int)")
	Doc("peakDot runs n rounds of 24 dot products of 32 bf16.")
	Load(Param("n"), reg.RCX)
	for i := range 32 {
		VPXORD(zs[i], zs[i], zs[i])
	}
	Label("again")
	for i := range 24 {
		dpbf16(i, 30, 31)
	}
	DECQ(reg.RCX)
	JNZ(LabelRef("again"))
	VZEROUPPER()
	RET()

	TEXT("peakTiles", NOSPLIT, "func(cfg *byte, n int)")
	Doc("peakTiles runs n rounds of 4 tile products of 16x32 by 32x16 bf16.")
	Load(Param("cfg"), reg.RSI)
	raw("AMX", 0xc4, 0xe2, 0x78, 0x49, 0x06) // LDTILECFG (SI)
	Load(Param("n"), reg.RCX)
	Label("again")
	raw("AMX", 0xc4, 0xe2, 0x4a, 0x5c, 0xc4) // TDPBF16PS T0,T4,T6
	raw("AMX", 0xc4, 0xe2, 0x42, 0x5c, 0xcc) // T1,T4,T7
	raw("AMX", 0xc4, 0xe2, 0x4a, 0x5c, 0xd5) // T2,T5,T6
	raw("AMX", 0xc4, 0xe2, 0x42, 0x5c, 0xdd) // T3,T5,T7
	DECQ(reg.RCX)
	JNZ(LabelRef("again"))
	raw("AMX", 0xc4, 0xe2, 0x78, 0x49, 0xc0) // TILERELEASE
	RET()

	TEXT("peakAVX2", NOSPLIT, "func(n int)")
	Doc("peakAVX2 runs n rounds of 12 multiply-adds of 8 float32.")
	Load(Param("n"), reg.RCX)
	for i := range 16 {
		VXORPS(ys[i], ys[i], ys[i])
	}
	Label("again")
	for i := range 12 {
		VFMADD231PS(ys[14], ys[15], ys[i])
	}
	DECQ(reg.RCX)
	JNZ(LabelRef("again"))
	VZEROUPPER()
	RET()
}
