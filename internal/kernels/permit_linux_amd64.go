//go:build !noasm

package kernels

import "syscall"

// permitAMX asks for the tile registers, which Linux gives a process on request since their state is large.
func permitAMX() bool {
	const archReqXCompPerm, tileData = 0x1023, 18
	_, _, errno := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, archReqXCompPerm, tileData, 0)
	return errno == 0
}
