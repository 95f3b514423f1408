package ops

import (
	"slices"
	"sync"

	"plumb/internal/kernels"
)

// The pool hands buffers out again: of those that are free the smallest that fits, unless a fifth of it would be wasted. What is
// in use and what waits together stay within an eighth of the most that was ever in use, so that steps of changing
// shapes do not pile up buffers that fit none of them; the one that waited longest goes first.
var pool struct {
	sync.Mutex
	free          []spare // by capacity, ascending
	inUse, unused int     // floats
	most          int     // largest inUse so far
	clock         int
}

type spare struct {
	buf   []float32
	since int
}

const poolSlack = 4 << 20 // floats that the pool may hold whatever was in use

// find returns the index of the first spare buffer with room for n floats.
func find(n int) int {
	i, _ := slices.BinarySearchFunc(pool.free, n, func(s spare, n int) int { return cap(s.buf) - n })
	return i
}

// alloc returns n floats of arbitrary content.
func alloc(n int) []float32 {
	pool.Lock()
	defer pool.Unlock()
	var b []float32
	if i := find(n); i < len(pool.free) && cap(pool.free[i].buf) <= n+n/4+1024 {
		b = pool.free[i].buf
		pool.free = slices.Delete(pool.free, i, i+1)
		pool.unused -= cap(b)
	} else {
		step := 64
		if n > 4096 {
			step = 1024
		}
		b = kernels.Alloc((n + step - 1) / step * step)
	}
	pool.inUse += cap(b)
	pool.most = max(pool.most, pool.inUse)
	return b[:n]
}

// free takes back a buffer of alloc.
func free(b []float32) {
	pool.Lock()
	defer pool.Unlock()
	pool.clock++
	pool.inUse -= cap(b)
	pool.unused += cap(b)
	pool.free = slices.Insert(pool.free, find(cap(b)), spare{b[:0], pool.clock})
	for pool.inUse+pool.unused > pool.most+pool.most/8+poolSlack && len(pool.free) > 0 {
		oldest := 0
		for i, s := range pool.free {
			if s.since < pool.free[oldest].since {
				oldest = i
			}
		}
		pool.unused -= cap(pool.free[oldest].buf)
		pool.free = slices.Delete(pool.free, oldest, oldest+1)
	}
}

// Scratch returns n pooled floats of arbitrary content, for FreeScratch to take back.
func Scratch(n int) []float32 { return alloc(n) }

// FreeScratch returns the memory of Scratch to the pool.
func FreeScratch(b []float32) { free(b) }

// halfAlloc is alloc for n numbers of bf16.
func halfAlloc(n int) []uint16 { return kernels.Halves(alloc((n + 1) / 2))[:n] }

// halfFree returns the memory of halfAlloc.
func halfFree(b []uint16) { free(kernels.Floats(b)) }
