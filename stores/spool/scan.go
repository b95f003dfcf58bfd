package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrDamaged means that a spool's file is not as it was written. See [Salvage].
var ErrDamaged = errors.New("the spool is damaged")

// damaged says what is wrong with a file and what to do.
func damaged(path string, err error) error {
	if errors.Is(err, ErrDamaged) {
		return err
	}
	return fmt.Errorf("auditing: %w: %s: %w; nothing was changed: keep the directory, call spool.Salvage to copy what is readable into another one, and open that",
		ErrDamaged, path, err)
}

func errSector(index uint32, err error) error { return fmt.Errorf("sector %d: %w", index, err) }

// scanner reads the sectors of a segment in their order. Opening, passing on, reading
// and salvaging all read through it.
type scanner struct {
	file    io.ReaderAt
	segment uint64 // its first sequence number
	size    uint32 // of the file, in sectors
	at      uint32 // the sector that comes next
	end     uint32 // the sector before which to stop
	most    uint32 // how many are read at once

	image []byte // used again
	ahead []byte // the part of it that comes next
}

// openScanner opens the segment that begins with a sequence number.
func openScanner(path string, segment uint64) (*os.File, *scanner, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	size := uint32(min(info.Size()/sectorSize, 1<<32-1))
	return file, &scanner{file: file, segment: segment, size: size, end: size, most: 256}, nil
}

// seek has the sector come next that is at an index.
func (s *scanner) seek(at uint32) { s.at, s.ahead = at, nil }

// errUnsound is in the errors about a sector's contents.
var errUnsound = errors.New("it is not as it was written")

// sector reads the next sector, whose data are valid until the one after. Those of
// segments that the file held before count as never written.
func (s *scanner) sector() (_ sector, written bool, err error) {
	if len(s.ahead) == 0 {
		bytes := int(min(s.end-s.at, s.most)) * sectorSize
		if cap(s.image) < bytes {
			s.image = make([]byte, bytes)
		}
		if _, err := s.file.ReadAt(s.image[:bytes], int64(s.at)*sectorSize); err != nil {
			return sector{}, false, errSector(s.at, err)
		}
		s.ahead = s.image[:bytes]
	}
	sec, written, err := parseSector(s.ahead[:sectorSize], s.at)
	switch {
	case err != nil || !written:
	case sec.segment > s.segment:
		err = fmt.Errorf("it is of the segment that begins with record %d", sec.segment)
	case sec.segment < s.segment:
		written = false
	case sec.size != s.size:
		err = fmt.Errorf("the file has %d sectors instead of %d: it was cut", s.size, sec.size)
	}
	if err != nil {
		err = errSector(s.at, fmt.Errorf("%w: %w", errUnsound, err))
	}
	s.ahead = s.ahead[sectorSize:]
	s.at++
	return sec, written, err
}

// group returns the records of the next group. At the end, and before a group that is
// not there in full, it returns none and stays where it is.
func (s *scanner) group() (records []record, err error) {
	first := s.at
	var data []byte
	for s.at < s.end {
		sec, written, err := s.sector()
		if err != nil {
			return nil, err
		}
		if !written {
			break
		}
		if sec.group != first {
			return nil, errSector(sec.index, fmt.Errorf("it belongs to what begins at sector %d, not %d", sec.group, first))
		}
		if data = append(data, sec.data...); !sec.last {
			continue
		}
		for len(data) > 0 {
			r, n, err := parseRecord(data)
			if err == nil && n == 0 {
				err = errors.New("its records do not end where it does")
			}
			if err != nil {
				return nil, errSector(first, err)
			}
			records, data = append(records, r), data[n:]
		}
		if len(records) == 0 {
			return nil, errSector(first, errors.New("it has no records"))
		}
		return records, nil
	}
	s.seek(first)
	return nil, nil
}

// tail looks at what follows the last group: it must never have been written, but for
// sectors of one group of which others are missing, as its Save did not return.
func (s *scanner) tail() (torn bool, err error) {
	for end := s.at; s.at < s.end; {
		sec, written, err := s.sector()
		if err != nil {
			return false, err
		}
		if !written {
			continue
		}
		if torn = true; sec.group != end {
			return false, errSector(end, errors.New("it is gone, although others were written after it"))
		}
	}
	return torn, nil
}

// reader reads the records of a log forward. What it has yet to read stays in place
// until close.
type reader struct {
	log  *log
	seq  uint64   // of the record that comes next
	seg  *segment // pinned
	file *os.File
	scan *scanner
	rest []record // of the group that was read last
}

// reader returns one that begins with a sequence number, which is there or comes next.
func (l *log) reader(seq uint64) *reader { return &reader{log: l, seq: seq, seg: l.pin(seq)} }

// next returns the next record; there must be one.
func (r *reader) next() (record, error) {
	for len(r.rest) == 0 {
		if err := r.group(); err != nil {
			return record{}, err
		}
	}
	rec := r.rest[0]
	r.rest = r.rest[1:]
	r.seq++
	return rec, nil
}

// group reads the next group, in the next segment if this one has no more.
func (r *reader) group() error {
	if r.scan != nil && r.scan.at == r.log.extent(r.seg) {
		before := r.seg
		r.close()
		if r.seg = r.log.pin(r.seq); r.seg == before {
			return damaged(r.seg.path, fmt.Errorf("record %d is missing", r.seq))
		}
	}
	if r.seg == nil {
		return damaged(r.log.dir, fmt.Errorf("record %d is missing", r.seq))
	}
	if r.scan == nil {
		err := inPlace(r.log.dir, r.log.info)
		if err == nil {
			r.file, r.scan, err = openScanner(r.seg.path, r.seg.first)
		}
		if err != nil {
			return err
		}
	}
	r.scan.end = r.log.extent(r.seg)
	records, err := r.scan.group()
	if err == nil && len(records) == 0 {
		err = errSector(r.scan.at, errors.New("what was written there is gone"))
	}
	for err == nil && len(records) > 0 && records[0].seq < r.seq {
		records = records[1:]
	}
	if err == nil && len(records) > 0 && records[0].seq != r.seq {
		err = fmt.Errorf("record %d comes where %d was expected", records[0].seq, r.seq)
	}
	if err != nil {
		return damaged(r.seg.path, err)
	}
	r.rest = records
	return nil
}

// close lets go of what was to be read.
func (r *reader) close() {
	if r.file != nil {
		r.file.Close()
	}
	if r.seg != nil {
		r.log.unpin(r.seg)
	}
	r.seg, r.file, r.scan, r.rest = nil, nil, nil, nil
}
