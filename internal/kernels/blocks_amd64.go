//go:build amd64 && !noasm

package kernels

type blockTable = []func(blocks int, a *byte, as int, b *byte, c *float32, cs int, acc bool)

// blocksBy is tileBlocks by functions for four and for eight bits.
func blocksBy(q4, q8 blockTable) func(four bool, mr, blocks int, a []byte, lda int, b []float32, c []float32, ldc int, acc bool) {
	return func(four bool, mr, blocks int, a []byte, lda int, b []float32, c []float32, ldc int, acc bool) {
		table, size := q8, q8Size
		if four {
			table, size = q4, q4Size
		}
		_, _, _ = a[(mr-1)*lda+blocks*rowBlock-1], b[blocks*size-1], c[(mr-1)*ldc+31]
		table[mr](blocks, &a[0], lda, &asBytes(b)[0], &c[0], ldc, acc)
	}
}

func quantRow256(dst []byte, x []float32) {
	blocks := len(x) / QuantBlock
	_ = dst[blocks*rowBlock-1]
	quantRowAVX2(&dst[0], &x[0], blocks)
}
