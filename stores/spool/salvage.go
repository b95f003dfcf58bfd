package spool

import (
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
	f := finder{seen: map[uuid.UUID]bool{}}
	if err := f.salvage(dir, into); err != nil {
		return Salvaged{}, fmt.Errorf("auditing: salvaging the spool %s: %w", dir, err)
	}
	return f.found, nil
}

// finder copies records to a new spool, each event once.
type finder struct {
	first  uint64 // of what is needed of the log, as far as that is known
	next   uint64 // behind what was found of it
	to     *log
	some   []record // to be written
	copied *int
	bytes  int64
	seen   map[uuid.UUID]bool
	found  Salvaged
}

func (f *finder) salvage(dir, into string) (err error) {
	o, err := own(dir)
	if err != nil {
		return err
	}
	defer o.release()
	if !holdsSpool(dir) {
		return fmt.Errorf("%s holds no spool: %w", dir, fs.ErrNotExist)
	}
	if err := os.MkdirAll(into, 0o700); err != nil {
		return err
	}
	to, err := own(into)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.release()) }()
	if holdsSpool(into) {
		return fmt.Errorf("%s holds a spool already: name a new directory", into)
	}
	info, err := os.Stat(into)
	if err != nil {
		return err
	}
	said, _ := readCursor(dir)
	// What is set aside does not wait, so it comes first.
	var made position
	if made.aside, err = f.copy(dir, asideName, said.aside.first, &f.found.SetAside, into, info); err != nil {
		return err
	}
	if made.waiting, err = f.copy(dir, waitingName, said.waiting.first, &f.found.Waiting, into, info); err != nil {
		return err
	}
	// The cursor comes last, without which it is no spool.
	path := filepath.Join(into, cursorName)
	file, _, err := create(path, path+newSuffix, made.image(), int64(cursorSize))
	if err != nil {
		return err
	}
	return file.Close()
}

// copy writes what is found of a log to a new one.
func (f *finder) copy(dir, name string, first uint64, copied *int, into string, info fs.FileInfo) (span, error) {
	f.first, f.next, f.copied = first, first, copied
	f.to = &log{dir: into, name: name, info: info, segmentBytes: defaultTuning.segmentBytes}
	defer f.to.close()
	segments, err := segmentsIn(dir, name)
	for _, seg := range segments {
		if err == nil {
			err = f.segment(seg)
		}
	}
	return f.to.has(), errors.Join(err, f.flush())
}

// segment looks for records in every sound sector. Behind a damaged one it goes on
// where the next record begins.
func (f *finder) segment(seg *segment) error {
	file, scan, err := openScanner(seg.path, seg.first)
	if err != nil {
		return err
	}
	defer file.Close()
	scan.most = 8   // what the disk cannot read is skipped with so many
	var data []byte // from the beginning of a record on
	next := sector{}
	for scan.at < scan.end {
		at := scan.at
		s, written, err := scan.sector()
		if err != nil && !errors.Is(err, errUnsound) {
			scan.seek(min(at-at%8+8, scan.end))
		}
		switch {
		case !written || s.segment != seg.first:
			continue
		case s.index == next.index && s.group == next.group && data != nil:
			data = append(data, s.data...)
		case s.start != noRecord:
			data = slices.Clone(s.data[s.start:])
		default:
			continue
		}
		for {
			r, n, err := parseRecord(data)
			if err != nil {
				data = nil
			}
			if err != nil || n == 0 {
				break
			}
			if err := f.add(r); err != nil {
				return err
			}
			data = data[n:]
		}
		next = sector{index: s.index + 1, group: s.group}
	}
	return nil
}

func (f *finder) add(r record) error {
	if r.seq < f.first {
		return nil
	}
	if r.seq > f.next {
		f.found.Unreadable += int(r.seq - f.next)
	}
	f.next = max(f.next, r.seq+1)
	if f.seen[r.id] {
		return nil
	}
	f.seen[r.id] = true
	r.payload = slices.Clone(r.payload)
	f.some = append(f.some, r)
	if f.bytes += r.cost(); f.bytes < 1<<20 {
		return nil
	}
	return f.flush()
}

func (f *finder) flush() error {
	if len(f.some) == 0 {
		return nil
	}
	*f.copied += len(f.some)
	_, err := f.to.append(f.some)
	f.some, f.bytes = nil, 0
	return err
}
