package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/auditing-go/auditing/stores/internal/fileid"
)

// The logs.
const (
	waitingName = "waiting-"
	asideName   = "aside-"
	logSuffix   = ".log"
)

// segment is one segment of a log. The log's mu guards what changes of it.
type segment struct {
	path  string
	first uint64 // the sequence number of its first record
	size  uint32 // in sectors
	end   uint32 // the sector behind its last group that counts
	pins  int    // by readers
}

// log is records in segments.
type log struct {
	dir, name    string
	info         fs.FileInfo // of the directory
	segmentBytes int64

	writing sync.Mutex     // held by append
	filling sync.WaitGroup // of the spare file
	writer  groupWriter
	file    *os.File // the newest segment; nil when the next record begins another one

	mu       sync.Mutex
	span     // from the oldest record that is needed to the one that comes next
	segments []*segment
}

// segmentsIn returns the segments of a log that are in dir, oldest first.
func segmentsIn(dir, name string) (segments []*segment, err error) {
	entries, err := os.ReadDir(dir) // in the order of their names
	for _, e := range entries {
		number, found := strings.CutPrefix(e.Name(), name)
		number, found2 := strings.CutSuffix(number, logSuffix)
		if first, err := strconv.ParseUint(number, 10, 64); found && found2 && err == nil && len(number) == 20 {
			segments = append(segments, &segment{path: filepath.Join(dir, e.Name()), first: first})
		}
	}
	return segments, err
}

// openLog opens a log, of which the records of a span have to be there: it reads all
// that are needed, finds every sector and record sound or says what is wrong, and calls
// visit with each record. It changes nothing that counts.
func openLog(dir, name string, info fs.FileInfo, segmentBytes int64, has span, visit func(record)) (l *log, err error) {
	l = &log{dir: dir, name: name, info: info, segmentBytes: segmentBytes, span: span{has.first, has.first}}
	if l.segments, err = segmentsIn(dir, name); err != nil {
		return nil, err
	}
	for i, seg := range l.segments {
		next := uint64(math.MaxUint64)
		if i+1 < len(l.segments) {
			next = l.segments[i+1].first
		}
		if next > has.first {
			err = l.read(seg, next, visit)
		} else if info, err2 := os.Stat(seg.path); err2 == nil { // it could not be freed
			seg.size = uint32(info.Size() / sectorSize)
		}
		if err != nil {
			l.end()
			return nil, err
		}
	}
	if l.next < has.next {
		l.end()
		return nil, damaged(dir, fmt.Errorf("records %d to %d are missing", l.next, has.next-1))
	}
	return l, nil
}

// read reads the records of a segment before number end. More can be written to the newest.
func (l *log) read(seg *segment, end uint64, visit func(record)) error {
	file, scan, err := openScanner(seg.path, seg.first)
	if err != nil {
		return err
	}
	defer file.Close()
	seg.size = scan.size
	next, torn, err := l.scan(seg, scan, end, visit)
	if err != nil {
		return damaged(seg.path, err)
	}
	if l.next = max(next, l.first); end < math.MaxUint64 || torn || next < l.first {
		return nil // what follows is of a Save that failed, or missing
	}
	// What was read may not be on the disk yet, if its Save did not return.
	if l.file, err = os.OpenFile(seg.path, os.O_RDWR, 0); err != nil {
		return err
	}
	return l.file.Sync()
}

// scan reads the records of a segment, and visits those that are needed.
func (l *log) scan(seg *segment, scan *scanner, end uint64, visit func(record)) (next uint64, torn bool, err error) {
	next = seg.first
	if next > l.next {
		return next, false, fmt.Errorf("records %d to %d, which come before it, are missing", l.next, next-1)
	}
	for next < end {
		records, err := scan.group()
		if err != nil {
			return next, false, err
		}
		if len(records) == 0 {
			break
		}
		for _, r := range records {
			if r.seq != next {
				return next, false, fmt.Errorf("record %d comes where %d was expected", r.seq, next)
			}
			if next++; r.seq >= l.first {
				visit(r)
			}
		}
		seg.end = scan.at
	}
	switch {
	case next == seg.first:
		return next, false, errors.New("its first records are gone")
	case next > end:
		return next, false, errors.New("a group of its records goes on where the next segment begins")
	case end == math.MaxUint64:
		torn, err = scan.tail()
	}
	return next, torn, err
}

