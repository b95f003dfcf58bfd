package spool

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
)

// recordsOf makes records whose payloads have these lengths.
func recordsOf(first uint64, lengths ...int) []record {
	records := make([]record, len(lengths))
	for i, n := range lengths {
		records[i] = record{seq: first + uint64(i), time: int64(i), arrived: 1, payload: []byte(strings.Repeat("p", n))}
	}
	return records
}

func scanOf(image []byte, segment uint64) *scanner {
	n := uint32(len(image) / sectorSize)
	return &scanner{file: bytes.NewReader(image), segment: segment, next: segment, size: n, end: n, most: 3}
}

// TestGroupsOfEveryLength writes groups of records that end everywhere in a sector.
func TestGroupsOfEveryLength(t *testing.T) {
	const room = sectorData - recordHead
	for n := range 2 * sectorData {
		for _, lengths := range [][]int{{n}, {n, 0}, {0, n}, {room, n}, {n, room, n}} {
			records := recordsOf(7, lengths...)
			seg := &segment{first: 7, size: 16}
			image := make([]byte, 16*sectorSize)
			group := new(groupWriter).write(records, seg, 2)
			length := int64(0)
			for i := range records {
				length += records[i].cost()
			}
			if want := (length + sectorData - 1) / sectorData * sectorSize; int64(len(group)) != want {
				t.Fatalf("%v: a group of %d bytes, want %d", lengths, len(group), want)
			}
			copy(image[2*sectorSize:], group)
			s := scanOf(image, 7)
			s.seek(2)
			got, err := s.group()
			if err != nil || len(got) != len(records) {
				t.Fatalf("%v: %d records were read (%v)", lengths, len(got), err)
			}
			for i := range got {
				if !bytes.Equal(got[i].payload, records[i].payload) || got[i].seq != records[i].seq {
					t.Fatalf("%v: record %d is another one", lengths, i)
				}
			}
			if more, err := s.group(); len(more) > 0 || err != nil {
				t.Fatalf("%v: %d more records (%v)", lengths, len(more), err)
			}
			if torn, err := s.tail(); torn || err != nil {
				t.Fatalf("%v: torn %t (%v)", lengths, torn, err)
			}
		}
	}
}

// TestScannerNoticesEveryBit flips each bit of two groups.
func TestScannerNoticesEveryBit(t *testing.T) {
	seg := &segment{first: 1, size: 6}
	image := new(groupWriter).write(recordsOf(1, 100, 600), seg, 0)
	image = append(image, new(groupWriter).write(recordsOf(3, 10), seg, uint32(len(image)/sectorSize))...)
	image = append(image, make([]byte, int(seg.size)*sectorSize-len(image))...)
	for bit := range 8 * len(image) {
		image[bit/8] ^= 1 << (bit % 8)
		s := scanOf(image, 1)
		var err error
		for more := true; more && err == nil; {
			var records []record
			records, err = s.group()
			more = len(records) > 0
		}
		if err == nil {
			_, err = s.tail()
		}
		if err == nil {
			t.Fatalf("bit %d was flipped and nobody noticed", bit)
		}
		image[bit/8] ^= 1 << (bit % 8)
	}
}

// FuzzScanner gives the scanner any bytes, with checksums that match if fix is set.
func FuzzScanner(f *testing.F) {
	seg := &segment{first: 1, size: 5}
	image := new(groupWriter).write(recordsOf(1, 100, 600), seg, 0)
	image = append(image, new(groupWriter).write(recordsOf(3, 10), seg, uint32(len(image)/sectorSize))...)
	image = append(image, make([]byte, 2*sectorSize)...)
	for _, fix := range []bool{true, false} {
		f.Add(image, fix)
		f.Add(image[:2*sectorSize], fix)
		f.Add(bytes.Repeat([]byte{0xff}, sectorSize), fix)
	}
	f.Fuzz(func(t *testing.T, image []byte, fix bool) {
		image = bytes.Clone(image[:len(image)/sectorSize*sectorSize])
		for at := 0; fix && at < len(image); at += sectorSize {
			b := image[at : at+sectorSize]
			binary.BigEndian.PutUint32(b, checksum(b[4:]))
		}
		s := scanOf(image, 1)
		total := 0
		for {
			at := s.at
			records, err := s.group()
			if err != nil {
				return
			}
			if len(records) == 0 {
				break
			}
			size := int64(0)
			for i := range records {
				size += records[i].cost()
			}
			if total += int(size); size > int64(s.at-at)*sectorData {
				t.Fatalf("%d bytes of records from sector %d to %d", size, at, s.at)
			}
		}
		if s.tail(); total > len(image) {
			t.Fatalf("%d bytes of records in %d bytes", total, len(image))
		}
	})
}

// FuzzCursor: a cursor is read as it was written, or not at all.
func FuzzCursor(f *testing.F) {
	p := position{span{1, 2}, span{3, 1 << 60}}
	f.Add(p.image())
	f.Add([]byte{})
	f.Add([]byte(cursorMagic))
	f.Fuzz(func(t *testing.T, image []byte) {
		p, err := parsePosition(image)
		if err == nil && !bytes.Equal(p.image(), image) {
			t.Errorf("%q is read as %+v", image, p)
		}
	})
	for bit := range 8 * cursorSize {
		image := []byte(flip(string(p.image()), bit))
		if got, err := parsePosition(image); err == nil {
			f.Errorf("bit %d was flipped and read as %+v", bit, got)
		}
	}
	if got, err := parsePosition(p.image()); err != nil || !reflect.DeepEqual(got, p) {
		f.Errorf("%+v is read as %+v (%v)", p, got, err)
	}
}
