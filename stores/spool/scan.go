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

// readAhead is how many sectors are read at once.
const readAhead = 256

// scanner reads the sectors of a segment in their order. Opening, passing on, reading
// and salvaging all read through it.
type scanner struct {
	file   io.ReaderAt
	number uint32 // of the segment
	at     uint32 // the sector that comes next
	end    uint32 // the sector before which the segment ends

	image []byte // used again
	ahead []byte // the part of it that comes next
}

// openScanner opens the segment at path and reads its head.
func openScanner(path string) (*os.File, *scanner, head, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, head{}, err
	}
	s, h, err := newScanner(file)
	if err != nil {
		file.Close()
		return nil, nil, head{}, damaged(path, err)
	}
	return file, s, h, nil
}

func newScanner(file *os.File) (*scanner, head, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, head{}, err
	}
	if info.Size() < sectorSize {
		return nil, head{}, fmt.Errorf("the file has only %d bytes: it was cut", info.Size())
	}
	s := &scanner{file: file, end: uint32(min(info.Size()/sectorSize, 1<<32-1))}
	image, err := s.read(0, 1)
	if err != nil {
		return nil, head{}, err
	}
	h, err := parseHead(image, info.Size())
	s.number, s.at = h.number, 1
	return s, h, err
}

func (s *scanner) read(at, n uint32) ([]byte, error) {
	if bytes := int(n) * sectorSize; cap(s.image) < bytes {
		s.image = make([]byte, bytes)
	}
	image := s.image[:int(n)*sectorSize]
	if _, err := s.file.ReadAt(image, int64(at)*sectorSize); err != nil {
		return nil, errSector(at, err)
	}
	return image, nil
}

// seek has the sector come next that is at an index.
func (s *scanner) seek(at uint32) { s.at, s.ahead = at, nil }

// errUnsound is in the errors about a sector's contents.
var errUnsound = errors.New("it is not as it was written")

// raw reads the next sector, whose data are valid until the one after.
func (s *scanner) raw() (sector, bool, error) {
	if len(s.ahead) == 0 {
		var err error
		if s.ahead, err = s.read(s.at, min(s.end-s.at, readAhead)); err != nil {
			return sector{}, false, err
		}
	}
	image, at := s.ahead[:sectorSize], s.at
	s.ahead, s.at = s.ahead[sectorSize:], at+1
	sec, written, err := parseSector(image, at)
	if err != nil {
		err = errSector(at, fmt.Errorf("%w: %w", errUnsound, err))
	}
	return sec, written, err
}

// sector is raw, but those of segments that the file held before count as never written.
func (s *scanner) sector() (sector, bool, error) {
	sec, written, err := s.raw()
	if err == nil && written && sec.number > s.number {
		err = errSector(sec.index, fmt.Errorf("it is of segment %d, of which the first sector knows nothing", sec.number))
	}
	return sec, err == nil && written && sec.number == s.number, err
}

// group returns the records of the next group. At the end, and before a group that is
// not there in full, it returns none and stays where it is.
func (s *scanner) group() ([]record, error) {
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
		data = append(data, sec.data...)
		if !sec.last {
			continue
		}
		records, err := parseGroup(data)
		if err == nil && len(records) == 0 {
			err = errors.New("it has no records")
		}
		if err != nil {
			return nil, errSector(first, err)
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
	seq  uint64 // of the record that comes next
	seg  *segment
	file *os.File
	scan *scanner
	rest []record // of the group that was read last
	// pinned is where it begins, before that was opened.
	pinned *segment
}

// begin keeps what is to be read in place from now on, not only from the first next.
func (r *reader) begin() { r.pinned = r.log.pin(r.seq) }

// reader returns one that begins with a sequence number, or with the oldest record
// that is left.
func (l *log) reader(seq uint64) *reader { return &reader{log: l, seq: seq} }

// next returns the next record; there must be one.
func (r *reader) next() (record, error) {
	for len(r.rest) == 0 {
		if err := r.group(); err != nil {
			return record{}, err
		}
	}
	rec := r.rest[0]
	if rec.seq != r.seq {
		return rec, damaged(r.seg.path, fmt.Errorf("record %d comes where %d was expected", rec.seq, r.seq))
	}
	r.rest = r.rest[1:]
	r.seq++
	return rec, nil
}

// group reads the next group, in the next segment if this one has no more.
func (r *reader) group() error {
	if r.seg == nil {
		if r.pinned == nil {
			r.begin()
		}
		seg := r.pinned
		r.pinned = nil
		return r.open(seg)
	}
	end := r.log.extent(r.seg)
	if r.scan.at == end {
		return r.open(r.log.pin(r.seq))
	}
	if end != r.scan.end {
		r.scan.end = end
		r.scan.seek(r.scan.at)
	}
	records, err := r.scan.group()
	if err == nil && len(records) == 0 {
		err = errSector(r.scan.at, errors.New("what was written there is gone"))
	}
	if err != nil {
		return damaged(r.seg.path, err)
	}
	for len(records) > 0 && records[0].seq < r.seq {
		records = records[1:]
	}
	r.rest = records
	return nil
}

// open goes on in a segment, which is pinned.
func (r *reader) open(seg *segment) error {
	before := r.seg
	r.close()
	if seg == nil {
		return damaged(r.log.dir, fmt.Errorf("record %d is missing", r.seq))
	}
	file, scan, h, err := openScanner(seg.path)
	switch {
	case err != nil:
	case seg == before:
		err = fmt.Errorf("record %d is missing", r.seq)
	case h.number != seg.number:
		err = fmt.Errorf("it holds segment %d, not %d", h.number, seg.number)
	}
	if err != nil {
		if file != nil {
			file.Close()
		}
		r.log.unpin(seg)
		return damaged(seg.path, err)
	}
	scan.end = 1 // until group asks where it ends
	r.seg, r.file, r.scan = seg, file, scan
	return nil
}

// close lets go of what was to be read. The reader can go on all the same, unless what
// it has yet to read was passed on.
func (r *reader) close() {
	if r.seg != nil {
		r.file.Close()
		r.log.unpin(r.seg)
	}
	if r.pinned != nil {
		r.log.unpin(r.pinned)
		r.pinned = nil
	}
	r.seg, r.file, r.scan, r.rest = nil, nil, nil, nil
}
