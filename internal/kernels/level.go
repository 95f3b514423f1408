package kernels

import (
	"fmt"
	"os"
	"sync/atomic"
)

// Level is an instruction set for which kernels exist.
type Level uint8

// The levels, in ascending order of preference within an architecture.
const (
	Generic Level = iota
	NEON
	AVX2
	AVX2VNNI // with the dot product of 16-bit integers
	AVX512
	AVX512BF16
	AMX
)

var levelNames = [...]string{"generic", "neon", "avx2", "avx2vnni", "avx512", "avx512bf16", "amx"}

// String gives the name that PLUMB_KERNELS understands.
func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return fmt.Sprintf("Level(%d)", uint8(l))
}

// ParseLevel is the inverse of String.
func ParseLevel(s string) (Level, error) {
	for i, n := range levelNames {
		if n == s {
			return Level(i), nil
		}
	}
	return Generic, fmt.Errorf("unknown kernels %q: want one of %v", s, levelNames)
}

// Version counts changes to what kernels compute, of a bit or more: what is kept of their results is good for one version.
const Version = 2

var active atomic.Pointer[impl]

// levelFault is what was wrong with PLUMB_KERNELS; see LevelFault.
var levelFault error

func init() {
	all := Available()
	best := all[len(all)-1]
	if name := os.Getenv("PLUMB_KERNELS"); name != "" && name != "auto" {
		l, err := ParseLevel(name)
		switch {
		case err != nil:
			levelFault = fmt.Errorf("PLUMB_KERNELS: %w", err)
		case !available(l):
			levelFault = fmt.Errorf("PLUMB_KERNELS: this processor or build has no %s kernels, only %v", l, all)
		default:
			best = l
		}
	}
	active.Store(implOf(best))
}

// LevelFault says why PLUMB_KERNELS was not followed, nil if it was or is unset. Commands report it as a
// configuration error; until then the best available level serves.
func LevelFault() error { return levelFault }

// Active is the level in use.
func Active() Level { return active.Load().level }

func available(l Level) bool {
	for _, a := range Available() {
		if a == l {
			return true
		}
	}
	return false
}

// Force switches to l and returns a function that switches back. It is for tests and benchmarks: never while a
// kernel runs. It panics where l is not available.
func Force(l Level) (restore func()) {
	if !available(l) {
		panic(fmt.Sprintf("kernels: %s is not available here", l))
	}
	old := active.Swap(implOf(l))
	return func() { active.Store(old) }
}

