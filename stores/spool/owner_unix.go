//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package spool

import (
	"io"
	"os"
	"syscall"
)

// lock locks the directory until it is closed. The lock goes where the directory goes,
// and no file in it that somebody could delete stands for it.
func lock(dir string) (io.Closer, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EINTR {
			break
		}
	}
	if err == nil {
		return f, nil
	}
	f.Close()
	if err == syscall.EWOULDBLOCK {
		err = errLocked
	}
	return nil, err
}
