package spool

import "syscall"

// dropResident gives back the memory of mapped pages that were touched; they are
// read again when they are needed.
func dropResident(address uintptr, length int64) {
	syscall.Syscall(syscall.SYS_MADVISE, address, uintptr(length), syscall.MADV_DONTNEED)
}
