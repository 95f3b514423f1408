//go:build !noasm

#include "textflag.h"

// Go's assembler knows no AMX. Encodings (Intel SDM volume 2): VEX.128.0F38.W0, no prefix 78, F3 7A, F2 7B in the third
// byte; TDPBF16PS carries its third operand in VEX.vvvv. Checked with objdump.

// TDPBF16PS T0,T4,T6; T1,T4,T7; T2,T5,T6; T3,T5,T7
#define TDP046 BYTE $0xC4; BYTE $0xE2; BYTE $0x4A; BYTE $0x5C; BYTE $0xC4
#define TDP147 BYTE $0xC4; BYTE $0xE2; BYTE $0x42; BYTE $0x5C; BYTE $0xCC
#define TDP256 BYTE $0xC4; BYTE $0xE2; BYTE $0x4A; BYTE $0x5C; BYTE $0xD5
#define TDP357 BYTE $0xC4; BYTE $0xE2; BYTE $0x42; BYTE $0x5C; BYTE $0xDD

// TILELOADD T4,[RSI+RAX]; T5,[RDI+RAX]; T6,[RDX+RCX]; T7,[RBX+RCX]
#define LOADA0 BYTE $0xC4; BYTE $0xE2; BYTE $0x7B; BYTE $0x4B; BYTE $0x24; BYTE $0x06
#define LOADA1 BYTE $0xC4; BYTE $0xE2; BYTE $0x7B; BYTE $0x4B; BYTE $0x2C; BYTE $0x07
#define LOADB0 BYTE $0xC4; BYTE $0xE2; BYTE $0x7B; BYTE $0x4B; BYTE $0x34; BYTE $0x0A
#define LOADB1 BYTE $0xC4; BYTE $0xE2; BYTE $0x7B; BYTE $0x4B; BYTE $0x3C; BYTE $0x0B

// TILELOADDT1 T4,[RSI+RAX]; T5,[RDI+RAX]: what is not to stay in the first cache.
#define PASSA0 BYTE $0xC4; BYTE $0xE2; BYTE $0x79; BYTE $0x4B; BYTE $0x24; BYTE $0x06
#define PASSA1 BYTE $0xC4; BYTE $0xE2; BYTE $0x79; BYTE $0x4B; BYTE $0x2C; BYTE $0x07

// TILELOADD and TILESTORED of T0,[RSI+RAX]; T1,[RDI+RAX]; T2,[RDX+RAX]; T3,[RBX+RAX]
#define LOADC(op) \
	BYTE $0xC4; BYTE $0xE2; BYTE $op; BYTE $0x4B; BYTE $0x04; BYTE $0x06 \
	BYTE $0xC4; BYTE $0xE2; BYTE $op; BYTE $0x4B; BYTE $0x0C; BYTE $0x07
#define LOADC2(op) \
	BYTE $0xC4; BYTE $0xE2; BYTE $op; BYTE $0x4B; BYTE $0x14; BYTE $0x02 \
	BYTE $0xC4; BYTE $0xE2; BYTE $op; BYTE $0x4B; BYTE $0x1C; BYTE $0x03

#define TILEZERO(t) BYTE $0xC4; BYTE $0xE2; BYTE $0x7B; BYTE $0x49; BYTE $(0xC0 + 8*t)

// LDTILECFG [RSI]; TILERELEASE
#define LDTILECFG BYTE $0xC4; BYTE $0xE2; BYTE $0x78; BYTE $0x49; BYTE $0x06
#define TILERELEASE BYTE $0xC4; BYTE $0xE2; BYTE $0x78; BYTE $0x49; BYTE $0xC0

// Where a core shares itself with a busy thread, two instructions of the tile unit that are allocated together wait for each other: a step
// of four loads and four products takes 118 ns. With eight others behind each it takes 70; the core's own 24 ns stay as they are.
#define NOP4 BYTE $0x90; BYTE $0x90; BYTE $0x90; BYTE $0x90
#define APART NOP4; NOP4

// A step of 32 rows: 32 columns of a by as many rows of b.
#define STEP(la0, la1) \
	LOADB0 \
	APART \
	la0 \
	APART \
	LOADB1 \
	APART \
	la1 \
	APART \
	TDP046 \
	APART \
	TDP147 \
	APART \
	TDP256 \
	APART \
	TDP357 \
	APART \
	ADDQ $64, SI \
	ADDQ $64, DI \
	ADDQ $2048, DX \
	ADDQ $2048, BX

// Eight lines of b, two steps ahead: for few rows it comes from memory.
#define FETCHB(at) \
	PREFETCHT0 (at)(DX) \
	PREFETCHT0 (at+64)(DX) \
	PREFETCHT0 (at+128)(DX) \
	PREFETCHT0 (at+192)(DX) \
	PREFETCHT0 (at+256)(DX) \
	PREFETCHT0 (at+320)(DX) \
	PREFETCHT0 (at+384)(DX) \
	PREFETCHT0 (at+448)(DX)

