package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
)

// ownerName is the file that says who has the directory open; a lock on the directory
// is what keeps others out.
const ownerName = "owner"

// ErrOwned means that another process has the spool open, or this one has twice.
var ErrOwned = errors.New("the spool's directory is in use")

// errLocked is what lock returns when somebody else has the lock.
var errLocked = errors.New("locked")

// thisProcess tells this process from another with the same number in another container.
var thisProcess = uuid.New()

// own locks the directory, or says who has it. The lock ends with its process, however
// that ends.
func own(dir string) (io.Closer, error) {
	held, err := lock(dir)
	// A lock that was given up lasts until a process that is just being started has its own
	// files; and who has taken one has yet to write who it is.
	for tries := 1; tries < 3 && errors.Is(err, errLocked); tries++ {
		time.Sleep(10 * time.Millisecond)
		held, err = lock(dir)
	}
	switch {
	case errors.Is(err, errLocked):
		err = fmt.Errorf("auditing: %w: %s belongs to %s: end it or use another directory", ErrOwned, dir, ownerOf(dir))
	case err != nil:
		err = fmt.Errorf("auditing: locking the spool: %w", err)
	}
	return held, err
}

// sign writes who owns the directory.
func sign(dir string) error {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "unknown"
	}
	text := fmt.Sprintf("%s %d %s %s\n", host, os.Getpid(), time.Now().UTC().Format(time.RFC3339), thisProcess)
	if err := os.WriteFile(filepath.Join(dir, ownerName), []byte(text), 0o600); err != nil {
		return fmt.Errorf("auditing: signing the spool: %w", err)
	}
	return nil
}

// ownerOf names the process that holds the lock.
func ownerOf(dir string) string {
	text, _ := os.ReadFile(filepath.Join(dir, ownerName))
	var host, since, process string
	var pid int
	switch n, _ := fmt.Sscan(string(text), &host, &pid, &since, &process); {
	case n < 4:
		return "another process"
	case process == thisProcess.String():
		return fmt.Sprintf("this process (%d), which has had it open since %s", pid, since)
	default:
		return fmt.Sprintf("process %d on host %s, since %s", pid, host, since)
	}
}
