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
// It looks at each page of the file and each sector of the journal for records whose
// checksums match, and relies on nothing that leads to them. So it may also find
// events which were passed on already; the next store knows them by their IDs and
// keeps each once.
func Salvage(dir, into string) (Salvaged, error) {
	found, err := salvage(dir, into)
	if err != nil {
		return Salvaged{}, fmt.Errorf("auditing: salvaging the spool %s: %w", dir, err)
	}
	return found, nil
}

func salvage(dir, into string) (found Salvaged, err error) {
	journal := filepath.Join(dir, journalName)
	from, err := os.Open(filepath.Join(dir, fileName))
	if _, missing := os.Stat(journal); errors.Is(err, fs.ErrNotExist) && missing == nil {
		from, err = nil, nil // lost, but not the journal
	}
	if err != nil {
		return found, err
	}
	defer from.Close() // of nil, too
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
	if _, err := os.Stat(filepath.Join(into, fileName)); !errors.Is(err, fs.ErrNotExist) || to.had(fileName) {
		return found, fmt.Errorf("%s holds a spool already: name a new directory", into)
	}

	f := newFinder()
	if from != nil {
		if err := f.file(from); err != nil {
			return found, err
		}
	}
	if err := f.journal(journal); err != nil {
		return found, err
	}
	places := f.places
	for key := range f.whole {
		delete(f.broken, key)
	}
	found.Unreadable = len(f.broken)
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
	if err := createJournal(into, defaultTuning.journalBytes); err != nil {
		return found, err
	}
	_, err = writeFile(into, s, defaultTuning.segmentBytes, readPlaces(from, aside, 0), readPlaces(from, waiting, first))
	signed = err == nil
	return found, err
}

// place is where in the file a whole record is, or the record itself.
type place struct {
	seq    uint64
	kind   byte
	key    int64 // its offset, the value follows
	size   int
	record *record // of the journal, in which it may be scattered
}

// finder collects records. Of an event that occurs often the newest record counts.
type finder struct {
	places        map[uuid.UUID]place
	broken, whole map[string]bool // by their keys
}

func newFinder() *finder {
	return &finder{places: map[uuid.UUID]place{}, broken: map[string]bool{}, whole: map[string]bool{}}
}

func (f *finder) add(r *record, p place) {
	f.whole[string(keyOf(r.seq))] = true
	if old, ok := f.places[r.id]; !ok || r.seq > old.seq || r.seq == old.seq && r.kind == kindSetAside {
		p.seq, p.kind = r.seq, r.kind
		f.places[r.id] = p
	}
}

// cut notes the record that data begin with as not whole, if they show which it is.
func (f *finder) cut(data []byte) {
	if len(data) >= keySize {
		f.broken[string(data[:keySize])] = true
	}
}

// file looks for records in every page that could be a leaf, and in the buckets
// that are stored within a page.
func (f *finder) file(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	note := func(at, key int64, k, v []byte) {
		if len(k) != keySize || len(v) < headSize {
			return
		}
		if r, err := parseRecord(k, v); err == nil {
			f.add(&r, place{key: at + key, size: len(v)})
		} else {
			f.broken[string(k)] = true
		}
	}
	for at := int64(0); at < info.Size(); at += pageSize {
		page := make([]byte, min(pageSize, info.Size()-at))
		if _, err := file.ReadAt(page, at); err != nil {
			return err
		}
		if len(page) < headerSize || pageFlags(page) != leafPage {
			continue
		}
		// The record of a large event goes on in the pages that follow.
		if more := int64(native.Uint32(page[12:])); more > 0 {
			page = make([]byte, min((more+1)*pageSize, info.Size()-at, maxLeaf))
			if _, err := file.ReadAt(page, at); err != nil && !errors.Is(err, io.EOF) {
				return err
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
	return nil
}

// journal looks for records in every sound sector of the newest epoch. Behind a
// damaged one it goes on where the next record begins.
func (f *finder) journal(path string) error {
	image, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var sectors []sector
	epoch := uint32(0)
	for i := range len(image) / sectorSize {
		s, written, err := parseSector(image[i*sectorSize:][:sectorSize], uint32(i))
		if err == nil && written && i > 0 {
			sectors = append(sectors, s)
			epoch = max(epoch, s.epoch)
		}
	}
	var data []byte // from the beginning of a record on
	next := sector{}
	for _, s := range sectors {
		if s.epoch != epoch {
			continue
		}
		switch {
		case s.index == next.index && s.group == next.group:
			data = append(data, s.data...)
		case s.start != noRecord:
			f.cut(data)
			data = slices.Clone(s.data[s.start:])
		default:
			continue
		}
		next = sector{index: s.index + 1, group: s.group}
		for {
			r, n, err := parseInGroup(data)
			if err != nil {
				f.cut(data)
			} else if n > 0 {
				f.add(&r, place{record: &r})
			}
			if n == 0 {
				break
			}
			data = data[n:]
		}
	}
	f.cut(data)
	return nil
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
			var r record
			var err error
			if p.record != nil {
				r = *p.record
			} else {
				b := make([]byte, keySize+p.size)
				if _, err = f.ReadAt(b, p.key); err == nil {
					r, err = parseRecord(b[:keySize], b[keySize:])
				}
			}
			r.seq = first + uint64(i)
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}
