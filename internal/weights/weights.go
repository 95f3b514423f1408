// Package weights reads and writes model weights: safetensors (one file or shards) and GGUF, mapped into memory and
// checked before any byte is believed. A Set hands out each tensor once and can name what nobody took.
//
// It knows file formats and the naming of llama.cpp and of Hugging Face; it must not know what a layer computes.
package weights

import (
	"fmt"
	"math/bits"
	"strings"
)

// Tensor is one named array of a file. Data is in the stored type, row-major, little-endian; it may be mapped from the
// file, so it must not be written to and is valid until the Set is closed.
type Tensor struct {
	Name  string
	DType DType
	Shape []int
	Data  []byte
}

// Rows and columns of the tensor seen as a matrix: the last dimension is the column, everything before it the row.
// A scalar is (1,1), a vector (1,n).
func (t *Tensor) Rows() int {
	if len(t.Shape) < 2 {
		return 1
	}
	n := 1
	for _, d := range t.Shape[:len(t.Shape)-1] {
		n *= d
	}
	return n
}

// Cols is the length of a row.
func (t *Tensor) Cols() int {
	if len(t.Shape) == 0 {
		return 1
	}
	return t.Shape[len(t.Shape)-1]
}

// Len is the number of elements.
func (t *Tensor) Len() int { return t.Rows() * t.Cols() }

// Row converts row i to f32. dst (Cols) ; safe for concurrent use. i and the length of dst are the caller's promise.
func (t *Tensor) Row(i int, dst []float32) {
	n := t.Cols()
	if i < 0 || i >= t.Rows() || len(dst) != n {
		panic(fmt.Sprintf("weights: row %d of %s %v into %d values", i, t.Name, t.Shape, len(dst)))
	}
	if n == 0 {
		return
	}
	info := dtypes[t.DType]
	size := n / info.block * info.bytes // whole blocks: readers refuse rows that end inside one
	info.decode(dst, t.Data[i*size:(i+1)*size])
}

// Float32 is a fresh f32 copy of the whole tensor, row-major (Len).
func (t *Tensor) Float32() []float32 {
	out := make([]float32, t.Len())
	if len(out) > 0 {
		dtypes[t.DType].decode(out, t.Data)
	}
	return out
}

// byteSize is the number of bytes of a tensor, or an error when the shape overflows or cuts a block.
func byteSize(d DType, shape []int) (int, error) {
	info := dtypes[d]
	n := uint64(1)
	for _, dim := range shape {
		if dim < 0 {
			return 0, fmt.Errorf("negative dimension in shape %v", shape)
		}
		hi, lo := bits.Mul64(n, uint64(dim))
		if hi != 0 || lo > maxElements {
			return 0, fmt.Errorf("shape %v is too large", shape)
		}
		n = lo
	}
	if info.block > 1 && (len(shape) == 0 || shape[len(shape)-1]%info.block != 0) {
		return 0, fmt.Errorf("rows of shape %v are not whole blocks of %d, as %s needs", shape, info.block, d)
	}
	return int(n) / info.block * info.bytes, nil
}

// maxElements keeps every later product (elements times bytes) inside 63 bits.
const maxElements = 1 << 48

func shapeString(shape []int) string {
	s := make([]string, len(shape))
	for i, d := range shape {
		if s[i] = fmt.Sprint(d); d < 0 {
			s[i] = "any"
		}
	}
	return "(" + strings.Join(s, ", ") + ")"
}
