package spool

import (
	"errors"
	"fmt"
	"io"
	"iter"
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
	at, end uint32 // the sector that comes next, and the one before which to stop
	next    uint64 // the sequence number that comes next
	most    uint32 // how many sectors are read at once

	image []byte // used again
	ahead []byte // the part of it that comes next
}

// openScanner opens a segment, whose file is to be closed.
func openScanner(seg *segment) (*os.File, *scanner, error) {
	file, err := os.Open(seg.path)
	return file, &scanner{file: file, segment: seg.first, size: seg.size, end: seg.size, next: seg.first, most: 256}, err
}

// seek has the sector come next that is at an index.
func (s *scanner) seek(at uint32) { s.at, s.ahead = at, nil }

// sector reads the next sector, whose data are valid until the one after. Those of
// segments that the file held before count as never written.
func (s *scanner) sector() (_ sector, written bool, err error) {
	at := s.at
	s.at++
	if len(s.ahead) == 0 {
		bytes := int(min(s.end-at, s.most)) * sectorSize
		if cap(s.image) < bytes {
			s.image = make([]byte, bytes)
		}
		if _, err := s.file.ReadAt(s.image[:bytes], int64(at)*sectorSize); err != nil {
			return sector{}, false, errSector(at, err)
		}
		s.ahead = s.image[:bytes]
	}
	sec, written, err := parseSector(s.ahead[:sectorSize], at)
	s.ahead = s.ahead[sectorSize:]
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
		err = errSector(at, err)
	}
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
			switch {
			case err != nil:
			case n == 0:
				err = errors.New("its records do not end where it does")
			case r.seq != s.next:
				err = fmt.Errorf("record %d comes where %d was expected", r.seq, s.next)
			}
			if err != nil {
				return nil, errSector(first, err)
			}
			records, data = append(records, r), data[n:]
			s.next++
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
		if written && sec.group != end {
			return false, errSector(end, errors.New("it is gone, although others were written after it"))
		}
		torn = torn || written
	}
	return torn, nil
}

// reader reads the records of a log forward. No segment with a record that it has yet to
// read may be freed meanwhile.
type reader struct {
	log  *log
	seq  uint64 // of the record that comes next
	seg  *segment
	file *os.File
	scan *scanner
	rest []record // of the group that was read last
}

// seek has the record come next that has a sequence number. It closes what was read from.
func (r *reader) seek(seq uint64) {
	if r.file != nil {
		r.file.Close()
	}
	*r = reader{log: r.log, seq: seq}
}

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

// group reads the next group.
func (r *reader) group() (err error) {
	seg, end := r.log.segmentOf(r.seq)
	if seg == nil {
		return damaged(r.log.dir, fmt.Errorf("record %d is missing", r.seq))
	}
	if seg != r.seg {
		r.seek(r.seq)
		if err := inPlace(r.log.dir, r.log.id); err != nil {
			return err
		}
		if r.file, r.scan, err = openScanner(seg); err != nil {
			return err
		}
		r.seg = seg
	}
	r.scan.end = end
	records, err := r.scan.group()
	if err == nil && len(records) == 0 {
		err = errSector(r.scan.at, errors.New("what was written there is gone"))
	}
	if err != nil {
		return damaged(seg.path, err)
	}
	r.rest = records[min(r.seq-records[0].seq, uint64(len(records))):]
	return nil
}

// records yields the records that are needed now. An error ends it.
func (l *log) records() iter.Seq2[record, error] {
	has := l.has()
	return func(yield func(record, error) bool) {
		r := &reader{log: l, seq: has.first}
		defer r.seek(has.next)
		for r.seq < has.next {
			if rec, err := r.next(); !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

// counting yields the records in a log that count, of those that are there now.
func (s *Store) counting(l *log, in ids) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		s.reading.RLock()
		defer s.reading.RUnlock()
		for r, err := range l.records() {
			s.mu.Lock()
			counts := in.counts(&r)
			s.mu.Unlock()
			if (counts || err != nil) && !yield(r, err) {
				return
			}
		}
	}
}
