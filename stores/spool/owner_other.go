//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package spool

import (
	"fmt"
	"io"
	"runtime"
)

func lock(string) (io.Closer, error) {
	return nil, fmt.Errorf("a spool is not supported on %s", runtime.GOOS)
}
