package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
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
	var zeros [sectorData]byte
	b = append(b, zeros[len(s.data):]...)
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
	case n > sectorData:
		return s, false, fmt.Errorf("its length of %d is more than its room", n)
	case s.start != noRecord && int(s.start) >= n:
		return s, false, errors.New("its first record begins behind its end")
	}
	s.data = b[sectorHead : sectorHead+n]
	return s, true, nil
}

// sectorsOf is how many sectors the records take as a group.
func sectorsOf(records []record) int64 {
	n := int64(0)
	for i := range records {
		n += records[i].cost()
	}
	return (n + sectorData - 1) / sectorData
}

// groupWriter turns records into the sectors of a group. Its buffers are used again.
type groupWriter struct{ data, image []byte }

// keptBuffer is how large a buffer is kept from one Save to the next.
const keptBuffer = 1 << 20

// write returns the records as a group of a segment, to be written from a sector on.
func (w *groupWriter) write(seg *segment, at uint32, records []record) []byte {
	if cap(w.image) > keptBuffer {
		*w = groupWriter{}
	}
	w.data, w.image = w.data[:0], w.image[:0]
	s := sector{segment: seg.first, size: seg.size, index: at, group: at, start: noRecord}
	for i := range records {
		if s.start == noRecord {
			s.start = uint16(len(w.data))
		}
		w.data = records[i].append(w.data)
		s.last = i == len(records)-1
		w.cut(&s)
	}
	return w.image
}

// cut makes sectors of the data, but not of a rest that does not fill one unless the
// group ends with it.
func (w *groupWriter) cut(s *sector) {
	rest, ends := w.data, s.last
	for len(rest) >= sectorData || ends && len(rest) > 0 {
		n := min(len(rest), sectorData)
		s.data, rest = rest[:n], rest[n:]
		s.last = ends && len(rest) == 0
		w.image = appendSector(w.image, *s)
		s.start = noRecord
		s.index++
	}
	w.data = w.data[:copy(w.data, rest)]
}
