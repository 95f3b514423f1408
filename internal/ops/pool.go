package ops

import (
	"math/bits"
	"sync"
	"unsafe"

	"plumb/internal/kernels"
)

// The pool hands out memory of slabs, which it cuts into blocks; free neighbours are one block again. Steps of changing shapes so find
// what others left, whatever its size was. Free blocks are listed by size, four classes an octave, as in a two-level segregated fit
// (Masmano et al., 2004).
var pool struct {
	sync.Mutex
	used   map[*float32]*block
	free   [classes]*block
	some   [(classes + 63) / 64]uint64 // classes that have a block
	inUse  int                         // floats
	most   int                         // largest inUse so far
	inSlab int                         // floats of all slabs
	spare  *block                      // headers for reuse
}

// block is a run of a slab. n and at are multiples of blockUnit.
type block struct {
	slab          []float32
	at, n         int // floats
	unused        bool
	before, after *block // its neighbours in the slab
	prev, next    *block // in its class; unused ones only
}

const (
	blockUnit = 16      // floats: a cache line
	slabSize  = 2 << 20 // floats; what is larger has a slab of its own
	classes   = 4 * 48
	tries     = 16 // blocks of a class that are looked at for one that fits
)

// class is where blocks of n floats are listed: by the three highest bits of n.
func class(n int) int {
	n /= blockUnit
	octave := bits.Len(uint(n)) - 1
	if octave < 2 {
		return n
	}
	return 4*(octave-1) + n>>(octave-2)&3
}

// alloc returns n floats of arbitrary content, from a multiple of 64 bytes on.
func alloc(n int) []float32 {
	pool.Lock()
	defer pool.Unlock()
	size := max(1, (n+blockUnit-1)/blockUnit) * blockUnit
	b := fitting(size)
	if b == nil {
		b = newSlab(size)
	}
	b.take()
	if b.n > size {
		rest := header()
		*rest = block{slab: b.slab, at: b.at + size, n: b.n - size, before: b, after: b.after}
		if b.after != nil {
			b.after.before = rest
		}
		b.after, b.n = rest, size
		rest.give()
	}
	pool.inUse += size
	pool.most = max(pool.most, pool.inUse)
	if pool.used == nil {
		pool.used = map[*float32]*block{}
	}
	pool.used[&b.slab[b.at]] = b
	return b.slab[b.at:][:n:size]
}

// free takes back what alloc returned, or a slice of its beginning.
func free(x []float32) {
	pool.Lock()
	defer pool.Unlock()
	at := unsafe.SliceData(x)
	b := pool.used[at]
	if b == nil {
		panic("ops: free of memory that is not in use")
	}
	delete(pool.used, at)
	pool.inUse -= b.n
	if o := b.after; o != nil && o.unused {
		o.take()
		b.swallow(o)
	}
	if o := b.before; o != nil && o.unused {
		o.take()
		o.swallow(b)
		b = o
	}
	if whole := len(b.slab); b.n == whole && pool.inSlab-whole > pool.most+pool.most/8+slabSize { // kept is room for the most so far, and an eighth
		pool.inSlab -= whole
		return // to the garbage collector
	}
	b.give()
}

// fitting returns an unused block of at least n floats, nil where there is none.
func fitting(n int) *block {
	c := class(n)
	for b, i := pool.free[c], 0; b != nil && i < tries; b, i = b.next, i+1 {
		if b.n >= n {
			return b
		}
	}
	for c++; c < classes; {
		if rest := pool.some[c/64] >> (c % 64); rest != 0 {
			return pool.free[c+bits.TrailingZeros64(rest)]
		}
		c = (c/64 + 1) * 64
	}
	return nil
}

// newSlab adds a slab of at least n floats: an unused block.
func newSlab(n int) *block {
	const huge = 512 << 10 // floats of a huge page
	n = (max(n, slabSize) + huge - 1) / huge * huge
	pool.inSlab += n
	b := header()
	*b = block{slab: kernels.Alloc(n), n: n}
	b.give()
	return b
}

// give lists b as unused.
func (b *block) give() {
	c := class(b.n)
	b.unused, b.prev, b.next = true, nil, pool.free[c]
	if b.next != nil {
		b.next.prev = b
	}
	pool.free[c] = b
	pool.some[c/64] |= 1 << (c % 64)
}

// take takes b from its list.
func (b *block) take() {
	c := class(b.n)
	if b.prev != nil {
		b.prev.next = b.next
	} else if pool.free[c] = b.next; b.next == nil {
		pool.some[c/64] &^= 1 << (c % 64)
	}
	if b.next != nil {
		b.next.prev = b.prev
	}
	b.unused, b.prev, b.next = false, nil, nil
}

// swallow makes o, which follows b, part of it.
func (b *block) swallow(o *block) {
	b.n += o.n
	if b.after = o.after; b.after != nil {
		b.after.before = b
	}
	*o = block{next: pool.spare}
	pool.spare = o
}

// header returns a block to be filled.
func header() *block {
	b := pool.spare
	if b == nil {
		return new(block)
	}
	pool.spare = b.next
	return b
}

// Scratch returns n pooled floats of arbitrary content, for FreeScratch to take back.
func Scratch(n int) []float32 { return alloc(n) }

// FreeScratch returns the memory of Scratch to the pool.
func FreeScratch(b []float32) { free(b) }

// halfAlloc is alloc for n numbers of bf16.
func halfAlloc(n int) []uint16 { return kernels.Halves(alloc((n + 1) / 2))[:n] }

// halfFree returns the memory of halfAlloc.
func halfFree(b []uint16) { free(kernels.Floats(b)) }
