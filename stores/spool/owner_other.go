//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package spool

import (
	"fmt"
	"os"
	"runtime"
)

func lock(string) (*os.File, error) {
	return nil, fmt.Errorf("a spool is not supported on %s", runtime.GOOS)
}
