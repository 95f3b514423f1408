package kernels

import (
	"encoding/binary"
	"math"
)

// This file owns products of quantised panels in integers (I16): weights stay as they are stored, and each row of the left operand is
// rounded to 16-bit integers, block by block of QuantBlock columns. Such an integer is two digits to base 255 of at most 127 either way,
// so that products of bytes do. Sums within a block are exact; from one block to the next they are in float32, in order, so that an
// element depends on its row of x and its row of W alone. The error is that of rounding x: half a 32512th of a block's largest number
// at most (all of it where that is below 1e-30).

// A block of a row is its high digits, its low ones, then as little-endian words the scale, that times the sum of the integers (which
// meets the weights' offset), and -128 times the sums of high and of low digits (for weights that are made unsigned by adding 128).
const (
	rowLow   = QuantBlock
	rowScale = 2 * QuantBlock
	rowShift = rowScale + 4
	rowSums  = rowScale + 8
	rowBlock = rowScale + 16

	digitBase = 255
	rowMost   = 127*digitBase + 127
)

// Blocks reports whether products with p in arithmetic c multiply integers with weights in blocks.
func (p *Panels) Blocks(c Compute) bool {
	return c == I16 && p.typ >= PanelQ8 && active.Load().tileBlocks != nil
}

// FastestBlocks is Fastest for quantised panels. few says that few rows share them, as in generating one answer: time is then spent on
// reading blocks and taking them apart.
func FastestBlocks(few bool) Compute {
	switch im := active.Load(); {
	case !few && Fastest() == BF16:
		return BF16
	case im.fastBlocks == always, im.fastBlocks == fewRows && few:
		return I16
	}
	return F32
}

// occasion is when something is faster than the product in f32.
type occasion uint8

const (
	never occasion = iota
	fewRows
	always
)

// blockRows rounds x(m,k) for products with quantised panels, into memory of s.
func blockRows(s *scratch, x []float32, m, k int) []byte {
	im, size := active.Load(), k/QuantBlock*rowBlock
	dst := asBytes(s.extra(m * size / 4))
	eachRow(m, k, func(i int) { im.quantRow(dst[i*size:][:size], x[i*k:][:k]) })
	return dst
}

func quantRowGeneric(dst []byte, x []float32) {
	for b := range len(x) / QuantBlock {
		d, block := dst[b*rowBlock:][:rowBlock], x[b*QuantBlock:][:QuantBlock]
		var most uint32
		for _, v := range block {
			most = max(most, math.Float32bits(v)&^(1<<31)) // NaN is more than Inf
		}
		top := math.Float32frombits(most)
		scale := top * float32(1.0/rowMost)
		by := rowMost / max(top, 1e-30)
		var sums [2]int32 // of high and of low digits
		for i, v := range block {
			q := int32(math.RoundToEven(float64(float32(v * by))))
			high := int32(math.RoundToEven(float64(float32(float32(q) * float32(1.0/digitBase)))))
			low := q - digitBase*high
			d[i], d[rowLow+i] = byte(high), byte(low)
			sums[0], sums[1] = sums[0]+high, sums[1]+low
		}
		put := binary.LittleEndian.PutUint32
		put(d[rowScale:], math.Float32bits(scale))
		put(d[rowShift:], math.Float32bits(scale*float32(digitBase*sums[0]+sums[1])))
		put(d[rowSums:], uint32(-128*sums[0]))
		put(d[rowSums+4:], uint32(-128*sums[1]))
	}
}

// tileBlocksGeneric: c(mr,32) (+)= a(mr, blocks of lda bytes in all)·b, blocks of a panel of four or eight bits.
func tileBlocksGeneric(four bool, mr, blocks int, a []byte, lda int, b []float32, c []float32, ldc int, acc bool) {
	size := q8Size
	if four {
		size = q4Size
	}
	for i := range mr {
		for r := range 32 {
			var sum float32
			if acc {
				sum = c[i*ldc+r]
			}
			for n := range blocks {
				row, block := a[i*lda+n*rowBlock:][:rowBlock], b[n*size:][:size]
				word := func(at int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(row[at:])) }
				var ints int32
				for l := range QuantBlock {
					q := digitBase*int32(int8(row[l])) + int32(int8(row[rowLow+l]))
					if four {
						at, shift := q4At(l, r)
						ints += q * int32(asBytes(block[64:])[at]>>shift&15)
					} else {
						ints += q * int32(int8(asBytes(block[32:])[q8At(l, r)]))
					}
				}
				sum = multiplyAdd(float32(ints)*word(rowScale), block[r], sum)
				if four {
					sum = multiplyAdd(word(rowShift), block[32+r], sum)
				}
			}
			c[i*ldc+r] = sum
		}
	}
}
