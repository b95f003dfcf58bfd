package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A spool is a log in segments, a cursor that says how far it was passed on, and a
// log of what was set aside:
//
//	spool.0000000001.log  a segment; its name says when it was made, its head what it holds
//	spool.cursor          see cursor
//	spool.aside           what was set aside, in the format of a segment
//	spool.owner           who has the spool open
//
// A Save appends its records to the newest segment as one group and syncs it once. A
// segment has its full length from the start, so that there is room for what comes and
// the file system has nothing of its own to write. What does not fit begins the next
// segment: in a file whose records were all passed on, or in a new one, which gets its
// name once it is complete and is synced together with its directory before anything
// in it is acknowledged. A segment that could not be written or synced is never
// written again: the next one begins with the number that the failed group had, by
// which that group is known not to count.
//
// A segment consists of sectors, which a disk writes as a whole or not at all:
//
//	CRC-32C of all that follows                         4 bytes
//	number of the segment                               4
//	index of the sector                                 4
//	group: index of the first sector of the same Save   4
//	offset in the data at which a record begins first   2   (noRecord if none does)
//	length of the data, and lastSector on the last one  2
//	data                                              492
//
// with all integers big-endian. So each can be told apart from one that was never
// written, which is of a segment with a lower number or is all zeros, and from one that
// was damaged, whose checksum is wrong. The first sector is the head: segmentMagic, the
// sequence number of the first record, and how many sectors the segment has (0: as many
// as the file). The data of a group are its records: key, the value's length in four
// bytes, value; see record. Sequence numbers follow one another from segment to segment,
// so that whatever is missing between two records is noticed.
//
// What cannot be told: whether the last group of the newest segment is missing because
// its Save did not return or because the disk lost each of its sectors that says
// otherwise. It is noticed only when the cursor was behind it already.
const (
	segmentPrefix = "spool."
	segmentSuffix = ".log"
	// newSuffix is on files that are being written.
	newSuffix    = ".new"
	segmentMagic = "auditing's spool 1\n"

	sectorSize = 512
	sectorHead = 4 + 4 + 4 + 4 + 2 + 2
	sectorData = sectorSize - sectorHead
	noRecord   = 0xFFFF
	lastSector = 0x8000

	// inGroup is what a record takes beside its value.
	inGroup = keySize + 4
)

// sector is one sector of a segment.
type sector struct {
	number, index, group uint32
	start                uint16
	last                 bool
	data                 []byte
}

func appendSector(b []byte, s sector) []byte {
	from := len(b)
	flags := uint16(len(s.data))
	if s.last {
		flags |= lastSector
	}
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, s.number)
	b = binary.BigEndian.AppendUint32(b, s.index)
	b = binary.BigEndian.AppendUint32(b, s.group)
	b = binary.BigEndian.AppendUint16(b, s.start)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = append(b, s.data...)
	var zeros [sectorData]byte
	b = append(b, zeros[len(s.data):]...)
	binary.BigEndian.PutUint32(b[from:], checksum(nil, b[from+4:]))
	return b
}

// parseSector returns the sector stored at an index, whose data are a part of b;
// written is false for one that never was.
func parseSector(b []byte, index uint32) (s sector, written bool, err error) {
	if [sectorSize]byte(b) == [sectorSize]byte{} {
		return s, false, nil
	}
	if binary.BigEndian.Uint32(b) != checksum(nil, b[4:]) {
		return s, false, errChecksum
	}
	flags := binary.BigEndian.Uint16(b[18:])
	s = sector{
		number: binary.BigEndian.Uint32(b[4:]), index: binary.BigEndian.Uint32(b[8:]), group: binary.BigEndian.Uint32(b[12:]),
		start: binary.BigEndian.Uint16(b[16:]), last: flags&lastSector != 0,
	}
	n := int(flags &^ lastSector)
	switch {
	case s.index != index:
		return s, false, fmt.Errorf("it says that it is sector %d", s.index)
	case n > sectorData:
		return s, false, fmt.Errorf("its length of %d is more than its room", n)
	case s.start != noRecord && int(s.start) >= n:
		return s, false, errors.New("its first record begins behind its end")
	}
	s.data = b[sectorHead : sectorHead+n]
	return s, true, nil
}

