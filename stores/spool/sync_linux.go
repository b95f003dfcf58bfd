package spool

import (
	"errors"
	"os"
	"syscall"
)

// syncData waits until what was written to f, and its length, is on the disk. Unlike
// a Sync it does not make the file system write when that was.
func syncData(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
