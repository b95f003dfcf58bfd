package spool

import (
	"bytes"
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
	r.setAt, r.reason = 1_700_000_000_000_002, "refused"
	first := w
	first.first = true
	long := r
	long.reason = string(bytes.Repeat([]byte("x"), maxReason))
	none := r
	none.reason, none.seq, none.time = "", 0, -1
	return []record{w, r, first, long, none}
}

func TestRecordRoundTrip(t *testing.T) {
	for _, want := range sampleRecords() {
		stored := want.append(nil)
		got, n, err := parseRecord(append(stored, "more"...))
		if err != nil || n != len(stored) || int64(n) != want.cost() || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v of %d bytes (%v), want %+v of %d", got, n, err, want, len(stored))
		}
		if e, err := got.event(); err != nil || e.ID != want.id {
			t.Errorf("the event is %+v (%v)", e, err)
		}
		for cut := range stored {
			if _, n, err := parseRecord(stored[:cut]); n != 0 || err != nil {
				t.Fatalf("a record cut to %d bytes has %d (%v), want none", cut, n, err)
			}
		}
	}
}

func TestRecordOfAnotherEvent(t *testing.T) {
	r := sampleRecords()[0]
	r.id = uuid.New()
	got, _, err := parseRecord(r.append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := got.event(); err == nil {
		t.Error("a record with another event's id gave an event")
	}
}

func FuzzRecord(f *testing.F) {
	for _, r := range sampleRecords() {
		f.Add(r.append(nil))
	}
	f.Add([]byte{})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		r, n, err := parseRecord(data)
		if err != nil || n == 0 {
			return
		}
		if stored := r.append(nil); !bytes.Equal(stored, data[:n]) {
			t.Errorf("%x was read as %+v and written as %x", data[:n], r, stored)
		}
		r.event()
	})
}