func errSector(index uint32, err error) error { return fmt.Errorf("sector %d: %w", index, err) }

// head is what a segment says of itself.
type head struct {
	number uint32
	first  uint64 // the sequence number of its first record
	size   uint32 // in sectors; 0 for a file that grows
}

func appendHead(b []byte, h head) []byte {
	data := binary.BigEndian.AppendUint64([]byte(segmentMagic), h.first)
	data = binary.BigEndian.AppendUint32(data, h.size)
	return appendSector(b, sector{number: h.number, start: noRecord, last: true, data: data})
}

// parseHead wants a first sector, and the size of its file.
func parseHead(b []byte, bytes int64) (head, error) {
	s, written, err := parseSector(b, 0)
	if err != nil || !written {
		return head{}, errSector(0, errors.Join(err, errors.New("the file does not begin as one of a spool")))
	}
	magic := len(segmentMagic)
	if len(s.data) != magic+12 || string(s.data[:magic]) != segmentMagic {
		return head{}, errSector(0, errors.New("it is of no known version: a newer one may have written it"))
	}
	h := head{number: s.number, first: binary.BigEndian.Uint64(s.data[magic:]), size: binary.BigEndian.Uint32(s.data[magic+8:])}
	if want := int64(h.size) * sectorSize; h.size > 0 && want != bytes {
		return h, fmt.Errorf("the file has %d bytes instead of %d: it was cut", bytes, want)
	}
	return h, nil
}

// sectorsOf is how many sectors the records take as a group.
func sectorsOf(records []record) int64 {
	n := int64(0)
	for i := range records {
		n += int64(inGroup + records[i].size())
	}
	return (n + sectorData - 1) / sectorData
}

// groupWriter turns records into the sectors of a group. Its buffers are used again.
type groupWriter struct{ data, sectors []byte }

// keptBuffer is how large a buffer is kept from one Save to the next.
const keptBuffer = 1 << 20

// write returns what to write from a sector on: the records as a group of a segment.
// With a head that comes first.
func (w *groupWriter) write(number, at uint32, h *head, records []record) []byte {
	if max(cap(w.data), cap(w.sectors)) > keptBuffer {
		*w = groupWriter{}
	}
	w.data, w.sectors = w.data[:0], w.sectors[:0]
	if h != nil {
		w.sectors = appendHead(w.sectors, *h)
	}
	s := sector{number: number, index: at, group: at}
	from := 0 // where in the data the next sector begins
	flush := func(n int) {
		s.data = w.data[from : from+n]
		w.sectors = appendSector(w.sectors, s)
		from, s.start = from+n, noRecord
		s.index++
	}
	for i := range records {
		r := &records[i]
		if len(w.data)-from == sectorData {
			flush(sectorData)
		}
		if s.start == noRecord {
			s.start = uint16(len(w.data) - from)
		}
		w.data = appendInGroup(w.data, r)
		for len(w.data)-from > sectorData {
			flush(sectorData)
		}
	}
	s.last = true
	flush(len(w.data) - from)
	return w.sectors
}

func appendInGroup(b []byte, r *record) []byte {
	b = binary.BigEndian.AppendUint64(b, r.seq)
	b = binary.BigEndian.AppendUint32(b, uint32(r.size()))
	return r.appendValue(b)
}

// parseGroup returns the records in the data of a whole group.
func parseGroup(data []byte) (records []record, err error) {
	for len(data) > 0 {
		r, n, err := parseInGroup(data)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, errors.New("its records do not end where it does")
		}
		records, data = append(records, r), data[n:]
	}
	return records, nil
}

// parseInGroup returns the record at the beginning of data, and how long it is; 0
// when it goes on behind their end.
func parseInGroup(data []byte) (r record, n int, err error) {
	if len(data) < inGroup {
		return r, 0, nil
	}
	size := binary.BigEndian.Uint32(data[keySize:])
	if int64(size) > int64(len(data)-inGroup) {
		return r, 0, nil
	}
	n = inGroup + int(size)
	if r, err = parseRecord(data[:keySize], data[inGroup:n]); err != nil {
		err = fmt.Errorf("record %x: %w", data[:keySize], err)
	}
	return r, n, err
}
