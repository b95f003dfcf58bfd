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

// A spool is two logs, one of what waits and one of what is set aside, and a cursor
// that says what they hold:
//
//	waiting-00000000000000000001.log  a segment, named after its first sequence number
//	aside-00000000000000000001.log    a segment of what is set aside
//	cursor                            see position
//	owner                             who has the spool open
//
// A Save appends its records to the newest segment as one group and syncs it once. A
// segment has its full length from the start, so that the file system has nothing of
// its own to write. What does not fit begins the next segment, which gets its name
// once it is complete: in a spare file, whose records were all passed on, or in a new
// one. A segment that could not be written or synced is never appended to again: the
// next one begins with the number that the failed group had, by which that group is
// known not to count.
//
// A segment consists of sectors, which a disk writes as a whole or not at all:
//
//	CRC-32C of all that follows                         4 bytes
//	number of the segment's first record                8
//	length of the segment in sectors                    4
//	index of the sector                                 4
//	group: index of the first sector of the same Save   4
//	offset in the data at which a record begins first   2   (noRecord if none does)
//	length of the data, and lastSector on the last one  2
//	data                                              484
//
// with all integers big-endian. A sector that was never written is all zeros, or of the
// lower number that the file had before. The data of a group are its records; see
// record. Their sequence numbers follow one another from segment to segment, so that
// whatever is missing between two of them is noticed.
const (
	sectorSize = 512
	sectorHead = 4 + 8 + 4 + 4 + 4 + 2 + 2
	sectorData = sectorSize - sectorHead
	noRecord   = 0xFFFF
	lastSector = 0x8000
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

var errChecksum = errors.New("its checksum does not match")

// sector is one sector of a segment.
type sector struct {
	segment            uint64
	size, index, group uint32
	start              uint16
	last               bool
	data               []byte
}

func appendSector(b []byte, s sector) []byte {
	from := len(b)
	flags := uint16(len(s.data))
	if s.last {
		flags |= lastSector
	}
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, s.segment)
	b = binary.BigEndian.AppendUint32(b, s.size)
	b = binary.BigEndian.AppendUint32(b, s.index)
	b = binary.BigEndian.AppendUint32(b, s.group)
	b = binary.BigEndian.AppendUint16(b, s.start)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = append(b, s.data...)
	b = append(b, make([]byte, sectorData-len(s.data))...)
	binary.BigEndian.PutUint32(b[from:], checksum(b[from+4:]))
	return b
}

// parseSector returns the sector stored at an index, whose data are a part of b;
// written is false for one of zeros.
func parseSector(b []byte, index uint32) (s sector, written bool, err error) {
	if [sectorSize]byte(b) == [sectorSize]byte{} {
		return s, false, nil
	}
	if binary.BigEndian.Uint32(b) != checksum(b[4:]) {
		return s, false, errChecksum
	}
	flags := binary.BigEndian.Uint16(b[26:])
	s = sector{
		segment: binary.BigEndian.Uint64(b[4:]), size: binary.BigEndian.Uint32(b[12:]), index: binary.BigEndian.Uint32(b[16:]),
		group: binary.BigEndian.Uint32(b[20:]), start: binary.BigEndian.Uint16(b[24:]), last: flags&lastSector != 0,
	}
	n := int(flags &^ lastSector)
	switch {
	case s.index != index:
		return s, false, fmt.Errorf("it says that it is sector %d", s.index)
	case n > sectorData || s.start != noRecord && int(s.start) >= n:
		return s, false, errors.New("it ends behind its end, or before its first record")
	}
	s.data = b[sectorHead : sectorHead+n]
	return s, true, nil
}

// groupWriter turns records into the sectors of a group. Its buffers are used again.
type groupWriter struct{ data, image []byte }

// keptBuffer is how large a buffer is kept from one Save to the next.
const keptBuffer = 1 << 20

// write returns the records as a group of a segment, to be written from a sector on.
func (w *groupWriter) write(records []record, seg *segment, at uint32) []byte {
	if cap(w.image) > keptBuffer {
		*w = groupWriter{}
	}
	w.image = w.image[:0]
	s := sector{segment: seg.first, size: seg.size, index: at, group: at, start: noRecord}
	pending := w.data[:0]
	for i := range records {
		if s.start == noRecord {
			s.start = uint16(len(pending))
		}
		w.data = records[i].append(pending)
		rest := w.data
		for ends := i == len(records)-1; len(rest) >= sectorData || ends && len(rest) > 0; s.index++ {
			n := min(len(rest), sectorData)
			s.data, rest = rest[:n], rest[n:]
			s.last = ends && len(rest) == 0
			w.image = appendSector(w.image, s)
			s.start = noRecord
		}
		pending = w.data[:copy(w.data, rest)]
	}
	return w.image
}

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
