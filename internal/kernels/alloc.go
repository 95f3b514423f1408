package kernels

import (
	"sync"
	"unsafe"
)

// Alloc makes a zeroed slice that starts at a multiple of 64 bytes, so that no vector load crosses a cache line, and asks
// for huge pages where that pays: products walk through megabytes with long strides.
func Alloc(n int) []float32 {
	const page = 2 << 20
	align := uintptr(64)
	if 4*n >= page {
		align = page
	}
	b := make([]float32, n+int(align)/4)
	skip := 0
	if r := uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (align - 1); r != 0 {
		skip = int(align-r) / 4
	}
	b = b[skip : skip+n : skip+n]
	if align == page {
		hugePages(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(b))), 4*n/page*page))
	}
	return b
}

// sharedFloats is the memory that allocShared cuts up: whole huge pages.
const sharedFloats = 4 << 20

var shared struct {
	sync.Mutex
	left []float32
}

// allocShared is Alloc for what lives long, as weights do: several share a run of huge pages, for a matrix of a small model fills none by itself. A
// run is collected when nobody has a part of it any more, but for the last one, which is kept for what comes.
func allocShared(n int) []float32 {
	if n > sharedFloats/4 {
		return Alloc(n)
	}
	whole := (n + 15) &^ 15 // cache lines
	shared.Lock()
	defer shared.Unlock()
	if len(shared.left) < whole {
		shared.left = Alloc(sharedFloats)
	}
	x := shared.left[:n:n]
	shared.left = shared.left[whole:]
	return x
}
