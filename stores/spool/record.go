package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// record is one event in the spool, stored as
//
//	length of all that follows                 4 bytes
//	sequence number                            8
//	the event's id                            16
//	the event's time, µs since 1970            8
//	when the spool took it, µs since 1970      8
//	when it was set aside, µs since 1970       8   (0: it waits)
//	length of the reason why it was            2   (firstTry: the event said that it is Event.First)
//	the reason
//	the event as core.Event.AppendJSON writes it
//
// with all integers big-endian. Checksums are the sectors' affair.
type record struct {
	seq     uint64
	id      uuid.UUID
	time    int64
	arrived int64
	setAt   int64
	first   bool
	reason  string
	payload []byte
}

const (
	recordHead = 4 + 8 + 16 + 8 + 8 + 8 + 2
	maxReason  = 4 << 10
	firstTry   = 0x8000
)

func newRecord(e core.Event, arrived time.Time) record {
	return record{id: e.ID, time: e.Time.UnixMicro(), arrived: arrived.UnixMicro(), first: e.First}
}

// cost is how many bytes the record takes.
func (r *record) cost() int64 { return int64(recordHead + len(r.reason) + len(r.payload)) }

func (r *record) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(r.cost()-4))
	b = binary.BigEndian.AppendUint64(b, r.seq)
	b = append(b, r.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.time))
	b = binary.BigEndian.AppendUint64(b, uint64(r.arrived))
	b = binary.BigEndian.AppendUint64(b, uint64(r.setAt))
	reason := uint16(len(r.reason))
	if r.first {
		reason |= firstTry
	}
	b = binary.BigEndian.AppendUint16(b, reason)
	b = append(b, r.reason...)
	return append(b, r.payload...)
}

// parseRecord returns the record at the beginning of data, of which its payload is a
// part, and how long it is; 0 when it goes on behind their end.
func parseRecord(data []byte) (r record, n int, err error) {
	if len(data) < 4 {
		return r, 0, nil
	}
	length := int64(binary.BigEndian.Uint32(data)) + 4
	if length < recordHead {
		return r, 0, fmt.Errorf("a record has only %d bytes", length)
	}
	if length > int64(len(data)) {
		return r, 0, nil
	}
	b := data[:length]
	r = record{
		seq: binary.BigEndian.Uint64(b[4:]), id: uuid.UUID(b[12:28]), time: int64(binary.BigEndian.Uint64(b[28:])),
		arrived: int64(binary.BigEndian.Uint64(b[36:])), setAt: int64(binary.BigEndian.Uint64(b[44:])),
	}
	reason := binary.BigEndian.Uint16(b[52:])
	r.first = reason&firstTry != 0
	end := recordHead + int(reason&^firstTry)
	if end > len(b) {
		return r, 0, fmt.Errorf("record %d ends in its reason", r.seq)
	}
	r.reason, r.payload = string(b[recordHead:end]), b[end:]
	return r, len(b), nil
}

// event parses the payload.
func (r *record) event() (e core.Event, err error) {
	err = e.UnmarshalJSON(r.payload)
	if err == nil && e.ID != r.id {
		err = errors.New("auditing: the spooled event has another id than its record")
	}
	return e, err
}
