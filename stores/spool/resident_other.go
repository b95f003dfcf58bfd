//go:build !linux

package spool

// dropResident does nothing: the system takes what it needs by itself.
func dropResident(uintptr, int64) {}