// impl is one level's set of primitives; those not in it are its methods (dispatch_*.go).
type impl struct {
	level    Level
	vec      uint8   // which of the methods: 0 generic, 1 AVX2, 2 AVX-512
	rows     heights // of products in f32
	pairs    heights // of products in bf16, where tileDot exists
	ints16   heights // of products in 16-bit integers
	fastInts bool    // those outrun products in f32
	blocks   heights // of products of integers with quantised panels

	fastBlocks occasion // when those outrun products in f32
	converts   bool     // to bf16 in one instruction
	intTail    bool     // tileInt adds a low rank and knows fetching.slow
	intStrips  bool     // tileInt takes as many rows as a strip has, and may fetch fetching.next while they pass
	ahead      int      // bytes that weights are fetched ahead of use when few rows share them

	// tile: c(mr,32) (+)= a(mr,k)·b(k,32); a's element (i,l) is a[i*ars+l*acs], one of the two being 1; b's rows are ldb
	// apart and fetched ahead by so many bytes.
	tile func(mr, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, acc bool, ahead int)
	// tile16 is tile for 16 columns.
	tile16 func(mr, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, acc bool, ahead int)
	// tile8 is tile for 8 columns and at most narrowRows rows, a's columns adjacent; nil where there is none.
	tile8 func(mr, k int, a []float32, ars int, b []float32, ldb int, c []float32, ldc int, acc bool)
	// tileBF is tile with b in bf16 pairs [k/2][32][2], arithmetic in f32; a's columns are adjacent.
	tileBF func(mr, k int, a []float32, ars int, b []uint16, c []float32, ldc int, acc bool, ahead int)
	// tileDot multiplies bf16 pairs; a is bf16 with rows lda apart and kp pairs each; then c += low. nil: no such instruction.
	tileDot func(mr, kp int, a []uint16, lda int, b []uint16, c []float32, ldc int, acc bool, ahead int, low lowTile)
	// panelsDot is tileDot for any number of rows and several panels of b, step numbers apart, kp a multiple of 16; there where tileDot is.
	panelsDot func(mr, panels, kp int, a []uint16, lda int, b []uint16, step int, c []float32, ldc int, acc bool)
	// slimDot is panelsDot for one panel whose columns from 16 on are zeros.
	slimDot func(mr, kp int, a []uint16, lda int, b []uint16, c []float32, ldc int, acc bool)
	// outer is AddOuterPairs with uᵀ at hand, rows ld apart and m padded with zeros to whole pairs of blocks; nil: by panels of x.
	outer func(g [][]float32, col int, turned []uint16, ld int, x []uint16, ldx, m, w int)
	// tailed computes products of bf16 pairs with all that is done to their sums, there where tileDot is; tileDot, and then roundRows and its
	// like, do what runTailed leaves.
	tailed     func(p *tailedPairs, s *scratch)
	tailedFrom int // rows from which it is for panels as they are stored: fewer wait for memory, which tileDot fetches ahead
	// roundRows rounds a tile c(rows,32) plus bias to bf16, rows of dst ldd apart; there where tileDot is.
	roundRows func(dst []uint16, ldd, rows int, c, bias []float32)
	// geluRows is roundRows with a GELU of each sum (geluHalf); there where tileDot is.
	geluRows func(dst []uint16, ldd, rows int, c, bias []float32, coef *[4]float32)
	// sumRows writes a tile c(rows,32) plus bias plus rows of x, ldx apart, to rows of dst; there where tileDot is.
	sumRows func(dst []float32, ldd, rows int, c, bias, x []float32, ldx int)
	// pairRows makes of pairs of 32 numbers in rows lds apart the pairs (row 2i, row 2i+1); there where tileDot is.
	pairRows func(dst, src []uint16, lds, pairs int)
	// softmaxHalf is SoftmaxHalf; there where tileDot is.
	softmaxHalf func(dst []uint16, ldd int, s []float32, lds, rows, n, more, room int, scale float32, stats []float32)
	// softmaxHalfBack is SoftmaxHalfBackward; there where tileDot is.
	softmaxHalfBack func(p, ds []uint16, ldd int, s, d []float32, lds, rows, n, more, room int, scale, by float32, lse []float32)
	// ropeHalf is RoPEHalf for dim a multiple of 32, rows of dst ldd apart and zero -0 for the inverse; there where tileDot is.
	ropeHalf func(dst []uint16, ldd int, x, cos, sin []float32, rows, heads, dim int, zero float32)
	// normHalf writes x*rstd*gain, in whole vectors, in bf16; there where tileDot is.
	normHalf func(y []uint16, x, gain []float32, rstd float32)
	// siluHalf and siluHalfBack are siluMul and siluMulBack of bf16; there where tileDot is.
	siluHalf     func(y, gate, up []uint16)
	siluHalfBack func(dgate, dup, dy, gate, up []uint16)
	// tileInt: c(mr,32) (+)= xs(mr)·ws(32)·a·b, a and b as for tileDot but of 16-bit integers; then, where intTail is set,
	// c += low.
	tileInt func(mr, kp int, a []uint16, lda int, b []uint16, c []float32, ldc int, acc bool, xs, ws []float32, to fetching, low lowTile)
	// strip is tile for so many tiles of stripRows rows, a's columns adjacent and b's rows one after another, and fetches next while they
	// pass; nil where there is none.
	strip func(tiles, k int, a []float32, lda int, b, c []float32, ldc int, acc bool, next []float32)
	// wide is strip for any number of rows and 64 columns: b's two panels (k,32) begin so many numbers apart; nil where there is none.
	wide func(m, k int, a []float32, lda int, b []float32, apart int, c []float32, ldc int, acc bool, next []float32)
	// widenPairs makes float32 rows (2*pairs,32) of rows of 32 pairs of bf16; there where strip or wide is.
	widenPairs func(dst []float32, src []uint16, pairs int)
	// tileBlocks: c(mr,32) (+)= a·b, a's rows lda bytes apart as quantRow makes them, b blocks of a panel of four or eight bits; nil: the product
	// in f32 instead.
	tileBlocks func(four bool, mr, blocks int, a []byte, lda int, b []float32, c []float32, ldc int, acc bool)
	// quantRow rounds a row of whole blocks (blocks.go).
	quantRow func(dst []byte, x []float32)
	// transpose16: n blocks; dst[j*ldd+i] = src[i*lds+j] for 16x16 words; block by block src moves 16 columns
	// right, dst 16 rows down.
	transpose16 func(dst []uint32, ldd int, src []uint32, lds int, n int)
}

// fetching is where a tile fetches ahead: so many bytes behind what it reads, less slow more with each four steps, so that tiles that
// share a panel fetch the next one together.
type fetching struct {
	ahead, slow int
	next        []float32 // what a strip fetches while its rows pass
}

// lowTile is the low rank of a tile, u(mr,r)·v(r,32) with rows of u r apart and of v ldv; r is 0 for none. Of bf16 it is ub and vb, a
// panel, r is a multiple of PairBlock, and rows of v outside [lo,hi) are zeros.
type lowTile struct {
	r, ldv int
	lo, hi int
	u, v   []float32
	ub, vb []uint16
}

// narrowRows is the most rows of tile8.
const narrowRows = 12
