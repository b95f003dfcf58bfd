package spool

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
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

// leadsTo reports whether path is known to lead to f still. A stat would tell as well,
// but it asks for times, and when somebody has asked for those the next write sets new
// ones, which its sync writes too: that made a Save take half as long again.
func leadsTo(path string, f *os.File) bool {
	var now, then unix.Statx_t
	return unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_INO, &now) == nil &&
		unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_INO, &then) == nil &&
		now.Ino == then.Ino && now.Dev_major == then.Dev_major && now.Dev_minor == then.Dev_minor
}
