package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// The journal is where a Save puts its events: it is written from its beginning to
// its end and synced once a Save, while a commit of bbolt's is two syncs. When it is
// full, what still waits moves into the file, and it begins anew. It keeps its size.
//
// It consists of sectors, which a disk writes as a whole or not at all:
//
//	CRC-32C of all that follows                         4 bytes
//	epoch: how often the journal was begun              4
//	index of the sector                                 4
//	group: index of the first sector of the same Save   4
//	offset in the data at which a record begins first   2   (noRecord if none does)
//	length of the data, and lastSector on the last one  2
//	data                                              492
//
// with all integers big-endian. So each can be told apart from one that was never
// written, which has an earlier epoch or is all zeros, and from one that was damaged,
// whose checksum is wrong. The data of a group are its records: key, the value's
// length in four bytes, value. The first sector belongs to the journal itself.
const (
	journalName  = "spool.journal"
	journalMagic = "auditing's spool\n"

	sectorSize = 512
	sectorHead = 4 + 4 + 4 + 4 + 2 + 2
	sectorData = sectorSize - sectorHead
	noRecord   = 0xFFFF
	lastSector = 0x8000

	// inGroup is what a record takes beside its value.
	inGroup = keySize + 4
	// keptBuffer is how large a buffer is kept from one Save to the next.
	keptBuffer = 1 << 20
)

// journal is the open journal. Only the holder of Store.writer uses it.
type journal struct {
	file  *os.File
	epoch uint32
	size  uint32 // in sectors
	end   uint32 // where the next group begins
	// uncertain means that nothing may be appended before it begins anew: nobody knows
	// what is at end, or which number has to come there.
	uncertain bool

	data, sectors []byte // reused
}

// createJournal makes an empty journal in dir, which gets its name when it is complete.
func createJournal(dir string, bytes int64) error {
	path := filepath.Join(dir, journalName)
	f, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	j := &journal{file: f, size: uint32(max(bytes/sectorSize, 2))}
	zeros := make([]byte, j.size*sectorSize)
	_, err = f.WriteAt(zeros, 0) // so that a Save has no room to ask the file system for
	if err == nil {
		err = j.rewind() // which syncs the zeros, too
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	return err
}

// length is how many bytes the records take in a group.
func length(records []record) (n int) {
	for i := range records {
		n += inGroup + headSize + len(records[i].payload)
	}
	return n
}

// fits reports whether the records, all of which wait, can be appended. Many at once
// had better be written where they stay.
func (j *journal) fits(records []record) bool {
	n := (length(records) + sectorData - 1) / sectorData
	return !j.uncertain && n <= int(j.size-j.end) && n <= int(j.size/4)
}

// append writes the records as a group and syncs it. They must fit.
func (j *journal) append(records []record) error {
	j.data = j.data[:0]
	j.sectors = j.sectors[:0]
	group, index := j.end, j.end
	from, starts := 0, uint16(0) // the next sector, and where in it a record begins
	flush := func(n int, flags uint16) {
		j.sectors = appendSector(j.sectors, sector{epoch: j.epoch, index: index, group: group, start: starts, flags: flags, data: j.data[from : from+n]})
		from, starts = from+n, noRecord
		index++
	}
	for i := range records {
		r := &records[i]
		if len(j.data)-from == sectorData {
			flush(sectorData, 0)
		}
		if starts == noRecord {
			starts = uint16(len(j.data) - from)
		}
		j.data = append(j.data, keyOf(r.seq)...)
		j.data = binary.BigEndian.AppendUint32(j.data, uint32(headSize+len(r.payload)))
		j.data = r.appendValue(j.data)
		for len(j.data)-from > sectorData {
			flush(sectorData, 0)
		}
	}
	flush(len(j.data)-from, lastSector)
	j.uncertain = true
	if _, err := j.file.WriteAt(j.sectors, int64(group)*sectorSize); err != nil {
		return err
	}
	if err := syncData(j.file); err != nil {
		return err
	}
	j.uncertain = false
	j.end = index
	if max(cap(j.data), cap(j.sectors)) > keptBuffer {
		j.data, j.sectors = nil, nil
	}
	return nil
}

// rewind makes the journal empty: all that was written before is of an earlier epoch.
func (j *journal) rewind() error {
	j.uncertain = true
	data := binary.BigEndian.AppendUint32([]byte(journalMagic), j.size)
	head := appendSector(nil, sector{epoch: j.epoch + 1, start: noRecord, flags: lastSector, data: data})
	if _, err := j.file.WriteAt(head, 0); err != nil {
		return err
	}
	if err := syncData(j.file); err != nil {
		return err
	}
	j.epoch++
	j.end, j.uncertain = 1, false
	return nil
}

// sector is one sector of the journal.
type sector struct {
	epoch, index, group uint32
	start, flags        uint16
	data                []byte
}

func appendSector(b []byte, s sector) []byte {
	from := len(b)
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, s.epoch)
	b = binary.BigEndian.AppendUint32(b, s.index)
	b = binary.BigEndian.AppendUint32(b, s.group)
	b = binary.BigEndian.AppendUint16(b, s.start)
	b = binary.BigEndian.AppendUint16(b, s.flags|uint16(len(s.data)))
	b = append(b, s.data...)
	b = append(b, make([]byte, sectorSize-(len(b)-from))...)
	binary.BigEndian.PutUint32(b[from:], checksum(nil, b[from+4:]))
	return b
}

// parseSector returns the sector stored at an index; written is false for one that
// never was.
func parseSector(b []byte, index uint32) (s sector, written bool, err error) {
	if [sectorSize]byte(b) == [sectorSize]byte{} {
		return s, false, nil
	}
	if binary.BigEndian.Uint32(b) != checksum(nil, b[4:]) {
		return s, false, errChecksum
	}
	s = sector{
		epoch: binary.BigEndian.Uint32(b[4:]), index: binary.BigEndian.Uint32(b[8:]), group: binary.BigEndian.Uint32(b[12:]),
		start: binary.BigEndian.Uint16(b[16:]), flags: binary.BigEndian.Uint16(b[18:]) & lastSector,
	}
	n := int(binary.BigEndian.Uint16(b[18:]) &^ lastSector)
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
