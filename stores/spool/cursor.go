package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

const (
	cursorName  = segmentPrefix + "cursor"
	cursorMagic = "auditing's spool's cursor 1\n"
)

// position is what the cursor says. What it says may lie behind what is so, as it is
// synced only before a segment is freed: then something is passed on again, which the
// next store knows by its ID. It never lies ahead, so that what it names must be there.
type position struct {
	first  uint64 // all records with a lower sequence number were passed on or set aside
	newest uint32 // the number of the newest segment; 0 before there is one
	// aside is the number of the log of what was set aside, 0 before there is one, and
	// asideEnd the sector behind its last group.
	aside, asideEnd uint32
}

// cursor is the file that keeps the position: one sector, which is written in place.
type cursor struct {
	mu    sync.Mutex
	file  *file
	now   position
	doubt bool // what the file says: it is made anew
}

// image is the sector that says p.
func (p position) image() []byte {
	data := binary.BigEndian.AppendUint64([]byte(cursorMagic), p.first)
	for _, n := range []uint32{p.newest, p.aside, p.asideEnd} {
		data = binary.BigEndian.AppendUint32(data, n)
	}
	return appendSector(nil, sector{start: noRecord, last: true, data: data})
}

func parsePosition(image []byte) (p position, err error) {
	if len(image) != sectorSize {
		return p, fmt.Errorf("the file has %d bytes instead of %d", len(image), sectorSize)
	}
	s, written, err := parseSector(image, 0)
	if err != nil || !written {
		return p, errors.Join(err, errors.New("the file does not begin as a cursor"))
	}
	magic := len(cursorMagic)
	if len(s.data) != magic+20 || string(s.data[:magic]) != cursorMagic {
		return p, errors.New("it is of no known version: a newer one may have written it")
	}
	n := s.data[magic:]
	return position{
		first: binary.BigEndian.Uint64(n), newest: binary.BigEndian.Uint32(n[8:]),
		aside: binary.BigEndian.Uint32(n[12:]), asideEnd: binary.BigEndian.Uint32(n[16:]),
	}, nil
}

func createCursor(dir string, p position) (*cursor, error) {
	f, _, err := create(filepath.Join(dir, cursorName), filled(p.image(), sectorSize))
	if err != nil {
		return nil, fmt.Errorf("auditing: making the spool: %w", err)
	}
	return &cursor{file: f, now: p}, nil
}

// openCursor returns nil for a directory that has none.
func openCursor(dir string) (*cursor, error) {
	path := filepath.Join(dir, cursorName)
	f, err := openFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("auditing: opening the spool: %w", err)
	}
	p, err := readPosition(f.File)
	if err != nil {
		f.Close()
		return nil, damaged(path, err)
	}
	return &cursor{file: f, now: p}, nil
}

func readPosition(f *os.File) (position, error) {
	info, err := f.Stat()
	if err != nil {
		return position{}, err
	}
	image := make([]byte, min(info.Size(), sectorSize+1))
	if _, err := f.ReadAt(image, 0); err != nil && len(image) > 0 {
		return position{}, err
	}
	return parsePosition(image)
}

// set changes the position and writes it. It is durable once sync has returned.
func (c *cursor) set(change func(*position)) error {
	if c == nil { // Salvage has none yet
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now
	if change(&now); now == c.now && !c.doubt {
		return nil
	}
	if c.doubt {
		f, _, err := create(c.file.Name(), filled(now.image(), sectorSize))
		if err != nil {
			return err
		}
		c.file.Close()
		c.file, c.doubt = f, false
	} else if _, err := c.file.WriteAt(now.image(), 0); err != nil {
		c.doubt = true
		return err
	}
	c.now = now
	return nil
}

func (c *cursor) sync() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.doubt {
		return errors.New("the cursor could not be written")
	}
	err := syncData(c.file.File)
	c.doubt = err != nil
	return err
}

func (c *cursor) inPlace() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.file.inPlace()
}

func (c *cursor) position() position {
	if c == nil {
		return position{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *cursor) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.file.Close()
}
