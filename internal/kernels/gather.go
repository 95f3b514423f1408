package kernels

import (
	"fmt"
	"unsafe"
)

// DotsI8 computes dst[i] = sum of q[j]*codes[at[i]*K+j] over j below K = len(q), a multiple of 64, for rows of codes that
// lie anywhere. Sums are exact, so that all levels agree; it runs on the caller's goroutine.
func DotsI8(dst []int32, q []int8, codes []int8, at []int32) {
	k := len(q)
	if k%64 != 0 || k == 0 {
		panic("kernels: DotsI8 wants rows of a multiple of 64")
	}
	if len(at) == 0 {
		return
	}
	dst = dst[:len(at)]
	rows := uint32(len(codes) / k)
	for _, i := range at {
		if uint32(i) >= rows {
			panic(fmt.Sprintf("kernels: DotsI8 wants row %d of %d", i, rows))
		}
	}
	active.Load().dotsI8(dst, q, codes, at)
}

// Fetch asks for x's cache lines, so that they are near when they are read soon after.
func Fetch[T int32 | float32](x []T) {
	if len(x) > 0 {
		fetchLines(unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(x))), len(x)))
	}
}

func dotsI8Generic(dst []int32, q []int8, codes []int8, at []int32) {
	for i, r := range at {
		row := codes[int(r)*len(q):][:len(q)]
		var s int32
		for j, x := range q {
			s += int32(x) * int32(row[j])
		}
		dst[i] = s
	}
}

// AllocI8 is Alloc for numbers of 8 bits.
func AllocI8(n int) []int8 {
	f := Alloc((n + 3) / 4)
	return unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(f))), n)
}

// AllocI32 is Alloc for numbers of 32 bits.
func AllocI32(n int) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(Alloc(n)))), n)
}
