//go:build amd64 && !noasm

package kernels

import "golang.org/x/sys/cpu"

// vnni tells that the processor multiplies bytes in VPDPBUSD: not all that have AVX-512 do.
var vnni = cpu.X86.HasAVX512VNNI

func (im *impl) dotsI8(dst []int32, q []int8, codes []int8, at []int32) {
	switch {
	case im.vec == 2 && vnni:
		dotsI8VNNI(dst, q, codes, at)
	case im.vec == 2:
		dotsI8AVX512(dst, q, codes, at)
	case im.vec == 1:
		dotsI8AVX2(dst, q, codes, at)
	default:
		dotsI8Generic(dst, q, codes, at)
	}
}
