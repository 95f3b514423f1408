package kernels

import (
	"testing"
	"unsafe"
)

// TestAllocShared: neighbours share no cache line, and none can grow into the next.
func TestAllocShared(t *testing.T) {
	a, b := allocShared(17), allocShared(1)
	for _, x := range [][]float32{a, b} {
		if at := uintptr(unsafe.Pointer(&x[0])); at%64 != 0 {
			t.Errorf("begins at %#x, within a cache line", at)
		}
	}
	if len(a) != 17 || cap(a) != 17 || len(b) != 1 {
		t.Errorf("lengths are %d, %d, capacity %d", len(a), len(b), cap(a))
	}
	if a = append(a, 2); a[17] != 2 || b[0] != 0 {
		t.Error("appending wrote to a neighbour")
	}
	if big := allocShared(sharedFloats); len(big) != sharedFloats {
		t.Errorf("%d numbers", len(big))
	}
}
