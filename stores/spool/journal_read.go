package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// openJournal opens the journal in dir and returns the records in it. It finds every
// sector sound or says what is wrong; of a group whose Save did not return, as it is
// not there in full, it returns nothing. It changes nothing.
func openJournal(dir string) (*journal, []record, error) {
	path := filepath.Join(dir, journalName)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, damaged(path, errors.New("the file is missing"))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("auditing: opening the spool's journal: %w", err)
	}
	j := &journal{file: f}
	image, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<40))
	var records []record
	if err == nil {
		records, err = j.read(image)
	}
	if err != nil {
		f.Close()
		return nil, nil, damaged(path, err)
	}
	return j, records, nil
}

// isNew reports whether the journal in dir is as it was made.
func isNew(dir string) bool {
	j, _, err := openJournal(dir)
	if err != nil {
		return false
	}
	defer j.file.Close()
	return j.epoch == 1 && j.end == 1 && !j.uncertain
}

// read returns what a whole journal holds.
func (j *journal) read(image []byte) ([]record, error) {
	if err := j.readHead(image); err != nil {
		return nil, err
	}
	var records []record
	var data []byte
	group, at := uint32(1), uint32(1) // group is the first sector of what data belongs to
	for ; at < j.size; at++ {
		s, written, err := j.sector(image, at)
		if err != nil {
			return nil, err
		}
		if !written {
			break
		}
		if s.group != group {
			return nil, errSector(at, fmt.Errorf("it belongs to what begins at sector %d, not %d", s.group, group))
		}
		data = append(data, s.data...)
		if s.flags&lastSector == 0 {
			continue
		}
		if records, err = parseGroup(records, data); err != nil {
			return nil, errSector(group, err)
		}
		data, group = nil, at+1
	}
	// What is missing was never acknowledged, for nothing was begun after it.
	j.end, j.uncertain = at, at > group
	for at++; at < j.size; at++ {
		s, written, err := j.sector(image, at)
		if err != nil {
			return nil, err
		}
		if !written {
			continue
		}
		if j.uncertain = true; s.group != group {
			return nil, errSector(j.end, errors.New("it is gone, although others were written after it"))
		}
	}
	return records, nil
}

func errSector(index uint32, err error) error { return fmt.Errorf("sector %d: %w", index, err) }

func (j *journal) readHead(image []byte) error {
	if len(image) < sectorSize {
		return fmt.Errorf("the file has only %d bytes: it was cut", len(image))
	}
	head, written, err := parseSector(image[:sectorSize], 0)
	if err != nil || !written {
		return errSector(0, errors.Join(err, errors.New("the journal does not begin as one")))
	}
	size, ok := bytes.CutPrefix(head.data, []byte(journalMagic))
	if !ok || len(size) != 4 {
		return errSector(0, errors.New("it is of no known version: a newer one may have written it"))
	}
	j.epoch, j.size = head.epoch, binary.BigEndian.Uint32(size)
	if want := int64(j.size) * sectorSize; want != int64(len(image)) {
		return fmt.Errorf("the file has %d bytes instead of %d: it was cut", len(image), want)
	}
	return nil
}

// sector returns one sector; those of earlier epochs count as never written.
func (j *journal) sector(image []byte, index uint32) (sector, bool, error) {
	s, written, err := parseSector(image[int64(index)*sectorSize:][:sectorSize], index)
	if err == nil && written && s.epoch > j.epoch {
		err = errors.New("it was written after the journal was begun anew, of which the first sector knows nothing")
	}
	if err != nil {
		return s, false, errSector(index, err)
	}
	return s, written && s.epoch == j.epoch, nil
}

var errGroup = errors.New("its records do not end where it does")

// parseGroup appends the records in the data of a whole group.
func parseGroup(records []record, data []byte) ([]record, error) {
	for len(data) > 0 {
		r, n, err := parseInGroup(data)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, errGroup
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
	r, err = parseRecord(data[:keySize], data[inGroup:n])
	if err == nil && r.kind != kindWaiting {
		err = errors.New("it is in a place where none should be")
	}
	if err != nil {
		err = fmt.Errorf("record %x: %w", data[:keySize], err)
	}
	return r, n, err
}
