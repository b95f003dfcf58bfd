package spool

import (
	"cmp"
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

// segment is one segment of a log. The log's mu guards end.
type segment struct {
	path  string
	first uint64 // the sequence number of its first record
	size  uint32 // in sectors
	end   uint32 // the sector behind its last group that counts
}

// log is records in segments.
type log struct {
	dir, name    string
	id           fileid.File // of the directory
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
		first, err := strconv.ParseUint(number, 10, 64)
		if !found || !found2 || err != nil || len(number) != 20 {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		size := uint32(min(info.Size()/sectorSize, math.MaxUint32))
		segments = append(segments, &segment{path: filepath.Join(dir, e.Name()), first: first, size: size})
	}
	return segments, err
}

// open finds the records of a span, which have to be there, and calls visit with each.
// It reads all segments that are needed, and finds every sector and record sound or says
// what is wrong. It changes nothing that counts.
func (l *log) open(has span, visit func(record)) (err error) {
	l.span = span{has.first, has.first}
	if l.segments, err = segmentsIn(l.dir, l.name); err != nil {
		return err
	}
	for i, seg := range l.segments {
		end := uint64(math.MaxUint64)
		if i+1 < len(l.segments) {
			end = l.segments[i+1].first
		}
		if end <= has.first {
			continue // it could not be freed
		}
		if err := l.read(seg, end, visit); err != nil {
			return err
		}
	}
	if l.next < has.next {
		return damaged(l.dir, fmt.Errorf("records %d to %d are missing", l.next, has.next-1))
	}
	// What is in a spare file could pass for a part of the next segment.
	if err := os.Remove(l.spare()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// read visits the records of a segment before number end. More can be written to the
// newest.
func (l *log) read(seg *segment, end uint64, visit func(record)) error {
	file, scan, err := openScanner(seg)
	if err != nil {
		return err
	}
	defer file.Close()
	if seg.first > l.next {
		err = fmt.Errorf("records %d to %d, which come before it, are missing", l.next, seg.first-1)
	}
	for err == nil && scan.next < end {
		var records []record
		if records, err = scan.group(); len(records) == 0 {
			break
		}
		for seg.end = scan.at; len(records) > 0; records = records[1:] {
			if records[0].seq >= l.first {
				visit(records[0])
			}
		}
	}
	torn := false
	switch {
	case err != nil:
	case scan.next == seg.first:
		err = errors.New("its first records are gone")
	case scan.next > end:
		err = errors.New("a group of its records goes on where the next segment begins")
	case end == math.MaxUint64:
		torn, err = scan.tail()
	}
	if err != nil {
		return damaged(seg.path, err)
	}
	if l.next = max(scan.next, l.first); end < math.MaxUint64 || torn || scan.next < l.first {
		return nil // what follows is of a Save that failed, or missing
	}
	// What was read may not be on the disk yet, if its Save did not return.
	if l.file, err = os.OpenFile(seg.path, os.O_RDWR, 0); err != nil {
		return err
	}
	return l.file.Sync()
}

// append stores the records, which get their sequence numbers, at the end. unknown says
// of an error that they may be found after a restart all the same.
func (l *log) append(records []record) (unknown bool, err error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	need := int64(0)
	for i := range records {
		records[i].seq = l.next + uint64(i)
		need += records[i].cost()
	}
	need = (need + sectorData - 1) / sectorData
	if err := l.inPlace(); err != nil {
		return false, err
	}
	last := l.newest()
	if l.file == nil || need > int64(last.size-last.end) {
		return l.begin(records, need)
	}
	if _, err = l.file.WriteAt(l.writer.write(records, last, last.end), int64(last.end)*sectorSize); err == nil {
		unknown, err = true, syncData(l.file)
	}
	if err == nil {
		l.added(last, last.end+uint32(need), records)
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
	seg := &segment{path: filepath.Join(l.dir, fmt.Sprintf("%s%020d%s", l.name, l.next, logSuffix)), first: l.next, size: uint32(size)}
	l.file, unknown, err = create(seg.path, l.spare(), l.writer.write(records, seg, 0), size*sectorSize)
	if err != nil {
		os.Remove(seg.path)
		return unknown, err
	}
	l.added(seg, uint32(need), records)
	// While the next store is away no old file comes free for the next segment.
	l.filling.Go(func() {
		if fill(l.spare(), nil, l.segmentBytes/sectorSize*sectorSize) != nil {
			os.Remove(l.spare())
		}
	})
	return false, nil
}

// added notes what was written: to the newest segment, or to one that becomes it.
func (l *log) added(seg *segment, end uint32, records []record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seg.end == 0 {
		l.segments = append(l.segments, seg)
	}
	seg.end = end
	l.next += uint64(len(records))
}

// end has the next record begin another segment.
func (l *log) end() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

// close ends the log for good.
func (l *log) close() {
	l.filling.Wait()
	if inPlace(l.dir, l.id) == nil {
		os.Remove(l.spare())
	}
	l.end()
}

// spare is the path of a file in which the next segment can begin.
func (l *log) spare() string { return filepath.Join(l.dir, l.name+"spare"+newSuffix) }

// inPlace finds out whether what is appended now can be found later.
func (l *log) inPlace() error {
	if l.file == nil {
		return inPlace(l.dir, l.id)
	}
	file, err := fileid.Of(l.file)
	if err != nil {
		return err
	}
	return inPlace(l.file.Name(), file)
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
func (l *log) passed() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.indexOf(l.first), 0)
}

// indexOf returns the index of the segment in which a record is or will be; -1 when that
// was freed. l.mu must be held.
func (l *log) indexOf(seq uint64) int {
	i, begins := slices.BinarySearchFunc(l.segments, seq, func(seg *segment, seq uint64) int { return cmp.Compare(seg.first, seq) })
	if begins {
		return i
	}
	return i - 1
}

// segmentOf returns the segment in which a record is, and where it ends now; nil when
// that was freed.
func (l *log) segmentOf(seq uint64) (seg *segment, end uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := l.indexOf(seq)
	if i < 0 {
		return nil, 0
	}
	return l.segments[i], l.segments[i].end
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

// bytes is how much the files take, about.
func (l *log) bytes() (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, seg := range l.segments {
		n += int64(seg.size) * sectorSize
	}
	return n
}
