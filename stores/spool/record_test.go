package spool

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

func sampleRecords() []record {
	e := eventsOf(1)[0]
	w := newRecord(e, time.UnixMicro(1_700_000_000_000_001))
	w.seq, w.payload = 1<<40+7, core.AppendEventJSON(nil, e)
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

// FuzzPages walks pages that are anything at all.
func FuzzPages(f *testing.F) {
	leaf := make([]byte, 3*pageSize)
	native.PutUint64(leaf[2*pageSize:], 2)
	native.PutUint16(leaf[2*pageSize+8:], leafPage)
	f.Add(bytes.Clone(leaf))
	native.PutUint16(leaf[2*pageSize+10:], 3)
	f.Add(bytes.Clone(leaf))
	native.PutUint16(leaf[2*pageSize+8:], branchPage)
	f.Add(leaf)
	f.Fuzz(func(t *testing.T, file []byte) {
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
		visit := func(flags uint32, key, value []byte) error {
			if flags == bucketElement {
				return p.bucket(value, nil, func(uint32, []byte, []byte) error { return nil })
			}
			parseRecord(key, value)
			return nil
		}
		p.walk(2, nil, visit)
		eachElement(file, func(_ int, key, value []byte) { parseRecord(key, value) })
	})
}
