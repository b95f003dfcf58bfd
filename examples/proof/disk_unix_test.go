//go:build unix

package proof_test

import "syscall"

var errDiskFull error = syscall.ENOSPC
