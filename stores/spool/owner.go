package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// lockName is the file whose lock says that a process owns the directory. It holds
// the owner's process id, "-" when there is none, and the names of the files once
// they exist.
const lockName = "spool.lock"

// ErrOwned means that another process has the spool open, or this one has twice.
var ErrOwned = errors.New("the spool's directory is in use")

// owner holds a directory. The lock ends with its process, however that ends.
type owner struct {
	dir  string
	file *os.File
}

// errLocked is what lock returns when somebody else has the lock.
var errLocked = errors.New("locked")

// own takes the directory or says who has it.
func own(dir string) (*owner, error) {
	var file *os.File
	var err error
	// A new owner writes its id just after it has taken the lock.
	for range 3 {
		if file, err = lock(filepath.Join(dir, lockName)); !errors.Is(err, errLocked) {
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
	return &owner{dir: dir, file: file}, nil
}

// ownerOf names the process that holds the lock.
func ownerOf(dir string) string {
	text, _ := os.ReadFile(filepath.Join(dir, lockName))
	pid, _, _ := strings.Cut(string(text), " ")
	switch n, err := strconv.Atoi(pid); {
	case err != nil:
		return "another process"
	case n == os.Getpid():
		return fmt.Sprintf("this process (%d), which has it open already", n)
	default:
		return fmt.Sprintf("process %d", n)
	}
}

// had reports whether the directory once had a file of a complete spool.
func (o *owner) had(name string) bool {
	text, err := io.ReadAll(io.NewSectionReader(o.file, 0, 100))
	return err == nil && slices.Contains(strings.Fields(string(text)), name)
}

// sign writes who owns the directory, which now has a spool.
func (o *owner) sign(pid string) error {
	text := pid + " " + fileName + " " + journalName + "\n"
	_, err := o.file.WriteAt([]byte(text), 0)
	if err == nil {
		err = o.file.Truncate(int64(len(text)))
	}
	if err == nil {
		err = o.file.Sync()
	}
	return err
}

func (o *owner) release(signed bool) error {
	var err error
	if signed {
		err = o.sign("-")
	}
	return errors.Join(err, o.file.Close())
}
