//go:build !linux

package fileid

import "os"

// File is what tells a file from all others. The zero File is none.
type File struct {
	Size int64

	info os.FileInfo
}

// At returns the file at path.
func At(path string) (File, error) { return fileOf(os.Stat(path)) }

// Of returns an open file.
func Of(f *os.File) (File, error) { return fileOf(f.Stat()) }

func fileOf(info os.FileInfo, err error) (File, error) {
	if err != nil {
		return File{}, err
	}
	return File{info.Size(), info}, nil
}

// Is reports whether both are the same file, whatever its size.
func (f File) Is(other File) bool {
	return f.info != nil && other.info != nil && os.SameFile(f.info, other.info)
}
