package kernels

import "golang.org/x/sys/unix"

// hugePages is a wish; a kernel that cannot grant it changes nothing but speed.
func hugePages(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
