package kernels

import "math"

// ToBF16 rounds x to bfloat16, to nearest, ties to even. NaN stays NaN.
func ToBF16(x float32) uint16 {
	u := math.Float32bits(x)
	if u&0x7fffffff > 0x7f800000 {
		return uint16(u>>16) | 0x40
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

// F32FromBF16 widens a bfloat16 exactly.
func F32FromBF16(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }

// ToF16 rounds x to IEEE half precision, to nearest, ties to even. NaN stays NaN; too large a value becomes Inf.
func ToF16(x float32) uint16 {
	u := math.Float32bits(x)
	sign := uint16(u >> 16 & 0x8000)
	u &= 0x7fffffff
	switch {
	case u > 0x7f800000:
		return sign | 0x7e00
	case u >= 0x477ff000: // 65520 and above round to Inf
		return sign | 0x7c00
	case u < 0x38800000: // below 2^-14: the adder of a float32 of the right exponent does the rounding
		return sign | uint16(math.Float32bits(math.Float32frombits(u)+0.5)-0x3f000000)
	}
	u += 0xfff + u>>13&1
	return sign | uint16((u-0x38000000)>>13)
}

// F32FromF16 widens a half-precision number exactly.
func F32FromF16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	e, f := uint32(h>>10&31), uint32(h&0x3ff)
	switch e {
	case 0:
		return math.Float32frombits(sign | math.Float32bits(float32(f)*(1.0/(1<<24))))
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | f<<13)
	}
	return math.Float32frombits(sign | (e+112)<<23 | f<<13)
}

// F32ToBF16 rounds src into dst; both have the same length. Where an instruction does it, numbers below the normal ones become 0, as
// they do in products of bf16.
func F32ToBF16(dst []uint16, src []float32) { scaledToBF(dst, src, 1) }

// scaledToBF rounds by*src, itself a float32.
func scaledToBF(dst []uint16, src []float32, by float32) {
	dst = dst[:len(src)]
	n := len(src) &^ 15
	im := active.Load()
	if n > 0 {
		im.toBF(dst[:n], src[:n], by)
	}
	if n < len(src) {
		var x [16]float32
		var y [16]uint16
		copy(x[:], src[n:])
		im.toBF(y[:], x[:], by)
		copy(dst[n:], y[:])
	}
}

// BF16ToF32 widens src into dst; both have the same length.
func BF16ToF32(dst []float32, src []uint16) {
	dst = dst[:len(src)]
	n := len(src) &^ 15
	if n > 0 {
		active.Load().fromBF(dst[:n], src[:n])
	}
	fromBFGeneric(dst[n:], src[n:])
}

func toBFGeneric(dst []uint16, src []float32, by float32) {
	dst = dst[:len(src)]
	for i, v := range src {
		dst[i] = ToBF16(float32(v * by))
	}
}

func fromBFGeneric(dst []float32, src []uint16) {
	dst = dst[:len(src)]
	for i, v := range src {
		dst[i] = F32FromBF16(v)
	}
}
