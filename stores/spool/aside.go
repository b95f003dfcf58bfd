package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

const asideName = segmentPrefix + "aside"

// asideLog is the log of what was set aside: a file in the format of a segment, which
// grows. What leaves it leaves with a new file of a higher number. Its records have
// sequence numbers of their own, which rise.
type asideLog struct {
	path   string
	cursor *cursor

	mu     sync.RWMutex
	file   *file // nil when the next record needs a new one
	number uint32
	end    uint32 // the sector behind its last group
	next   uint64
	stale  map[uint64]bool // records that count no more; a new file is without them
	writer groupWriter
}

// openAside reads the log in dir, as openLog does; visit reports whether the record counts.
func openAside(dir string, c *cursor, visit func(record) bool) (*asideLog, error) {
	a := &asideLog{path: filepath.Join(dir, asideName), cursor: c, end: 1, stale: map[uint64]bool{}}
	file, scan, h, err := openScanner(a.path)
	if errors.Is(err, fs.ErrNotExist) {
		if c.now.aside > 0 {
			return nil, damaged(a.path, errors.New("the file is missing"))
		}
		return a, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	a.number = h.number
	torn, err := a.read(scan, visit)
	if err == nil && (a.number < c.now.aside || a.number == c.now.aside && a.end < c.now.asideEnd) {
		err = errors.New("what was written last is missing")
	}
	if err != nil {
		return nil, damaged(a.path, err)
	}
	if !torn {
		if a.file, err = openFile(a.path); err != nil {
			return nil, fmt.Errorf("auditing: opening the spool: %w", err)
		}
	}
	return a, nil
}

func (a *asideLog) read(scan *scanner, visit func(record) bool) (torn bool, err error) {
	for {
		records, err := scan.group()
		if err != nil {
			return false, err
		}
		if len(records) == 0 {
			return scan.tail()
		}
		for _, r := range records {
			if r.seq < a.next || r.kind != kindSetAside {
				return false, fmt.Errorf("record %d is in a place where none should be", r.seq)
			}
			a.next = r.seq + 1
			if !visit(r) {
				a.stale[r.seq] = true
			}
		}
		a.end = scan.at
	}
}

// append stores the records at the end, and gives them their sequence numbers.
func (a *asideLog) append(records []record) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range records {
		records[i].seq = a.next + uint64(i)
	}
	if a.file == nil {
		return a.rewrite(records)
	}
	if err := a.file.inPlace(); err != nil {
		return err
	}
	if _, err := a.file.write(a.writer.write(a.number, a.end, nil, records), int64(a.end)*sectorSize); err != nil {
		a.file.Close()
		a.file = nil // see log.append
		return err
	}
	a.end += uint32(sectorsOf(records))
	a.next += uint64(len(records))
	a.note()
	return nil
}

// drop has the records with these sequence numbers count no more.
func (a *asideLog) drop(seqs []uint64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, seq := range seqs {
		a.stale[seq] = true
	}
	return a.rewrite(nil)
}

// rewrite makes a new file of what counts and of more records. It wants a.mu to be held.
func (a *asideLog) rewrite(more []record) error {
	if err := a.cursor.inPlace(); err != nil {
		return err
	}
	if a.file != nil {
		a.file.Close() // as Windows wants it
		a.file = nil
	}
	h := head{number: max(a.number, a.cursor.position().aside) + 1, first: a.next}
	at := uint32(1)
	f, _, err := create(a.path, func(f *os.File) error {
		_, err := f.WriteAt(appendHead(nil, h), 0)
		put := func(records []record) {
			if err == nil && len(records) > 0 {
				_, err = f.WriteAt(a.writer.write(h.number, at, nil, records), int64(at)*sectorSize)
				at += uint32(sectorsOf(records))
			}
		}
		for from := (place{number: a.number, at: 1}); err == nil && from.at < a.end; {
			var records []record
			var err2 error
			if records, from, err2 = a.piece(from); err2 != nil {
				return err2
			}
			put(records)
		}
		put(more)
		return err
	})
	if err != nil {
		return err
	}
	a.file, a.number, a.end = f, h.number, at
	a.next += uint64(len(more))
	clear(a.stale)
	a.note()
	return nil
}

// note tells the cursor what has to be there. It may say less.
func (a *asideLog) note() {
	a.cursor.set(func(p *position) { p.aside, p.asideEnd = a.number, a.end })
}

func (a *asideLog) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return nil
	}
	return a.file.Close()
}

// bytes is how much the file takes.
func (a *asideLog) bytes() int64 {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.number == 0 {
		return 0
	}
	return int64(a.end) * sectorSize
}

// limit is the sequence number that comes next.
func (a *asideLog) limit() uint64 {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.next
}

// place is where reading the log goes on.
type place struct {
	number, at uint32
	seq        uint64 // all before were read
}

// together is how many records are read or moved at once, about.
const together = 256

// some returns some records from a place on, and the place behind them; none at the end.
func (a *asideLog) some(from place) ([]record, place, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for {
		if from.number != a.number || from.at == 0 {
			from.number, from.at = a.number, 1
		}
		if from.at >= a.end {
			return nil, from, nil
		}
		records, next, err := a.piece(from)
		if err != nil || len(records) > 0 {
			return records, next, err
		}
		from = next
	}
}

// piece is some where something follows, which may not count any more. It wants a.mu to be held.
func (a *asideLog) piece(from place) (some []record, _ place, err error) {
	file, scan, h, err := openScanner(a.path)
	if err != nil {
		return nil, from, err
	}
	defer file.Close()
	if h.number != a.number {
		return nil, from, damaged(a.path, errors.New("it is another file than was opened"))
	}
	scan.end = a.end
	scan.seek(from.at)
	for len(some) < together && scan.at < scan.end {
		records, err := scan.group()
		if err == nil && len(records) == 0 {
			err = errSector(scan.at, errors.New("what was written there is gone"))
		}
		if err != nil {
			return nil, from, damaged(a.path, err)
		}
		for _, r := range records {
			if r.seq >= from.seq && !a.stale[r.seq] {
				some = append(some, r)
			}
			from.seq = max(from.seq, r.seq+1)
		}
	}
	from.at = scan.at
	return some, from, nil
}
