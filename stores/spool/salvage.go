package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/uuid"
)

// Salvaged is what [Salvage] found.
type Salvaged struct {
	// Waiting and SetAside are how many events the new spool holds.
	Waiting, SetAside int
	// Unreadable is how many records were recognised as such and are not whole.
	Unreadable int
}

// Salvage copies every event that can be read from the damaged spool in dir into
// a new spool in the directory into, which must not hold one; [Open] that next. It
// changes nothing in dir, which no process may have open.
//
// It looks at each page of the file for records whose checksums match, and relies
// on nothing that leads to them. So it may also find events which were passed on
// already; the next store knows them by their IDs and keeps each once.
func Salvage(dir, into string) (Salvaged, error) {
	found, err := salvage(dir, into)
	if err != nil {
		return Salvaged{}, fmt.Errorf("auditing: salvaging the spool %s: %w", dir, err)
	}
	return found, nil
}

func salvage(dir, into string) (found Salvaged, err error) {
	from, err := os.Open(filepath.Join(dir, fileName))
	if err != nil {
		return found, err
	}
	defer from.Close()
	o, err := own(dir)
	if err != nil {
		return found, err
	}
	defer o.file.Close()

	if err := os.MkdirAll(into, 0o700); err != nil {
		return found, err
	}
	to, err := own(into)
	if err != nil {
		return found, err
	}
	signed := false
	defer func() { err = errors.Join(err, to.release(signed)) }()
	if _, err := os.Stat(filepath.Join(into, fileName)); !errors.Is(err, fs.ErrNotExist) || to.had() {
		return found, fmt.Errorf("%s holds a spool already: name a new directory", into)
	}

	places, unreadable, err := findRecords(from)
	if err != nil {
		return found, err
	}
	found.Unreadable = unreadable
	var waiting, aside []place
	for _, p := range places {
		if p.kind == kindSetAside {
			aside = append(aside, p)
		} else {
			waiting = append(waiting, p)
		}
	}
	byNumber := func(a, b place) int { return cmp.Compare(a.seq, b.seq) }
	slices.SortFunc(waiting, byNumber)
	slices.SortFunc(aside, byNumber)
	found.Waiting, found.SetAside = len(waiting), len(aside)
	first := uint64(len(aside))
	s := state{first: first, next: first + uint64(len(waiting)), setAside: uint64(len(aside))}
	_, err = writeFile(into, s, defaultTuning.segmentBytes, readPlaces(from, aside, 0), readPlaces(from, waiting, first))
	signed = err == nil
	return found, err
}

// place is where in the file a whole record is.
type place struct {
	seq  uint64
	kind byte
	key  int64 // its offset, the value follows
	size int
}

// findRecords looks for records in every page that could be a leaf, and in the
// buckets that are stored within a page. Of an event that occurs often the newest
// record counts.
func findRecords(f *os.File) (map[uuid.UUID]place, int, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	places := map[uuid.UUID]place{}
	broken := map[string]bool{}
	whole := map[string]bool{}
	note := func(at, key int64, k, v []byte) {
		if len(k) != keySize || len(v) < headSize {
			return
		}
		r, err := parseRecord(k, v)
		if err != nil {
			broken[string(k)] = true
			return
		}
		whole[string(k)] = true
		if old, ok := places[r.id]; !ok || r.seq > old.seq || r.seq == old.seq && r.kind == kindSetAside {
			places[r.id] = place{seq: r.seq, kind: r.kind, key: at + key, size: len(v)}
		}
	}
	for at := int64(0); at < info.Size(); at += pageSize {
		page := make([]byte, min(pageSize, info.Size()-at))
		if _, err := f.ReadAt(page, at); err != nil {
			return nil, 0, err
		}
		if len(page) < headerSize || pageFlags(page) != leafPage {
			continue
		}
		// The record of a large event goes on in the pages that follow.
		if more := int64(native.Uint32(page[12:])); more > 0 {
			page = make([]byte, min((more+1)*pageSize, info.Size()-at, maxLeaf))
			if _, err := f.ReadAt(page, at); err != nil && !errors.Is(err, io.EOF) {
				return nil, 0, err
			}
		}
		eachElement(page, func(offset int, k, v []byte) {
			note(at, int64(offset), k, v)
			// A small bucket is stored within its parent.
			if inner := offset + len(k) + 16; len(v) > 16 && native.Uint64(v) == 0 {
				eachElement(v[16:], func(offset int, k, v []byte) { note(at, int64(inner+offset), k, v) })
			}
		})
	}
	for key := range whole {
		delete(broken, key)
	}
	return places, len(broken), nil
}

// maxLeaf bounds how much a page's header can make salvage read.
const maxLeaf = 64 << 20

// eachElement calls f with every element that lies within the page.
func eachElement(page []byte, f func(offset int, key, value []byte)) {
	if len(page) < headerSize {
		return
	}
	for i := range min(pageCount(page), (len(page)-headerSize)/elementSize) {
		at := headerSize + elementSize*i
		e := page[at:]
		start := uint64(at) + uint64(native.Uint32(e[4:]))
		keyEnd := start + uint64(native.Uint32(e[8:]))
		end := keyEnd + uint64(native.Uint32(e[12:]))
		if end <= uint64(len(page)) {
			f(int(start), page[start:keyEnd], page[keyEnd:end])
		}
	}
}

// readPlaces reads the records again and numbers them anew from first.
func readPlaces(f *os.File, places []place, first uint64) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		for i, p := range places {
			b := make([]byte, keySize+p.size)
			_, err := f.ReadAt(b, p.key)
			var r record
			if err == nil {
				r, err = parseRecord(b[:keySize], b[keySize:])
			}
			r.seq = first + uint64(i)
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}
