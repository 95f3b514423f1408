//go:build amd64 && !noasm

package kernels

import "testing"

// A processor with VPDPBUSD never runs the AVX-512 kernel otherwise.
func TestDotsI8WithoutVNNI(t *testing.T) {
	if !vnni {
		t.Skip("TestDotsI8 ran it: this processor has no VPDPBUSD")
	}
	defer func() { vnni = true }()
	vnni = false
	dotsI8Equal(t)
}

func BenchmarkDotsI8WithoutVNNI(b *testing.B) {
	defer func(v bool) { vnni = v }(vnni)
	vnni = false
	BenchmarkDotsI8(b)
}
