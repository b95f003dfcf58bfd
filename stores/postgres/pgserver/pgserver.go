// Package pgserver runs a PostgreSQL server of one's own, from a local installation
// found in PATH or under /usr/lib/postgresql: to stop, kill and restart it, in a
// demonstration or, by way of package pgtest, in a test.
//
// No server and no folder outlives the process that started it, however that ends.
//
// It is a test helper, not API: it may change with any version.
package pgserver

import (
	"errors"
	"fmt"
)

// ErrNotInstalled means that there is no PostgreSQL to start.
var ErrNotInstalled = errors.New("no PostgreSQL server is installed: apt-get install postgresql")

// Shutdown is a way to stop a server.
type Shutdown int

const (
	// Fast ends the sessions, rolls back what they had open and stops in order.
	Fast Shutdown = iota
	// Immediate lets everything fall, so that the next start recovers.
	Immediate
	// Kill is SIGKILL for every process of the server.
	Kill
)

// String is the mode's name.
func (s Shutdown) String() string {
	switch s {
	case Fast:
		return "fast"
	case Immediate:
		return "immediate"
	case Kill:
		return "kill"
	}
	return fmt.Sprintf("Shutdown(%d)", int(s))
}
