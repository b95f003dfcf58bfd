package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/uuid"
)

// Salvaged is what [Salvage] found.
type Salvaged struct {
	// Waiting and SetAside are how many events the new spool holds.
	Waiting, SetAside int
	// Unreadable is how many records were recognised as such and are not whole.
	Unreadable int
}

// Salvage copies every event that can be read from the damaged spool in dir into
// a new spool in the directory into, which must not hold one; [Open] that next. It
// changes nothing in dir, which no process may have open.
//
// It looks at each sector of each file and goes on behind what is damaged. So it may
// also find events which were passed on already; the next store knows them by their
// IDs and keeps each once.
func Salvage(dir, into string) (Salvaged, error) {
	found, err := salvage(dir, into)
	if err != nil {
		return Salvaged{}, fmt.Errorf("auditing: salvaging the spool %s: %w", dir, err)
	}
	return found, nil
}

func salvage(dir, into string) (_ Salvaged, err error) {
	o, err := own(dir)
	if err != nil {
		return Salvaged{}, err
	}
	defer o.release()
	paths, err := segmentPaths(dir)
	if err != nil {
		return Salvaged{}, err
	}
	if _, err := os.Stat(filepath.Join(dir, asideName)); err == nil {
		paths = append(paths, filepath.Join(dir, asideName))
	}
	if len(paths) == 0 {
		return Salvaged{}, fmt.Errorf("%s has no segment: %w", dir, fs.ErrNotExist)
	}
	if err := os.MkdirAll(into, 0o700); err != nil {
		return Salvaged{}, err
	}
	to, err := own(into)
	if err != nil {
		return Salvaged{}, err
	}
	defer func() { err = errors.Join(err, to.release()) }()
	if holdsSpool(into) {
		return Salvaged{}, fmt.Errorf("%s holds a spool already: name a new directory", into)
	}
	f := finder{seen: map[uuid.UUID]bool{}, broken: map[string]bool{}, whole: map[string]bool{}}
	return f.copy(dir, into, paths)
}

// finder copies records to a new spool, each event once.
type finder struct {
	log           *log
	aside         *asideLog
	first         uint64 // what was passed on, if the cursor can be read
	together      []record
	bytes         int64
	seen          map[uuid.UUID]bool
	broken, whole map[string]bool // records, by file and key
	found         Salvaged
}

// copy writes the new spool; its cursor comes last, without which it is none.
func (f *finder) copy(dir, into string, paths []string) (Salvaged, error) {
	if c, err := os.Open(filepath.Join(dir, cursorName)); err == nil {
		p, _ := readPosition(c)
		f.first = p.first
		c.Close()
	}
	f.log = &log{dir: into, segmentBytes: defaultTuning.segmentBytes}
	defer f.log.end()
	f.aside = &asideLog{path: filepath.Join(into, asideName), end: 1, stale: map[uint64]bool{}}
	defer f.aside.close()
	numbers := map[string]uint32{}
	for _, path := range paths {
		if err := f.each(path, func(s sector) { numbers[path] = max(numbers[path], s.number) }); err != nil {
			return f.found, err
		}
	}
	// What is set aside does not wait, so it comes first.
	slices.SortFunc(paths, func(a, b string) int {
		if filepath.Base(a) == asideName {
			return -1
		}
		if filepath.Base(b) == asideName {
			return 1
		}
		return cmp.Compare(numbers[a], numbers[b])
	})
	for _, path := range paths {
		if err := f.salvage(path, numbers[path]); err != nil {
			return f.found, err
		}
	}
	for key := range f.whole {
		delete(f.broken, key)
	}
	f.found.Unreadable = len(f.broken)
	made, err := createCursor(into, position{newest: f.log.number, aside: f.aside.number, asideEnd: f.aside.end})
	if err == nil {
		err = made.close()
	}
	return f.found, err
}

// each visits the sound sectors of a file.
func (f *finder) each(path string, visit func(sector)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	scan := &scanner{file: file, number: 1<<32 - 1, end: uint32(min(info.Size()/sectorSize, 1<<32-1))}
	for scan.at < scan.end {
		at := scan.at
		s, written, err := scan.raw()
		if err != nil && !errors.Is(err, errUnsound) {
			scan.seek(at + readAhead) // what the disk cannot read
		}
		if err == nil && written {
			visit(s)
		}
	}
	return nil
}

// salvage looks for records in every sound sector of what the file held last. Behind a
// damaged one it goes on where the next record begins.
func (f *finder) salvage(path string, number uint32) (err error) {
	var data []byte // from the beginning of a record on
	next := sector{}
	eachErr := f.each(path, func(s sector) {
		if s.number != number || s.index == 0 || err != nil {
			return
		}
		switch {
		case s.index == next.index && s.group == next.group:
			data = append(data, s.data...)
		case s.start != noRecord:
			f.cut(path, data)
			data = slices.Clone(s.data[s.start:])
		default:
			return
		}
		next = sector{index: s.index + 1, group: s.group}
		for {
			r, n, err2 := parseInGroup(data)
			if err2 != nil {
				f.cut(path, data)
			} else if n > 0 {
				err = errors.Join(err, f.add(path, r, data[:keySize]))
			}
			if n == 0 {
				break
			}
			data = data[n:]
		}
	})
	f.cut(path, data)
	return errors.Join(eachErr, err, f.flush())
}

// cut notes the record that data begin with as not whole, if they show which it is.
func (f *finder) cut(path string, data []byte) {
	if len(data) >= keySize {
		f.broken[path+string(data[:keySize])] = true
	}
}

func (f *finder) add(path string, r record, key []byte) error {
	f.whole[path+string(key)] = true
	if f.seen[r.id] || r.kind == kindWaiting && r.seq < f.first {
		return nil
	}
	f.seen[r.id] = true
	r.payload = slices.Clone(r.payload)
	f.together = append(f.together, r)
	if f.bytes += r.cost(); f.bytes < 1<<20 {
		return nil
	}
	return f.flush()
}

// flush writes what was found in one file.
func (f *finder) flush() (err error) {
	if len(f.together) > 0 && f.together[0].kind == kindSetAside {
		f.found.SetAside += len(f.together)
		err = f.aside.append(f.together)
	} else if len(f.together) > 0 {
		f.found.Waiting += len(f.together)
		_, err = f.log.append(f.together)
	}
	f.together, f.bytes = nil, 0
	return err
}
