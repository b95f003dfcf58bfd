package spool

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
)

func sampleRecords() []record {
	e := eventsOf(1)[0]
	w := newRecord(e, time.UnixMicro(1_700_000_000_000_001))
	w.seq, w.payload = 1<<40+7, e.AppendJSON(nil)
	r := w
	r.kind, r.setAt, r.reason = kindSetAside, 1_700_000_000_000_002, "refused"
	long := r
	long.reason = string(bytes.Repeat([]byte("x"), maxReason))
	none := r
	none.reason, none.seq, none.time = "", 0, -1
	return []record{w, r, long, none}
}

func TestRecordRoundTrip(t *testing.T) {
	for _, want := range sampleRecords() {
		got, err := parseRecord(keyOf(want.seq), want.value())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v (%v), want %+v", got, err, want)
		}
		if e, err := got.event(); err != nil || e.ID != want.id {
			t.Errorf("the event is %+v (%v)", e, err)
		}
		if cost := want.cost(); cost < int64(len(want.value())) {
			t.Errorf("the record costs %d bytes and takes %d", cost, len(want.value()))
		}
	}
}

// TestRecordNoticesEveryBit flips each bit of records and their keys.
func TestRecordNoticesEveryBit(t *testing.T) {
	for _, r := range sampleRecords()[:2] {
		stored := append(keyOf(r.seq), r.value()...)
		for i := range 8 * len(stored) {
			stored[i/8] ^= 1 << (i % 8)
			if _, err := parseRecord(stored[:keySize], stored[keySize:]); err == nil {
				t.Fatalf("bit %d was flipped and nobody noticed", i)
			}
			stored[i/8] ^= 1 << (i % 8)
		}
		for n := range len(stored) - keySize {
			if _, err := parseRecord(stored[:keySize], stored[keySize:keySize+n]); err == nil {
				t.Fatalf("a record cut to %d bytes was taken", n)
			}
		}
	}
}

func TestRecordOfAnotherEvent(t *testing.T) {
	r := sampleRecords()[0]
	r.id = uuid.New()
	got, err := parseRecord(keyOf(r.seq), r.value())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := got.event(); err == nil {
		t.Error("a record with another event's id gave an event")
	}
}

func FuzzRecord(f *testing.F) {
	for _, r := range sampleRecords() {
		f.Add(keyOf(r.seq), r.value(), false)
		f.Add(keyOf(r.seq), r.value(), true)
	}
	f.Add([]byte{}, []byte{}, false)
	f.Fuzz(func(t *testing.T, key, value []byte, fix bool) {
		if fix && len(value) >= 4 && len(key) == keySize {
			// A sum that matches lets the fuzzer reach what is behind it.
			value = bytes.Clone(value)
			sum := checksum(key, value[4:])
			value[0], value[1], value[2], value[3] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
		}
		r, err := parseRecord(key, value)
		if err != nil {
			if fix && len(value) >= headSize && len(key) == keySize && errors.Is(err, errChecksum) {
				t.Error("the sum was made to match and does not")
			}
			return
		}
		again, err := parseRecord(keyOf(r.seq), r.value())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%+v was written and read as %+v (%v)", r, again, err)
		}
		r.event()
	})
}

func FuzzState(f *testing.F) {
	f.Add(state{first: 1, next: 3, setAside: 2}.value())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, value []byte) {
		if s, err := parseState(value); err == nil && !bytes.Equal(s.value(), value) {
			t.Errorf("%x was read as %+v", value, s)
		}
	})
}

// pagesOf makes a file of so many pages: two that nobody reads here, and others that
// begin with equal parts of heads, each under its own id unless its part changes it.
func pagesOf(heads []byte, pages uint8) []byte {
	file := make([]byte, int(pages)*pageSize)
	if pages <= 2 {
		return file
	}
	part := min(len(heads)/int(pages-2), pageSize)
	for id := 2; id < int(pages); id++ {
		page := file[id*pageSize:]
		copy(page, heads[(id-2)*part:][:part])
		native.PutUint64(page, native.Uint64(page)^uint64(id))
	}
	return file
}

// FuzzPages walks pages that are anything at all: it ends, and what it visits without
// an error is in order.
func FuzzPages(f *testing.F) {
	page := func(flags, count uint16, rest ...uint32) []byte {
		p := make([]byte, headerSize, 64)
		native.PutUint16(p[8:], flags)
		native.PutUint16(p[10:], count)
		for _, n := range rest {
			p = native.AppendUint32(p, n)
		}
		return append(p, make([]byte, 64-len(p))...)
	}
	leaf := page(leafPage, 2, 0, 32, 4, 0, 0, 20, 4, 0, 1, 2)
	f.Add(page(leafPage, 0), uint8(3))
	f.Add(leaf, uint8(3))
	f.Add(bytes.Join([][]byte{page(branchPage, 2, 32, 4, 3, 0, 20, 4, 4, 0, 1, 3), leaf, page(leafPage, 1, bucketElement, 16, 4, 16, 3)}, nil), uint8(5))
	f.Add(page(branchPage, 1, 16, 4, 2, 0), uint8(3)) // leads to itself
	f.Add(page(leafPage, 3), uint8(4))
	f.Fuzz(func(t *testing.T, heads []byte, pages uint8) {
		file := pagesOf(heads, pages%16)
		used := map[uint64]bool{}
		p := pager{file: bytes.NewReader(file), pages: uint64(len(file) / pageSize), claim: func(id, n uint64) error {
			for i := range n {
				if used[id+i] {
					return errors.New("twice")
				}
				used[id+i] = true
			}
			return nil
		}}
		var keys [][]byte
		err := p.walk(2, nil, func(flags uint32, key, value []byte) error {
			keys = append(keys, bytes.Clone(key))
			if flags == bucketElement {
				return p.bucket(value, nil, func(uint32, []byte, []byte) error { return nil })
			}
			parseRecord(key, value)
			return nil
		})
		if err == nil && !slices.IsSortedFunc(keys, bytes.Compare) {
			t.Errorf("the keys come as %x", keys)
		}
		eachElement(file, func(_ int, key, value []byte) { parseRecord(key, value) })
	})
}
