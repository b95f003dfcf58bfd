package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/auditing-go/auditing/stores/internal/fileid"
)

// newSuffix is on files that are being written.
const newSuffix = ".new"

// create makes the file at path: image, and behind it zeros up to a size. It writes to
// spare, which needs no zeros if it has that size already. The file gets its name when
// it is complete, and is durable then; unknown says of an error that it may be, too.
func create(path, spare string, image []byte, size int64) (_ *os.File, unknown bool, err error) {
	if err := fill(spare, image, size); err != nil {
		os.Remove(spare)
		return nil, false, err
	}
	if err := os.Rename(spare, path); err != nil {
		os.Remove(spare)
		return nil, false, err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, true, err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	return f, err != nil, err
}

func fill(path string, image []byte, size int64) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != size {
		err = f.Truncate(0)
		zeros := make([]byte, 1<<20)
		for at := int64(0); at < size && err == nil; at += int64(len(zeros)) {
			_, err = f.WriteAt(zeros[:min(size-at, int64(len(zeros)))], at)
		}
	}
	if err == nil {
		_, err = f.WriteAt(image, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes a new name in dir durable.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // a directory cannot be synced there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// inPlace finds out whether a file is still at path, for what is written to one that was
// deleted, or moved with its directory, is lost without an error.
func inPlace(path string, file fileid.File) error {
	now, err := fileid.At(path)
	if err == nil && !now.Is(file) {
		err = errors.New("it is another one")
	}
	if err != nil {
		err = fmt.Errorf("the spool's directory was deleted or moved under the program: bring it back, or start again: %s: %w", path, err)
	}
	return err
}

// noSpace reports that a write failed for want of space.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}
