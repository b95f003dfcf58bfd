package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/google/uuid"
)

// The buckets of the file. Besides them there is one for each segment.
var (
	stateBucket    = []byte("state")
	stateKey       = []byte("state")
	setAsideBucket = []byte("set aside")
)

// A segment is a bucket with up to about segmentBytes of what waits. It is dropped
// as a whole, which costs nothing for each of its records.
const segmentPrefix = "waiting "

func segmentName(first uint64) []byte { return append([]byte(segmentPrefix), keyOf(first)...) }

func isSegment(bucket []byte) bool {
	return len(bucket) == len(segmentPrefix)+keySize && bytes.HasPrefix(bucket, []byte(segmentPrefix))
}

type segment struct {
	first uint64 // the sequence number of its first record
	bytes int64
}

// contents is what the spool holds.
type contents struct {
	state
	filed    state    // what the file says of itself
	tail     []record // what waits from filed.next on, which only the journal holds
	segments []segment
	ids      map[uuid.UUID]struct{}
	bytes    int64 // of all records that count
}

// ErrDamaged means that a spool's file is not as it was written. See [Salvage].
var ErrDamaged = errors.New("the spool is damaged")

// damaged says what is wrong with a file and what to do.
func damaged(path string, err error) error {
	return fmt.Errorf("auditing: %w: %s: %w; nothing was changed: keep the directory, call spool.Salvage to copy what is readable into another one, and open that",
		ErrDamaged, path, err)
}

// check reads the whole file without mapping it, and finds every page and every
// record sound, or what is wrong.
func check(path string) (*contents, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("auditing: opening the spool: %w", err)
	}
	defer f.Close()
	c := checker{contents: contents{ids: map[uuid.UUID]struct{}{}}}
	if err := c.file(f); err != nil {
		return nil, damaged(path, err)
	}
	c.filed = c.state
	return &c.contents, nil
}

type checker struct {
	contents
	pager
	used     []uint64 // a bit for each page
	hasState bool
	setAside uint64
	next     uint64 // the sequence number that has to come
	started  bool
}

func (c *checker) file(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	m, err := newestMeta(f, info.Size())
	if err != nil {
		return err
	}
	// The size first: what the file's own page says must be there.
	if m.pages < 4 || m.pages > math.MaxInt64/pageSize || int64(m.pages)*pageSize > info.Size() {
		return fmt.Errorf("the file has %d bytes, but its %d pages of %d need %d: it was cut", info.Size(), m.pages, pageSize, m.pages*pageSize)
	}
	c.pager = pager{file: f, pages: m.pages, claim: c.take}
	c.used = make([]uint64, m.pages/64+1)
	if err := c.take(0, 2); err != nil {
		return err
	}
	if err := c.walk(m.root, nil, c.topLevel); err != nil {
		return err
	}
	if err := c.free(m.freelist); err != nil {
		return err
	}
	for id := range m.pages {
		if c.used[id/64]&(1<<(id%64)) == 0 {
			return errPage(id, errors.New("it belongs to nothing, something that led to it is gone"))
		}
	}
	switch {
	case !c.hasState:
		return errors.New("the record of its state is missing")
	case c.started && c.next != c.state.next || !c.started && c.state.first != c.state.next:
		return fmt.Errorf("records are missing: it should hold number %d to %d", c.state.first, c.state.next-1)
	case c.setAside != c.state.setAside:
		return fmt.Errorf("%d records are set aside, it should be %d", c.setAside, c.state.setAside)
	}
	return nil
}

// newestMeta reads both metas. bbolt would do with one and then go back to what
// was before the last commit, which was acknowledged: here both have to be sound.
func newestMeta(f *os.File, size int64) (meta, error) {
	if size < 2*pageSize {
		return meta{}, fmt.Errorf("the file has only %d bytes: it was cut", size)
	}
	var metas [2]meta
	for i := range metas {
		page := make([]byte, pageSize)
		_, err := f.ReadAt(page, int64(i)*pageSize)
		if err == nil {
			metas[i], err = parseMeta(page)
		}
		if err != nil {
			return meta{}, errPage(uint64(i), err)
		}
		if metas[i].txid%2 != uint64(i) {
			return meta{}, errPage(uint64(i), errors.New("it is in the other's place"))
		}
	}
	switch metas[1].txid - metas[0].txid {
	case 1:
		return metas[1], nil
	case math.MaxUint64:
		return metas[0], nil
	}
	return meta{}, fmt.Errorf("its first pages are of transactions %d and %d, which do not follow one another", metas[0].txid, metas[1].txid)
}

