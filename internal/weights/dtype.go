package weights

import (
	"encoding/binary"
	"fmt"
	"math"

	"plumb/internal/kernels"
)

// DType is a stored element type.
type DType uint8

// Element types of safetensors and GGUF. The quantised ones are ggml's blocks.
const (
	Invalid DType = iota
	F64
	F32
	F16
	BF16
	F8E4M3
	F8E5M2
	I64
	I32
	I16
	I8
	U64
	U32
	U16
	U8
	Bool
	Q4_0
	Q4_1
	Q5_0
	Q5_1
	Q8_0
	Q4_K
	Q5_K
	Q6_K
)

// dtypeInfo says how a type is laid out: block elements in bytes bytes. decode fills dst from whole blocks of src.
type dtypeInfo struct {
	name         string
	block, bytes int
	decode       func(dst []float32, src []byte)
}

var dtypes = [...]dtypeInfo{
	F64:    {"F64", 1, 8, func(dst []float32, src []byte) { each8(dst, src, math.Float64frombits) }},
	F32:    {"F32", 1, 4, decodeF32},
	F16:    {"F16", 1, 2, decodeF16},
	BF16:   {"BF16", 1, 2, decodeBF16},
	F8E4M3: {"F8_E4M3", 1, 1, decodeF8E4M3},
	F8E5M2: {"F8_E5M2", 1, 1, decodeF8E5M2},
	I64:    {"I64", 1, 8, func(dst []float32, src []byte) { each8(dst, src, func(u uint64) int64 { return int64(u) }) }},
	I32:    {"I32", 1, 4, func(dst []float32, src []byte) { each4(dst, src, func(u uint32) int32 { return int32(u) }) }},
	I16:    {"I16", 1, 2, func(dst []float32, src []byte) { each2(dst, src, func(u uint16) int16 { return int16(u) }) }},
	I8:     {"I8", 1, 1, func(dst []float32, src []byte) { each1(dst, src, func(u uint8) int8 { return int8(u) }) }},
	U64:    {"U64", 1, 8, func(dst []float32, src []byte) { each8(dst, src, func(u uint64) uint64 { return u }) }},
	U32:    {"U32", 1, 4, func(dst []float32, src []byte) { each4(dst, src, func(u uint32) uint32 { return u }) }},
	U16:    {"U16", 1, 2, func(dst []float32, src []byte) { each2(dst, src, func(u uint16) uint16 { return u }) }},
	U8:     {"U8", 1, 1, func(dst []float32, src []byte) { each1(dst, src, func(u uint8) uint8 { return u }) }},
	Bool:   {"BOOL", 1, 1, func(dst []float32, src []byte) { each1(dst, src, func(u uint8) uint8 { return u }) }},
	Q4_0:   {"Q4_0", 32, 18, decodeQ4_0},
	Q4_1:   {"Q4_1", 32, 20, decodeQ4_1},
	Q5_0:   {"Q5_0", 32, 22, decodeQ5_0},
	Q5_1:   {"Q5_1", 32, 24, decodeQ5_1},
	Q8_0:   {"Q8_0", 32, 34, decodeQ8_0},
	Q4_K:   {"Q4_K", 256, 144, decodeQ4_K},
	Q5_K:   {"Q5_K", 256, 176, decodeQ5_K},
	Q6_K:   {"Q6_K", 256, 210, decodeQ6_K},
}

func (d DType) String() string {
	if int(d) < len(dtypes) && dtypes[d].name != "" {
		return dtypes[d].name
	}
	return fmt.Sprintf("DType(%d)", uint8(d))
}

// Quantized tells whether elements are stored in blocks with a shared scale.
func (d DType) Quantized() bool { return dtypes[d].block > 1 }

// safetensorsDTypes are the names of the format's own type list that can be converted to f32.
var safetensorsDTypes = func() map[string]DType {
	m := map[string]DType{}
	for d := F64; d <= Bool; d++ {
		m[d.String()] = d
	}
	return m
}()

// ggufDTypes are ggml's type numbers.
var ggufDTypes = map[uint32]DType{
	0: F32, 1: F16, 2: Q4_0, 3: Q4_1, 6: Q5_0, 7: Q5_1, 8: Q8_0, 12: Q4_K, 13: Q5_K, 14: Q6_K,
	24: I8, 25: I16, 26: I32, 27: I64, 28: F64, 30: BF16,
}

// ggufTypeNames are ggml's other types, so that an error can name what a file holds.
var ggufTypeNames = map[uint32]string{
	9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL",
	21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}

type number interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float64
}

func each1[T number](dst []float32, src []byte, f func(uint8) T) {
	for i := range dst {
		dst[i] = float32(f(src[i]))
	}
}

func each2[T number](dst []float32, src []byte, f func(uint16) T) {
	for i := range dst {
		dst[i] = float32(f(binary.LittleEndian.Uint16(src[2*i:])))
	}
}

func each4[T number](dst []float32, src []byte, f func(uint32) T) {
	for i := range dst {
		dst[i] = float32(f(binary.LittleEndian.Uint32(src[4*i:])))
	}
}

func each8[T number](dst []float32, src []byte, f func(uint64) T) {
	for i := range dst {
		dst[i] = float32(f(binary.LittleEndian.Uint64(src[8*i:])))
	}
}

func decodeF32(dst []float32, src []byte) {
	src = src[:4*len(dst)]
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

func decodeBF16(dst []float32, src []byte) {
	src = src[:2*len(dst)]
	for i := range dst {
		dst[i] = kernels.F32FromBF16(binary.LittleEndian.Uint16(src[2*i:]))
	}
}

func decodeF16(dst []float32, src []byte) {
	src = src[:2*len(dst)]
	for i := range dst {
		dst[i] = half(src[2*i:])
	}
}

// half widens the IEEE half at src[:2].
func half(src []byte) float32 { return kernels.F32FromF16(binary.LittleEndian.Uint16(src)) }

// decodeF8E5M2 widens the 8-bit float with 5 exponent bits, which is the upper byte of a half.
func decodeF8E5M2(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = half([]byte{0, src[i]})
	}
}

// decodeF8E4M3 widens the finite-only 8-bit float (bias 7, no infinities, all ones is NaN).
func decodeF8E4M3(dst []float32, src []byte) {
	for i := range dst {
		b := uint32(src[i])
		sign, exp, man := b&0x80<<24, b>>3&15, b&7
		switch {
		case exp == 15 && man == 7:
			dst[i] = float32(math.NaN())
		case exp == 0:
			dst[i] = math.Float32frombits(sign | math.Float32bits(float32(man)*0x1p-9))
		default:
			dst[i] = math.Float32frombits(sign | (exp+120)<<23 | man<<20)
		}
	}
}
