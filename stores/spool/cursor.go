package spool

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

const (
	cursorName  = "cursor"
	cursorMagic = "auditing's spool 1\n"
	cursorSize  = len(cursorMagic) + 4*8 + 4
)

// span says of a log that the records from first on, up to next, have to be there.
type span struct{ first, next uint64 }

// position is what the cursor says. What it says may lie behind what is so, as it is
// synced only before a segment is freed: then something is passed on again, which the
// next store knows by its ID. It never lies ahead.
type position struct{ waiting, aside span }

func (p position) image() []byte {
	b := []byte(cursorMagic)
	for _, n := range []uint64{p.waiting.first, p.waiting.next, p.aside.first, p.aside.next} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return binary.BigEndian.AppendUint32(b, checksum(b))
}

func parsePosition(b []byte) (position, error) {
	if len(b) != cursorSize || string(b[:len(cursorMagic)]) != cursorMagic {
		return position{}, errors.New("it is no cursor, or of a newer version")
	}
	if binary.BigEndian.Uint32(b[cursorSize-4:]) != checksum(b[:cursorSize-4]) {
		return position{}, errChecksum
	}
	n := func(i int) uint64 { return binary.BigEndian.Uint64(b[len(cursorMagic)+8*i:]) }
	return position{span{n(0), n(1)}, span{n(2), n(3)}}, nil
}

// readCursor returns the error fs.ErrNotExist for a directory that has none.
func readCursor(dir string) (position, error) {
	path := filepath.Join(dir, cursorName)
	info, err := os.Stat(path)
	if err != nil {
		return position{}, err
	}
	if info.Size() != int64(cursorSize) {
		return position{}, damaged(path, errors.New("it has not the length of a cursor"))
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return position{}, err
	}
	p, err := parsePosition(b)
	if err != nil {
		return position{}, damaged(path, err)
	}
	return p, nil
}

// cursor is the file that keeps the position.
type cursor struct {
	path string

	mu   sync.Mutex
	file *os.File // nil when it has to be made anew, as nobody knows what is in it
	said position
}

// set writes the position that now returns. It is durable when the cursor is new, or
// with sync.
func (c *cursor) set(now func() position, sync bool) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := now()
	if c.file == nil {
		c.file, _, err = create(c.path, c.path+newSuffix, p.image(), int64(cursorSize))
		c.said = p
		return err
	}
	if p != c.said {
		_, err = c.file.WriteAt(p.image(), 0)
		c.said = p
	}
	if err == nil && sync {
		err = syncData(c.file)
	}
	if err != nil {
		c.file.Close()
		c.file = nil
	}
	return err
}

func (c *cursor) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		return nil
	}
	return c.file.Close()
}

// holdsSpool reports whether dir holds anything of a spool.
func holdsSpool(dir string) bool {
	if _, err := os.Lstat(filepath.Join(dir, cursorName)); !errors.Is(err, fs.ErrNotExist) {
		return true
	}
	for _, name := range []string{waitingName, asideName} {
		if segments, err := segmentsIn(dir, name); err != nil || len(segments) > 0 {
			return true
		}
	}
	return false
}
