package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// file is an open file of a spool, to be written.
type file struct {
	*os.File
	info fs.FileInfo
}

func openFile(path string) (*file, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &file{f, info}, nil
}

// create makes a file, which fill writes. It gets its name when it is complete, and is
// durable then; unknown says of an error that it may be, too.
func create(path string, fill func(f *os.File) error) (_ *file, unknown bool, err error) {
	f, err := os.OpenFile(path+newSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, false, err
	}
	if err = fill(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(path + newSuffix)
		return nil, false, err
	}
	if err := os.Rename(path+newSuffix, path); err != nil {
		return nil, false, err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, true, err
	}
	opened, err := openFile(path)
	return opened, err != nil, err
}

// filled writes image, and behind it zeros up to a size.
func filled(image []byte, size int64) func(f *os.File) error {
	return func(f *os.File) error {
		_, err := f.WriteAt(image, 0)
		zeros := make([]byte, min(1<<20, max(0, size-int64(len(image)))))
		for at := int64(len(image)); at < size && err == nil; at += int64(len(zeros)) {
			_, err = f.WriteAt(zeros[:min(size-at, int64(len(zeros)))], at)
		}
		return err
	}
}

// write writes and syncs. complete says of an error that all was written.
func (f *file) write(image []byte, at int64) (complete bool, err error) {
	if _, err := f.WriteAt(image, at); err != nil {
		return false, err
	}
	return true, syncData(f.File)
}

// inPlace finds out whether the file still has its name, for what is written to one
// that was deleted, or moved with its directory, is lost without an error.
func (f *file) inPlace() error {
	now, err := os.Stat(f.Name())
	if err == nil && os.SameFile(now, f.info) {
		return nil
	}
	if err == nil {
		err = errors.New("it is another file")
	}
	return fmt.Errorf("the spool's directory was deleted or moved under the program: bring it back, or start again: %s: %w", f.Name(), err)
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

// noSpace reports that a write failed for want of space.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}