// append stores the records, which get their sequence numbers, at the end. unknown says
// of an error that they may be found after a restart all the same.
func (l *log) append(records []record) (unknown bool, err error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	for i := range records {
		records[i].seq = l.next + uint64(i)
	}
	need := sectorsOf(records)
	if err := l.inPlace(); err != nil {
		return false, err
	}
	last := l.newest()
	if l.file == nil || need > int64(last.size-last.end) {
		return l.begin(records, need)
	}
	if _, err = l.file.WriteAt(l.writer.write(last, last.end, records), int64(last.end)*sectorSize); err == nil {
		unknown, err = true, syncData(l.file)
	}
	if err == nil {
		l.added(nil, last.end+uint32(need), len(records))
		return false, nil
	}
	// What a file holds after it could not be synced nobody knows, and syncing it again
	// proves nothing. When the next segment is there the failed group does not count.
	unknown2, err2 := l.begin(records, need)
	if err2 == nil {
		return false, nil
	}
	return unknown || unknown2, errors.Join(err, err2)
}

// begin stores the records in a segment of their own, behind which others follow.
func (l *log) begin(records []record, need int64) (unknown bool, err error) {
	l.end()
	l.filling.Wait()
	size := max(l.segmentBytes/sectorSize, need)
	if size > math.MaxInt32 {
		return false, errors.New("so much at once does not go into a segment: save fewer events together")
	}
	seg := &segment{path: filepath.Join(l.dir, fmt.Sprintf("%s%020d%s", l.name, l.next, logSuffix)), first: l.next, size: uint32(size), end: uint32(need)}
	l.file, unknown, err = create(seg.path, l.spare(), l.writer.write(seg, 0, records), size*sectorSize)
	if err != nil {
		l.file = nil
		os.Remove(seg.path)
		return unknown, err
	}
	l.added(seg, seg.end, len(records))
	// While the next store is away no old file comes free for the next segment.
	l.filling.Go(func() {
		if fill(l.spare(), nil, l.segmentBytes/sectorSize*sectorSize) != nil {
			os.Remove(l.spare())
		}
	})
	return false, nil
}

// close ends the log for good.
func (l *log) close() {
	l.filling.Wait()
	if inPlace(l.dir, l.info) == nil {
		os.Remove(l.spare())
	}
	l.end()
}

// spare is the path of a file in which the next segment can begin.
func (l *log) spare() string { return filepath.Join(l.dir, l.name+"spare"+newSuffix) }

// inPlace finds out whether what is appended now can be found later.
func (l *log) inPlace() error {
	if l.file == nil {
		return inPlace(l.dir, l.info)
	}
	if file, err := fileid.Of(l.file); err == nil && file.IsAt(l.file.Name()) {
		return nil
	}
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	return inPlace(l.file.Name(), info)
}

// newest is nil before there is one.
func (l *log) newest() *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) == 0 {
		return nil
	}
	return l.segments[len(l.segments)-1]
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

// has returns which records are needed.
func (l *log) has() span {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.span
}

// pass notes that records before a sequence number are not needed any more. It wants
// Store.mu to be held.
func (l *log) pass(first uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.first = max(l.first, first)
}

// passed returns how many segments hold nothing that is needed.
func (l *log) passed() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n+1 < len(l.segments) && l.segments[n+1].first <= l.first && l.segments[n].pins == 0 {
		n++
	}
	return n
}

// free removes the n oldest segments, after the cursor has passed them for good; one of
// them stays as the spare file.
func (l *log) free(n int) error {
	l.writing.Lock() // the next segment may begin in the spare file
	defer l.writing.Unlock()
	l.mu.Lock()
	old := slices.Clone(l.segments[:n])
	l.segments = slices.Delete(l.segments, 0, n)
	l.mu.Unlock()
	var errs []error
	for _, seg := range old {
		if int64(seg.size) == l.segmentBytes/sectorSize {
			errs = append(errs, os.Rename(seg.path, l.spare()))
		} else {
			errs = append(errs, os.Remove(seg.path))
		}
	}
	return errors.Join(errs...)
}

// all returns a reader of all that is needed, and the number behind it.
func (l *log) all() (r *reader, end uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &reader{log: l, seq: l.first, seg: l.pinned(l.first)}, l.next
}

// pin keeps the segment in place, and all that follow it, in which a record is or will
// be; nil when that was freed.
func (l *log) pin(seq uint64) *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pinned(seq)
}

// pinned is pin; l.mu must be held.
func (l *log) pinned(seq uint64) *segment {
	for _, seg := range slices.Backward(l.segments) {
		if seg.first <= seq {
			seg.pins++
			return seg
		}
	}
	return nil
}

func (l *log) unpin(seg *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seg.pins--
}

// extent returns where the segment ends now.
func (l *log) extent(seg *segment) uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return seg.end
}

// bytes is how much the files take, about.
func (l *log) bytes() (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, seg := range l.segments {
		n += int64(seg.size) * sectorSize
	}
	return n
}
