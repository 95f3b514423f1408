//go:build amd64 && !noasm

package kernels

import (
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// TestAMXWork: fields are where the generator counts on them (amxWork in _asm/amx.go).
func TestAMXWork(t *testing.T) {
	var w amxWork
	for _, f := range []struct {
		name     string
		at, want uintptr
	}{
		{"k32", unsafe.Offsetof(w.k32), 7}, {"u", unsafe.Offsetof(w.u), 11}, {"dst", unsafe.Offsetof(w.dst), 18}, {"acc", unsafe.Offsetof(w.acc), 22},
		{"bias", unsafe.Offsetof(w.bias), 24}, {"x", unsafe.Offsetof(w.x), 26}, {"coef", unsafe.Offsetof(w.coef), 27}, {"c", unsafe.Offsetof(w.c), 28},
		{"the end", unsafe.Sizeof(w), 34},
	} {
		if f.at != 8*f.want {
			t.Errorf("%s is at %d, want %d", f.name, f.at, 8*f.want)
		}
	}
}

// TestAMXGELU: a GELU between the instructions of the next tile has the bits of one behind its own.
func TestAMXGELU(t *testing.T) {
	if !available(AMX) {
		t.Skip("no tile unit")
	}
	defer Force(AMX)()
	r := rand.New(rand.NewPCG(41, 42))
	m, n, k := 75, 96, 128
	p := panelsOf(random(r, n*k), n, k, PanelBF16)
	x, bias, sums := random(r, m*k), random(r, n), make([]float32, m*n)
	got, want := make([]uint16, HalfLen(m, n)), make([]uint16, HalfLen(m, n))
	p.MatMulHalf(got, Rows{F: x}, m, Tail{Bias: bias, Act: ActGELU})
	p.MatMul(sums, Rows{F: x}, m, false, BF16, Tail{Bias: bias})
	for i := range m {
		GELUHalf(want[HalfLen(i, n):][:n], sums[i*n:][:n], false)
	}
	for i := range m {
		if at := HalfLen(i, n); !slices.Equal(got[at:at+n], want[at:at+n]) {
			t.Fatalf("row %d differs", i)
		}
	}
}
