//go:build unix

package run

import (
	"errors"
	"os"
	"syscall"
)

// lockFile takes the lock of an open file without waiting; the system drops it when the process ends, however it ends.
func lockFile(f *os.File) (held bool, err error) {
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	if errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOLCK) || errors.Is(err, syscall.ENOSYS) {
		return true, nil // some network file systems have no locks: go on without
	}
	return err == nil, err
}

func isInvalid(err error) bool { return errors.Is(err, syscall.EINVAL) }
