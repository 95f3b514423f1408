package kernels

import (
	"sync"
	"unsafe"
)

// maxTile is the most rows that a tile of any level has.
const maxTile = 128

// ragged is the most rows of a tile or a strip.
const ragged = max(maxTile, stripBlock, wideBlock)

// scratch is working memory of one running item of work: packed panels and the tile that catches a ragged edge of c.
type scratch struct {
	b, x  []float32
	c     [ragged * 32]float32
	block [16 * 32]uint32
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
		s.b = Alloc(n)
	}
	return s.b[:n]
}

func (s *scratch) extra(n int) []float32 {
	if cap(s.x) < n {
		s.x = Alloc(n)
	}
	return s.x[:n]
}

// intsAndSteps is memory in extra for m rows of n integers, and a step for each row.
func (s *scratch) intsAndSteps(m, n int) ([]uint16, []float32) {
	half := HalfLen(m, n) / 2
	x := s.extra(half + m)
	return asU16(x[:half]), x[half:]
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

func u16AsU32(x []uint16) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(x))), len(x)/2)
}
