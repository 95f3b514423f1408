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
	free          []sizeClass // by size, ascending
	inUse, unused int         // floats
	most          int         // largest inUse so far
	clock         int
}

// sizeClass holds the spare buffers of one capacity, that which waited longest first.
type sizeClass struct {
	size   int
	spares []spare
}

type spare struct {
	buf   []float32
	since int
}

const (
	poolSlack  = 1 << 20 // floats that the pool may hold whatever was in use
	maxClasses = 256     // sizes that are kept although no buffer of them waits
)

// class returns the index of the first class with room for n floats.
func class(n int) int {
	i, _ := slices.BinarySearchFunc(pool.free, n, func(c sizeClass, n int) int { return c.size - n })
	return i
}

// alloc returns n floats of arbitrary content.
func alloc(n int) []float32 {
	pool.Lock()
	defer pool.Unlock()
	b := reuse(n)
	if b == nil {
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

// reuse takes a spare buffer for n floats out of the pool; nil where none fits.
func reuse(n int) []float32 {
	for i := class(n); i < len(pool.free) && pool.free[i].size <= n+n/4+1024; i++ {
		c := &pool.free[i]
		last := len(c.spares) - 1
		if last < 0 {
			continue
		}
		b := c.spares[last].buf
		c.spares[last].buf = nil
		c.spares = c.spares[:last]
		pool.unused -= c.size
		if last == 0 && len(pool.free) > maxClasses {
			pool.free = slices.Delete(pool.free, i, i+1)
		}
		return b
	}
	return nil
}

// free takes back a buffer of alloc.
func free(b []float32) {
	pool.Lock()
	defer pool.Unlock()
	pool.clock++
	n := cap(b)
	pool.inUse -= n
	pool.unused += n
	i := class(n)
	if i == len(pool.free) || pool.free[i].size != n {
		pool.free = slices.Insert(pool.free, i, sizeClass{size: n})
	}
	c := &pool.free[i]
	c.spares = append(c.spares, spare{b[:0], pool.clock})
	for pool.inUse+pool.unused > pool.most+pool.most/8+poolSlack && pool.unused > 0 {
		dropOldest()
	}
}

// dropOldest leaves the spare buffer that waited longest to the garbage collector, and its class if it was the last.
func dropOldest() {
	oldest := -1
	for i, c := range pool.free {
		if len(c.spares) > 0 && (oldest < 0 || c.spares[0].since < pool.free[oldest].spares[0].since) {
			oldest = i
		}
	}
	c := &pool.free[oldest]
	pool.unused -= c.size
	if c.spares = slices.Delete(c.spares, 0, 1); len(c.spares) == 0 {
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