// take marks n pages as used, each of which may be so only once.
func (c *checker) take(id, n uint64) error {
	for ; n > 0; id, n = id+1, n-1 {
		if c.used[id/64]&(1<<(id%64)) != 0 {
			return fmt.Errorf("page %d is used twice", id)
		}
		c.used[id/64] |= 1 << (id % 64)
	}
	return nil
}

// free reads the list of free pages: a used page in it would be overwritten.
func (c *checker) free(id uint64) error {
	page, err := c.read(id)
	if err != nil {
		return err
	}
	if pageFlags(page) != freelistPage {
		return errPage(id, errors.New("it is not the list of free pages"))
	}
	list, n := page[headerSize:], uint64(pageCount(page))
	if n == math.MaxUint16 {
		list, n = list[8:], native.Uint64(list)
	}
	if n > uint64(len(list))/8 {
		return errPage(id, fmt.Errorf("its list of %d free pages is not there", n))
	}
	for i := range n {
		free := native.Uint64(list[8*i:])
		if free < 2 || free >= c.pages {
			return errPage(id, fmt.Errorf("it lists page %d as free, which is not there", free))
		}
		if err := c.take(free, 1); err != nil {
			return errPage(id, err)
		}
	}
	return nil
}

// topLevel looks into one bucket. The segments come last, in their order.
func (c *checker) topLevel(flags uint32, key, value []byte) error {
	if flags != bucketElement {
		return fmt.Errorf("%q is no bucket", key)
	}
	switch {
	case bytes.Equal(key, stateBucket):
		return c.bucket(value, nil, func(flags uint32, key, value []byte) (err error) {
			if flags != 0 || !bytes.Equal(key, stateKey) {
				return fmt.Errorf("its state has the unknown key %q", key)
			}
			c.hasState = true
			if c.state, err = parseState(value); err != nil {
				err = fmt.Errorf("the record of its state: %w", err)
			}
			return err
		})
	case bytes.Equal(key, setAsideBucket):
		return c.bucket(value, nil, c.setAsideRecord)
	case isSegment(key):
		c.segments = append(c.segments, segment{first: binary.BigEndian.Uint64(key[len(segmentPrefix):])})
		return c.bucket(value, nil, c.waitingRecord)
	}
	return fmt.Errorf("there is an unknown bucket %q: a newer version may have written it", key)
}

func (c *checker) record(flags uint32, key, value []byte, kind byte) (record, error) {
	r, err := parseRecord(key, value)
	if err == nil && (flags != 0 || r.kind != kind) {
		err = errors.New("it is in a place where none should be")
	}
	if err != nil {
		return r, fmt.Errorf("record %x: %w", key, err)
	}
	return r, nil
}

func (c *checker) setAsideRecord(flags uint32, key, value []byte) error {
	r, err := c.record(flags, key, value, kindSetAside)
	if err != nil {
		return err
	}
	c.setAside++
	c.ids[r.id] = struct{}{}
	c.bytes += r.cost()
	return nil
}

func (c *checker) waitingRecord(flags uint32, key, value []byte) error {
	r, err := c.record(flags, key, value, kindWaiting)
	if err != nil {
		return err
	}
	last := &c.segments[len(c.segments)-1]
	if last.bytes == 0 && r.seq != last.first || c.started && r.seq != c.next || !c.started && r.seq > c.state.first {
		return fmt.Errorf("record %d comes where another was expected", r.seq)
	}
	c.started, c.next = true, r.seq+1
	last.bytes += r.cost()
	if r.seq >= c.state.first {
		c.ids[r.id] = struct{}{}
		c.bytes += r.cost()
	}
	return nil
}
