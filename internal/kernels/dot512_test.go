//go:build amd64 && !noasm

package kernels

import (
	"testing"
	"unsafe"
)

// TestDotWork: fields are where the generator counts on them (dotWork and intWork in _asm/dot512.go).
func TestDotWork(t *testing.T) {
	var d dotWork
	var i intWork
	for _, f := range []struct {
		name     string
		at, want uintptr
	}{
		{"lowKP", unsafe.Offsetof(d.lowKP), 9}, {"add", unsafe.Offsetof(d.add), 15}, {"the end", unsafe.Sizeof(d), 16},
		{"c of integers", unsafe.Offsetof(i.c), 6}, {"r", unsafe.Offsetof(i.r), 11}, {"ldv", unsafe.Offsetof(i.ldv), 15}, {"their end", unsafe.Sizeof(i), 16},
	} {
		if f.at != 8*f.want {
			t.Errorf("%s is at %d, want %d", f.name, f.at, 8*f.want)
		}
	}
}
