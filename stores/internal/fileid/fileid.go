// Package fileid tells whether what is at a path is still the file that was there.
//
// On Linux it does so without asking when a file was written: once somebody has asked, the
// next write sets new times, which its sync then writes to the disk as well. That made a
// lone write with its sync take up to half as long again.
package fileid

// IsAt reports whether what is at path is known to be that file, whatever its size.
func (f File) IsAt(path string) bool {
	now, err := At(path)
	return err == nil && now.Is(f)
}
