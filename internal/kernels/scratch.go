package kernels

import (
	"sync"
	"unsafe"
)

// scratch is working memory of one running item of work: packed panels and the tile that catches a ragged edge of c.
type scratch struct {
	b, x []float32
	c    [16 * 32]float32
}

var spare struct {
	sync.Mutex
	list []*scratch
}

func getScratch() *scratch {
	spare.Lock()
	defer spare.Unlock()
	if n := len(spare.list); n > 0 {
		s := spare.list[n-1]
		spare.list = spare.list[:n-1]
		return s
	}
	return new(scratch)
}

func putScratch(s *scratch) {
	spare.Lock()
	spare.list = append(spare.list, s)
	spare.Unlock()
}

func (s *scratch) panel(n int) []float32 {
	if cap(s.b) < n {
		s.b = aligned(n)
	}
	return s.b[:n]
}

func (s *scratch) extra(n int) []float32 {
	if cap(s.x) < n {
		s.x = aligned(n)
	}
	return s.x[:n]
}

// aligned allocates n floats from an address that is a multiple of 64, so that no vector load crosses a cache line.
func aligned(n int) []float32 {
	b := make([]float32, n+16)
	skip := 0
	if r := uintptr(unsafe.Pointer(unsafe.SliceData(b))) & 63; r != 0 {
		skip = int(64-r) / 4
	}
	return b[skip : skip+n : skip+n]
}

func asU16(x []float32) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(x))), 2*len(x))
}

func asU32(x []float32) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(x))), len(x))
}

func u32AsU16(x []uint32) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(x))), 2*len(x))
}
