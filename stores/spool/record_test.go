package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
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
		got, err := parseRecord(keyOf(want.seq), want.appendValue(nil))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v (%v), want %+v", got, err, want)
		}
		if e, err := got.event(); err != nil || e.ID != want.id {
			t.Errorf("the event is %+v (%v)", e, err)
		}
		if cost := want.cost(); cost < int64(len(want.appendValue(nil))) {
			t.Errorf("the record costs %d bytes and takes %d", cost, len(want.appendValue(nil)))
		}
	}
}

// TestRecordNoticesEveryBit flips each bit of records and their keys.
func TestRecordNoticesEveryBit(t *testing.T) {
	for _, r := range sampleRecords()[:2] {
		stored := append(keyOf(r.seq), r.appendValue(nil)...)
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
	got, err := parseRecord(keyOf(r.seq), r.appendValue(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := got.event(); err == nil {
		t.Error("a record with another event's id gave an event")
	}
}

func FuzzRecord(f *testing.F) {
	for _, r := range sampleRecords() {
		f.Add(keyOf(r.seq), r.appendValue(nil), false)
		f.Add(keyOf(r.seq), r.appendValue(nil), true)
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
		again, err := parseRecord(keyOf(r.seq), r.appendValue(nil))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%+v was written and read as %+v (%v)", r, again, err)
		}
		r.event()
	})
}

func keyOf(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }
