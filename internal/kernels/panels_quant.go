package kernels

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// QuantBlock is the number of columns that share a scale in PanelQ8 and PanelQ4.
const QuantBlock = 32

// A block of a panel, 32 rows by 32 columns, of which products of integers read four columns at a time: PanelQ8 [32] scales as float32,
// then [8][32 rows][4 columns] of int8; PanelQ4 [32] scales, [32] offsets, then [4][32 rows][4 columns] bytes, with columns 0 to 15 in the
// low halves and 16 to 31 in the high ones. Sizes in floats.
const (
	q8Size = 32 + 32*32/4
	q4Size = 64 + 16*32/4
)

func asBytes(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
}

// FillBlocks sets the weights of PanelQ8 or PanelQ4 from numbers that are quantised already. row writes row n: q (length K), and a
// scale and an offset for each block of QuantBlock columns; a weight is scale*q, for PanelQ4 scale*q + offset (rounded once)
// with q from 0 to 15. It is called once per row, from several goroutines at once.
func (p *Panels) FillBlocks(row func(n int, q []int8, scale, offset []float32)) {
	if p.typ < PanelQ8 {
		panic("kernels: FillBlocks wants quantised panels")
	}
	blocks := p.k / QuantBlock
	Parallel(p.count(), func(i int) {
		q := make([]int8, p.k)
		scale, offset := make([]float32, blocks), make([]float32, blocks)
		panel := p.panel(i)
		clear(panel)
		for r := range min(32, p.n-32*i) {
			clear(offset)
			row(32*i+r, q, scale, offset)
			for b := range blocks {
				p.setBlock(panel, b, r, q[b*QuantBlock:][:QuantBlock], scale[b], offset[b])
			}
		}
	})
}

// setBlock writes row r of block b of a panel, four columns at a time.
func (p *Panels) setBlock(panel []float32, b, r int, q []int8, scale, offset float32) {
	scale, offset = standardNaN(scale), standardNaN(offset)
	q = q[:QuantBlock]
	if p.typ == PanelQ8 {
		d := panel[b*q8Size:][:q8Size]
		d[r] = scale
		for l := 0; l < QuantBlock; l += 4 {
			word := uint32(byte(q[l])) | uint32(byte(q[l+1]))<<8 | uint32(byte(q[l+2]))<<16 | uint32(byte(q[l+3]))<<24
			binary.LittleEndian.PutUint32(asBytes(d[32:])[q8At(l, r):], word)
		}
		return
	}
	d := panel[b*q4Size:][:q4Size]
	d[r], d[32+r] = scale, offset
	for l := 0; l < 16; l += 4 {
		byteOf := func(l int) uint32 { return uint32(q[l]&15|q[16+l]<<4&-16) & 255 }
		word := byteOf(l) | byteOf(l+1)<<8 | byteOf(l+2)<<16 | byteOf(l+3)<<24
		binary.LittleEndian.PutUint32(asBytes(d[64:])[q8At(l, r):], word)
	}
}

// q8At is where column l of row r stands in the numbers of a block, q4At that and by how many bits it is shifted.
func q8At(l, r int) int { return l/4*128 + r*4 + l%4 }

func q4At(l, r int) (at, shift int) { return q8At(l%16, r), l / 16 * 4 }

// standardNaN replaces a NaN by the one whose rounding to bf16 by integer arithmetic is safe.
func standardNaN(x float32) float32 {
	if x != x {
		return float32(math.NaN())
	}
	return x
}

// quantise rounds rows block by block: 8 bits to scale*q with the largest magnitude at 127, 4 bits to the 16 values from the
// block's least to its largest. A block with a NaN or Inf becomes NaN.
func (p *Panels) quantise(row func(n int, dst []float32)) {
	Parallel(p.count(), func(i int) {
		x := make([]float32, p.k)
		var q [QuantBlock]int8
		panel := p.panel(i)
		clear(panel)
		for r := range min(32, p.n-32*i) {
			row(32*i+r, x)
			for b := range p.k / QuantBlock {
				scale, offset := quantBlock(&q, x[b*QuantBlock:][:QuantBlock], p.typ == PanelQ4)
				p.setBlock(panel, b, r, q[:], scale, offset)
			}
		}
	})
}

func quantBlock(q *[QuantBlock]int8, x []float32, four bool) (scale, offset float32) {
	lo, hi := x[0], x[0]
	for _, v := range x {
		lo, hi = min(lo, v), max(hi, v) // NaN if any is
	}
	if four {
		scale, offset = (hi-lo)/15, lo
	} else {
		scale = max(hi, -lo) / 127
	}
	if scale == 0 || scale != scale || math.IsInf(float64(scale), 0) {
		clear(q[:])
		return scale * 0, offset + scale*0
	}
	for l, v := range x {
		q[l] = int8(math.RoundToEven(float64((v - offset) / scale)))
	}
	return scale, offset
}

// expand writes columns [k0,k1) of a quantised panel to dst, as [k1-k0][32] float32 or as pairs of bf16 [(k1-k0)/2][32][2]. Both
// are multiples of QuantBlock.
func (p *Panels) expand(im *impl, dst, panel []float32, k0, k1 int, pairs bool) {
	b, n := k0/QuantBlock, (k1-k0)/QuantBlock
	if n == 0 {
		return
	}
	size := q8Size
	if p.typ == PanelQ4 {
		size = q4Size
	}
	src := asBytes(panel[b*size:][:n*size])
	switch {
	case p.typ == PanelQ8 && pairs:
		im.expandQ8Pairs(dst, src, n)
	case p.typ == PanelQ8:
		im.expandQ8(dst, src, n)
	case pairs:
		im.expandQ4Pairs(dst, src, n)
	default:
		im.expandQ4(dst, src, n)
	}
}

// quantRow is row r of a quantised panel.
func (p *Panels) quantRow(dst, panel []float32, r int) {
	for l := range dst {
		b, c := l/QuantBlock, l%QuantBlock
		if p.typ == PanelQ8 {
			d := panel[b*q8Size:][:q8Size]
			dst[l] = d[r] * float32(int8(asBytes(d[32:])[q8At(c, r)]))
			continue
		}
		d := panel[b*q4Size:][:q4Size]
		at, shift := q4At(c, r)
		dst[l] = multiplyAdd(d[r], float32(asBytes(d[64:])[at]>>shift&15), d[32+r])
	}
}

// multiplyAdd is a*b + c rounded once where a*b is exact in float64, as it is for a float32 and a small integer.
func multiplyAdd(a, b, c float32) float32 {
	return float32(math.FMA(float64(a), float64(b), float64(c)))
}

func expandQ8Generic(dst []float32, src []byte, blocks int) {
	for i := range blocks {
		s, d := src[i*4*q8Size:][:4*q8Size], dst[i*32*32:][:32*32]
		scale := unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(s))), 32)
		for j := range d {
			l, r := j/32, j%32
			d[j] = float32(int8(s[128:][q8At(l, r)])) * scale[r]
		}
	}
}

func expandQ4Generic(dst []float32, src []byte, blocks int) {
	for i := range blocks {
		s, d := src[i*4*q4Size:][:4*q4Size], dst[i*32*32:][:32*32]
		head := unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(s))), 64)
		for j := range d {
			r := j % 32
			at, shift := q4At(j/32, r)
			d[j] = multiplyAdd(head[r], float32(s[256:][at]>>shift&15), head[32+r])
		}
	}
}

func expandQ8PairsGeneric(dst []float32, src []byte, blocks int) {
	for i := range blocks {
		var wide [32 * 32]float32
		expandQ8Generic(wide[:], src[i*4*q8Size:], 1)
		pairsGeneric(asU16(dst[i*16*32:][:16*32]), &wide)
	}
}

func expandQ4PairsGeneric(dst []float32, src []byte, blocks int) {
	for i := range blocks {
		var wide [32 * 32]float32
		expandQ4Generic(wide[:], src[i*4*q4Size:], 1)
		pairsGeneric(asU16(dst[i*16*32:][:16*32]), &wide)
	}
}

func pairsGeneric(dst []uint16, wide *[32 * 32]float32) {
	for l := range 32 {
		for r := range 32 {
			dst[l/2*64+2*r+l&1] = ToBF16(wide[l*32+r])
		}
	}
}
