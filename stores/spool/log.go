package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// segment is one segment of a log. The log's mu guards what changes of it.
type segment struct {
	path   string
	number uint32
	first  uint64 // the sequence number of its first record
	size   uint32 // in sectors
	end    uint32 // the sector behind its last group that counts
	pinned int    // by readers: it must not be written anew
}

func (s *segment) bytes() int64 { return int64(s.size) * sectorSize }

// log is the segments of a spool.
type log struct {
	dir          string
	segmentBytes int64

	// For one writer at a time:
	file   *file  // the newest segment; nil when the next record begins another one
	number uint32 // the highest that was used
	writer groupWriter

	mu       sync.Mutex
	next     uint64     // the sequence number of the next record
	segments []*segment // oldest first
	free     []*segment // all of whose records were passed on
}

// keptFree is how many files are kept to be written anew.
const keptFree = 2

// append stores the records, which get their sequence numbers, at the end. unknown says
// of an error that they may be found after a restart all the same.
func (l *log) append(records []record) (unknown bool, err error) {
	for i := range records {
		records[i].seq = l.next + uint64(i)
	}
	need := sectorsOf(records)
	if l.file == nil {
		return l.begin(records, need)
	}
	last := l.segments[len(l.segments)-1]
	if err := l.file.inPlace(); err != nil {
		return false, err
	}
	if need > int64(last.size-last.end) {
		return l.begin(records, need)
	}
	complete, err := l.file.write(l.writer.write(last.number, last.end, nil, records), int64(last.end)*sectorSize)
	if err == nil {
		l.added(nil, last.end+uint32(need), len(records))
		return false, nil
	}
	// What a file holds after it could not be synced nobody knows, and syncing it again
	// proves nothing. When the next segment is there the failed group does not count.
	unknown, err2 := l.begin(records, need)
	if err2 == nil {
		return false, nil
	}
	return complete || unknown, errors.Join(err, err2)
}

// begin stores the records in a segment of their own, behind which others follow.
func (l *log) begin(records []record, need int64) (unknown bool, err error) {
	l.end()
	l.number++
	seg, f := l.takeFree(need + 1)
	if f == nil {
		size := max(l.segmentBytes/sectorSize, need+1)
		if size > 1<<31 {
			return false, errors.New("so much at once does not go into a segment: save fewer events together")
		}
		seg = &segment{path: filepath.Join(l.dir, fmt.Sprintf("%s%010d%s", segmentPrefix, l.number, segmentSuffix)), size: uint32(size)}
	}
	seg.number, seg.first, seg.end = l.number, l.next, 1+uint32(need)
	image := l.writer.write(seg.number, 1, &head{number: seg.number, first: seg.first, size: seg.size}, records)
	if f == nil {
		f, unknown, err = create(seg.path, filled(image, seg.bytes()))
	} else if unknown, err = f.write(image, 0); err != nil {
		f.Close()
	}
	if err != nil {
		os.Remove(seg.path)
		return unknown, err
	}
	l.file = f
	l.added(seg, seg.end, len(records))
	return false, nil
}

// added notes what was written: to a new segment, or to the newest.
func (l *log) added(seg *segment, end uint32, records int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seg != nil {
		l.segments = append(l.segments, seg)
	}
	l.segments[len(l.segments)-1].end = end
	l.next += uint64(records)
}

// end has the next record begin another segment.
func (l *log) end() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

// takeFree opens a file of at least so many sectors whose records were passed on.
func (l *log) takeFree(sectors int64) (*segment, *file) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.free) > 0 {
		seg := l.free[0]
		if int64(seg.size) < sectors {
			break // all are of the same size
		}
		l.free = l.free[1:]
		if f, err := openFile(seg.path); err == nil {
			return seg, f
		}
	}
	return nil, nil
}

// passedOn returns the segments that have no record from a sequence number on.
func (l *log) passedOn(first uint64) []*segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for n+1 < len(l.segments) && l.segments[n+1].first <= first && l.segments[n].pinned == 0 {
		n++
	}
	return l.segments[:n:n]
}

// release frees the oldest segments, after the cursor has passed them for good.
func (l *log) release(segments []*segment) error {
	l.mu.Lock()
	l.segments = append([]*segment(nil), l.segments[len(segments):]...)
	var remove []*segment
	for _, seg := range segments {
		if len(l.free) < keptFree && seg.bytes() == l.segmentBytes&^(sectorSize-1) {
			l.free = append(l.free, seg)
		} else {
			remove = append(remove, seg)
		}
	}
	l.mu.Unlock()
	var errs []error
	for _, seg := range remove {
		errs = append(errs, os.Remove(seg.path))
	}
	return errors.Join(errs...)
}

// pin keeps the segment in place, and all that follow it, in which a record is or will
// be; nil when that was passed on.
func (l *log) pin(seq uint64) *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.segments) - 1; i >= 0; i-- {
		if seg := l.segments[i]; seg.first <= seq {
			seg.pinned++
			return seg
		}
	}
	return nil
}

func (l *log) unpin(seg *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seg.pinned--
}

// extent returns where the segment ends now.
func (l *log) extent(seg *segment) uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return seg.end
}

// bytes is how much the files take.
func (l *log) bytes() (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, seg := range l.segments {
		n += seg.bytes()
	}
	for _, seg := range l.free {
		n += seg.bytes()
	}
	return n
}
