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

// owner holds a directory. The lock ends with its process, however that ends.
type owner struct {
	dir  string
	lock io.Closer
}

// thisProcess tells this process from another with the same number in another container.
var thisProcess = uuid.New()

// own takes the directory or says who has it.
func own(dir string) (*owner, error) {
	o := &owner{dir: dir}
	var err error
	// A new owner writes who it is just after it has taken the lock.
	for range 3 {
		if o.lock, err = lock(dir); !errors.Is(err, errLocked) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("auditing: %w: %s belongs to %s: end it or use another directory", ErrOwned, dir, ownerOf(dir))
	}
	if err != nil {
		return nil, fmt.Errorf("auditing: locking the spool: %w", err)
	}
	return o, nil
}

// sign writes who owns the directory.
func (o *owner) sign() error {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "unknown"
	}
	text := fmt.Sprintf("%s %d %s %s\n", host, os.Getpid(), time.Now().UTC().Format(time.RFC3339), thisProcess)
	if err := os.WriteFile(filepath.Join(o.dir, ownerName), []byte(text), 0o600); err != nil {
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

func (o *owner) release() error { return o.lock.Close() }
