package spool

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// segmentPaths are the segments' files in dir.
func segmentPaths(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, segmentPrefix) && strings.HasSuffix(name, segmentSuffix) {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	return paths, err
}

// openLog opens the segments in dir: it reads all that wait from the cursor on, finds
// every sector and every record of them sound or says what is wrong, and calls visit
// with each record. It changes nothing.
func openLog(dir string, segmentBytes int64, now position, visit func(record)) (*log, error) {
	l := &log{dir: dir, segmentBytes: segmentBytes, next: now.first, number: now.newest}
	paths, err := segmentPaths(dir)
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		file, scan, h, err := openScanner(path)
		if err != nil {
			return nil, err
		}
		file.Close()
		l.segments = append(l.segments, &segment{path: path, number: h.number, first: h.first, size: scan.end, end: 1})
	}
	slices.SortFunc(l.segments, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	for i, seg := range l.segments {
		if i > 0 && seg.number == l.segments[i-1].number {
			return nil, damaged(seg.path, fmt.Errorf("it is segment %d, as %s is", seg.number, l.segments[i-1].path))
		}
	}
	newest := uint32(0)
	if n := len(l.segments); n > 0 {
		newest = l.segments[n-1].number
	}
	if newest < now.newest {
		return nil, damaged(dir, fmt.Errorf("segment %d is missing", now.newest))
	}
	l.number = newest
	l.free = slices.Clip(l.passedOn(now.first))
	if l.segments = l.segments[len(l.free):]; newest == 0 {
		return l, nil
	}
	return l, l.read(now.first, visit)
}

// read reads all segments, of which records from first on are wanted.
func (l *log) read(first uint64, visit func(record)) error {
	if l.next = l.segments[0].first; l.next > first {
		return damaged(l.dir, fmt.Errorf("record %d and others are missing, before segment %d", first, l.segments[0].number))
	}
	for i, seg := range l.segments {
		end := uint64(1<<64 - 1)
		if i+1 < len(l.segments) {
			end = l.segments[i+1].first
		}
		sound, err := l.readSegment(seg, end, func(r record) {
			if r.seq >= first {
				visit(r)
			}
		})
		switch {
		case err != nil:
			return damaged(seg.path, err)
		case i+1 < len(l.segments) && l.next != end:
			return damaged(seg.path, fmt.Errorf("records %d to %d are missing", l.next, end-1))
		case i+1 == len(l.segments) && l.next < first:
			return damaged(seg.path, fmt.Errorf("records %d to %d are missing at its end", l.next, first-1))
		case i+1 == len(l.segments) && sound:
			// What was read may not be on the disk yet, if its Save did not return.
			if l.file, err = openFile(seg.path); err == nil {
				err = l.file.Sync()
			}
			if err != nil {
				return fmt.Errorf("auditing: opening the spool: %w", err)
			}
		}
	}
	return nil
}

// readSegment reads the records of a segment before number end. It is sound when more
// can be written to it.
func (l *log) readSegment(seg *segment, end uint64, visit func(record)) (sound bool, err error) {
	file, scan, _, err := openScanner(seg.path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	for l.next < end {
		records, err := scan.group()
		if err != nil {
			return false, err
		}
		if len(records) == 0 {
			torn, err := scan.tail()
			return !torn, err
		}
		for _, r := range records {
			if r.seq != l.next || r.kind != kindWaiting {
				return false, fmt.Errorf("record %d comes where %d was expected", r.seq, l.next)
			}
			l.next++
			visit(r)
		}
		seg.end = scan.at
	}
	// What follows is of a Save that failed.
	if l.next > end {
		return false, errors.New("a group of its records goes on where the next segment begins")
	}
	return false, nil
}

// holdsSpool reports whether dir holds any file of a spool beside the owner's.
func holdsSpool(dir string) bool {
	for _, name := range []string{cursorName, asideName} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	paths, err := segmentPaths(dir)
	return err != nil || len(paths) > 0
}
