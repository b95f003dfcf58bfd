package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/auditing-go/auditing/stores/internal/fileid"
)

// Salvaged is what [Salvage] found.
type Salvaged struct {
	// Waiting and SetAside are how many events the new spool holds.
	Waiting, SetAside int
	// Unreadable is how many are missing between those that were found.
	Unreadable int
}

// Salvage copies every event that can be read from the damaged spool in dir into
// a new spool in the directory into, which must not hold one; [Open] that next. It
// changes nothing in dir, which no process may have open.
//
// It looks at each sector of each segment and goes on behind what is damaged. So it may
// also find events which were passed on already; the next store knows them by their
// IDs and keeps each once.
func Salvage(dir, into string) (Salvaged, error) {
	f := finder{dir: dir, into: into, seen: ids{}}
	if err := f.salvage(); err != nil {
		return Salvaged{}, fmt.Errorf("auditing: salvaging the spool %s: %w", dir, err)
	}
	return f.found, nil
}

// finder copies records to a new spool, each event once.
type finder struct {
	dir, into string
	seen      ids
	found     Salvaged

	has   span // what was found of a log, from what is needed on
	to    *log
	some  []record // to be written
	bytes int64
}

func (f *finder) salvage() (err error) {
	o, err := own(f.dir)
	if err != nil {
		return err
	}
	defer o.Close()
	if !holdsSpool(f.dir) {
		return fmt.Errorf("%s holds no spool: %w", f.dir, fs.ErrNotExist)
	}
	if err := os.MkdirAll(f.into, 0o700); err != nil {
		return err
	}
	to, err := own(f.into)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if holdsSpool(f.into) {
		return fmt.Errorf("%s holds a spool already: name a new directory", f.into)
	}
	said, _ := readCursor(f.dir)
	// What is set aside does not wait, so it comes first.
	var made position
	if made.aside, err = f.copy(asideName, said.aside.first); err != nil {
		return err
	}
	f.found.SetAside = len(f.seen)
	if made.waiting, err = f.copy(waitingName, said.waiting.first); err != nil {
		return err
	}
	f.found.Waiting = len(f.seen) - f.found.SetAside
	// The cursor comes last, without which it is no spool.
	path := filepath.Join(f.into, cursorName)
	file, _, err := create(path, path+newSuffix, made.image(), int64(cursorSize))
	if err != nil {
		return err
	}
	return file.Close()
}

// copy writes what is found of a log to a new one.
func (f *finder) copy(name string, first uint64) (span, error) {
	id, err := fileid.At(f.into)
	if err != nil {
		return span{}, err
	}
	f.has = span{first, first}
	f.to = &log{dir: f.into, name: name, id: id, segmentBytes: defaultTuning.segmentBytes}
	defer f.to.close()
	segments, err := segmentsIn(f.dir, name)
	for _, seg := range segments {
		if err == nil {
			err = f.segment(seg)
		}
	}
	err = errors.Join(err, f.flush())
	return f.to.has(), err
}

// segment looks for records in every sound sector. Behind a damaged one it goes on
// where the next record begins.
func (f *finder) segment(seg *segment) error {
	file, scan, err := openScanner(seg)
	if err != nil {
		return err
	}
	defer file.Close()
	scan.most = 1   // what the disk cannot read is skipped
	var data []byte // from the beginning of a record on
	var last sector
	for scan.at < scan.end {
		s, written, _ := scan.sector()
		switch {
		case !written || s.segment != seg.first:
			continue
		case s.index == last.index+1 && s.group == last.group && data != nil:
			data = append(data, s.data...)
		case s.start != noRecord:
			data = slices.Clone(s.data[s.start:])
		default:
			continue
		}
		last = s
		for {
			r, n, err := parseRecord(data)
			if err != nil {
				data = nil
			}
			if n == 0 {
				break
			}
			if err := f.add(r); err != nil {
				return err
			}
			data = data[n:]
		}
	}
	return nil
}

func (f *finder) add(r record) error {
	if r.seq < f.has.first {
		return nil
	}
	if r.seq > f.has.next {
		f.found.Unreadable += int(r.seq - f.has.next)
	}
	f.has.next = max(f.has.next, r.seq+1)
	if f.seen.has(r.id) {
		return nil
	}
	f.seen[r.id] = r.seq
	r.payload = slices.Clone(r.payload)
	f.some = append(f.some, r)
	if f.bytes += r.cost(); f.bytes < 1<<20 {
		return nil
	}
	return f.flush()
}

func (f *finder) flush() (err error) {
	if len(f.some) > 0 {
		_, err = f.to.append(f.some)
	}
	f.some, f.bytes = nil, 0
	return err
}