// func tileAMX(cfg *tileConfig, shape uint8, k32 int, a *uint16, lda int, b *uint16, c *float32, ldc int, acc bool, low *amxLow, n int, by *amxSteps)
// c(mr,32) (+)= a(mr, 32*k32)·b + u(mr, 32*r32)·v, rows lda, ldc and ldu elements apart; shape says which rows and columns
// there are. low holds u, ldu, v and
// r32. n such tiles: configuring costs as much as a short tile. by says how many bytes a, b, c and u move from one to the next.
// The arguments a, b, c and n are counted on in place, and u on the stack.
TEXT ·tileAMX(SB), NOSPLIT, $8-96
	MOVQ low+72(FP), R8
	MOVQ (R8), R8
	MOVQ R8, u-8(SP)
	MOVQ cfg+0(FP), SI
	LDTILECFG

next:
	MOVBLZX shape+8(FP), R11
	MOVBLZX acc+64(FP), R12
	MOVQ ldc+56(FP), AX
	SHLQ $2, AX
	MOVQ c+48(FP), SI
	LEAQ 64(SI), DI
	MOVQ AX, R8
	SHLQ $4, R8
	LEAQ (SI)(R8*1), DX
	LEAQ 64(DX), BX
	TESTQ R12, R12
	JZ   zero
	LOADC(0x7B)
	TESTQ R11, R11
	JZ   start
	LOADC2(0x7B)
	JMP  start

zero:
	TILEZERO(0)
	TILEZERO(1)
	TESTQ R11, R11
	JZ   start
	TILEZERO(2)
	TILEZERO(3)

start:
	MOVQ k32+16(FP), R10
	MOVQ lda+32(FP), AX
	SHLQ $1, AX
	MOVQ a+24(FP), SI
	MOVQ AX, R8
	SHLQ $4, R8
	LEAQ (SI)(R8*1), DI
	MOVQ b+40(FP), DX
	LEAQ 64(DX), BX
	MOVQ $128, CX
	TESTQ R11, R11
	JZ   one
	CMPQ R11, $2 // amxSlim
	JEQ  slim
	CMPQ R10, $24 // nearSteps of _asm/amx.go
	JG   deep

near:
	STEP(PASSA0, PASSA1)
	DECQ R10
	JNZ  near
	JMP  low

deep:
	STEP(LOADA0, LOADA1)
	DECQ R10
	JNZ  deep
	JMP  low

slim:
	LOADB0
	APART
	PASSA0
	APART
	PASSA1
	APART
	TDP046
	APART
	TDP256
	APART
	ADDQ $64, SI
	ADDQ $64, DI
	ADDQ $2048, DX
	DECQ R10
	JNZ  slim
	JMP  low

one:
	FETCHB(4096)
	LOADB0
	FETCHB(4608)
	LOADA0
	FETCHB(5120)
	TDP046
	APART
	LOADB1
	FETCHB(5632)
	TDP147
	ADDQ $64, SI
	ADDQ $2048, DX
	ADDQ $2048, BX
	DECQ R10
	JNZ  one

low:
	MOVQ low+72(FP), R8
	MOVQ 24(R8), R10
	TESTQ R10, R10
	JZ   store
	MOVQ 8(R8), AX
	SHLQ $1, AX
	MOVQ 16(R8), DX
	MOVQ u-8(SP), SI
	MOVQ AX, R8
	SHLQ $4, R8
	LEAQ (SI)(R8*1), DI
	LEAQ 64(DX), BX

again:
	LOADB0
	APART
	LOADA0
	APART
	LOADB1
	APART
	TDP046
	APART
	TDP147
	APART
	TESTQ R11, R11
	JZ   skip
	LOADA1
	APART
	TDP256
	APART
	TDP357
	APART

skip:
	ADDQ $64, SI
	ADDQ $64, DI
	ADDQ $2048, DX
	ADDQ $2048, BX
	DECQ R10
	JNZ  again

store:
	MOVQ ldc+56(FP), AX
	SHLQ $2, AX
	MOVQ c+48(FP), SI
	LEAQ 64(SI), DI
	MOVQ AX, R8
	SHLQ $4, R8
	LEAQ (SI)(R8*1), DX
	LEAQ 64(DX), BX
	LOADC(0x7A)
	TESTQ R11, R11
	JZ   done
	LOADC2(0x7A)

done:
	DECQ n+80(FP)
	JZ   finish
	MOVQ by+88(FP), R9
	MOVQ (R9), R8
	ADDQ R8, a+24(FP)
	MOVQ 8(R9), R8
	ADDQ R8, b+40(FP)
	MOVQ 16(R9), R8
	ADDQ R8, c+48(FP)
	MOVQ 24(R9), R8
	ADDQ R8, u-8(SP)
	JMP  next

finish:
	TILERELEASE
	RET
