package spool

import (
	"encoding/binary"
	"errors"
	"io"
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
func readCursor(dir string) (p position, err error) {
	path := filepath.Join(dir, cursorName)
	file, err := os.Open(path)
	if err != nil {
		return p, err
	}
	defer file.Close()
	b := make([]byte, cursorSize+1) // one more than there should be
	n, err := io.ReadFull(file, b)
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		if p, err = parsePosition(b[:n]); err != nil {
			err = damaged(path, err)
		}
	}
	return p, err
}

// cursor is the file that keeps the position.
type cursor struct {
	path string

	mu   sync.Mutex
	file *os.File // nil when it has to be made anew, as nobody knows what is in it
	said position
}

// note has the cursor say what the logs hold. It is durable when the cursor is new, or
// with sync.
func (s *Store) note(sync bool) (err error) {
	c := &s.cursor
	c.mu.Lock()
	defer c.mu.Unlock()
	p := position{s.log.has(), s.aside.has()}
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

// holdsSpool reports whether dir holds anything of a spool.
func holdsSpool(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, cursorName))
	waiting, err2 := segmentsIn(dir, waitingName)
	aside, err3 := segmentsIn(dir, asideName)
	return !errors.Is(err, fs.ErrNotExist) || err2 != nil || err3 != nil || len(waiting)+len(aside) > 0
}
