//go:build !unix

package estest

import "syscall"

// The servers are started by a script for bash; a running one can be named.
func ownGroup() *syscall.SysProcAttr { return nil }
