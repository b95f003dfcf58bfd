package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// The kinds of records.
const (
	kindWaiting  = 'w'
	kindSetAside = 'r'
)

// record is one event in the spool. Its key is the sequence number in eight
// bytes, big-endian; its value is
//
//	CRC-32C of the key and all that follows    4 bytes
//	kind                                       1
//	the event's id                            16
//	the event's time, µs since 1970            8
//	when the spool took it, µs since 1970      8
//	of one that is set aside: when, µs         8
//	                          why              a uvarint with its length, then the text
//	the event as core.Event.AppendJSON writes it
//
// with all integers big-endian.
type record struct {
	seq     uint64
	kind    byte
	id      uuid.UUID
	time    int64
	arrived int64
	setAt   int64
	reason  string
	payload []byte
}

const (
	keySize    = 8
	headSize   = 4 + 1 + 16 + 8 + 8
	maxReason  = 4 << 10
	recordCost = keySize + 16 // what a record takes beside its value
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func newRecord(e core.Event, arrived time.Time) record {
	return record{kind: kindWaiting, id: e.ID, time: e.Time.UnixMicro(), arrived: arrived.UnixMicro()}
}

// size is how long the record's value is.
func (r *record) size() int {
	n := headSize + len(r.payload)
	if r.kind == kindSetAside {
		n += 8 + uvarintSize(len(r.reason)) + len(r.reason)
	}
	return n
}

func uvarintSize(n int) int { return len(binary.AppendUvarint(nil, uint64(n))) }

// cost is how many bytes of the spool's bound the record takes.
func (r *record) cost() int64 { return int64(r.size() + recordCost) }

func (r *record) arrivedAt() time.Time { return time.UnixMicro(r.arrived).UTC() }

// appendValue appends what is stored under the record's key.
func (r *record) appendValue(b []byte) []byte {
	from := len(b)
	b = append(b, 0, 0, 0, 0, r.kind)
	b = append(b, r.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.time))
	b = binary.BigEndian.AppendUint64(b, uint64(r.arrived))
	if r.kind == kindSetAside {
		b = binary.BigEndian.AppendUint64(b, uint64(r.setAt))
		b = binary.AppendUvarint(b, uint64(len(r.reason)))
		b = append(b, r.reason...)
	}
	b = append(b, r.payload...)
	var key [keySize]byte
	binary.BigEndian.PutUint64(key[:], r.seq)
	binary.BigEndian.PutUint32(b[from:], checksum(key[:], b[from+4:]))
	return b
}

func checksum(key, rest []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, rest)
}

var errChecksum = errors.New("its checksum does not match")

// parseRecord returns the record stored as key and value. Its payload is a part of value.
func parseRecord(key, value []byte) (record, error) {
	var r record
	if len(key) != keySize {
		return r, fmt.Errorf("its key has %d bytes, not %d", len(key), keySize)
	}
	r.seq = binary.BigEndian.Uint64(key)
	if len(value) < headSize {
		return r, fmt.Errorf("its %d bytes are too few", len(value))
	}
	if binary.BigEndian.Uint32(value) != checksum(key, value[4:]) {
		return r, errChecksum
	}
	r.kind = value[4]
	copy(r.id[:], value[5:])
	r.time = int64(binary.BigEndian.Uint64(value[21:]))
	r.arrived = int64(binary.BigEndian.Uint64(value[29:]))
	rest := value[headSize:]
	switch r.kind {
	case kindWaiting:
	case kindSetAside:
		if len(rest) < 8 {
			return r, errors.New("it ends before its reason")
		}
		r.setAt = int64(binary.BigEndian.Uint64(rest))
		n, width := binary.Uvarint(rest[8:])
		if rest = rest[8:]; width <= 0 || n > uint64(len(rest)-width) {
			return r, errors.New("it ends in its reason")
		}
		r.reason = string(rest[width : width+int(n)])
		rest = rest[width+int(n):]
	default:
		return r, fmt.Errorf("its kind %q is unknown: a newer version may have written it", r.kind)
	}
	r.payload = rest
	return r, nil
}

// event parses the payload.
func (r *record) event() (e core.Event, err error) {
	err = e.UnmarshalJSON(r.payload)
	if err == nil && e.ID != r.id {
		err = errors.New("auditing: the spooled event has another id than its record")
	}
	return e, err
}
