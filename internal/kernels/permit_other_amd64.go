//go:build !linux && !noasm

package kernels

// permitAMX: how to ask for the tile registers is known for Linux only.
func permitAMX() bool { return false }
