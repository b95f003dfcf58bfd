package fileid

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// File is what tells a file from all others. The zero File is none.
type File struct {
	Size int64

	inode, device uint64
}

// At returns the file at path.
func At(path string) (File, error) { return statx(unix.AT_FDCWD, path, path, 0) }

// Of returns an open file.
func Of(f *os.File) (File, error) { return statx(int(f.Fd()), "", f.Name(), unix.AT_EMPTY_PATH) }

func statx(dir int, path, name string, flags int) (File, error) {
	var s unix.Statx_t
	if err := unix.Statx(dir, path, flags, unix.STATX_INO|unix.STATX_SIZE, &s); err != nil {
		return File{}, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return File{int64(s.Size), s.Ino, unix.Mkdev(s.Dev_major, s.Dev_minor)}, nil
}

// Is reports whether both are the same file, whatever its size.
func (f File) Is(other File) bool {
	return f != File{} && f.inode == other.inode && f.device == other.device
}
