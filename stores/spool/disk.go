package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"github.com/google/uuid"
)

const (
	fileName = "spool.db"
	// newName is a file that is being written; it gets fileName when it is complete.
	newName = "spool.db.new"
)

// disk is the spool's file: bbolt writes it, reading goes around the mapping.
type disk struct {
	path string
	db   *bbolt.DB
	file *os.File // for reading

	dropped int64 // since the memory of the mapping was given back
}

// allocBytes is the step in which the file grows, each of which costs a sync.
const allocBytes = 4 << 20

// openDisk opens a file that was found sound, or a new one. Every commit is synced.
// room is how much address space the mapping takes from the start, because bbolt
// has to wait for those who read before it can extend it.
func openDisk(path string, room int64) (*disk, error) {
	if ^uint(0)>>32 == 0 || runtime.GOOS == "windows" {
		room = 0 // too dear: there is little of it, or the file would be as long
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, PageSize: pageSize, InitialMmapSize: int(room), NoStatistics: true})
	if err != nil {
		return nil, fmt.Errorf("auditing: opening the spool %s: %w", path, err)
	}
	db.AllocSize = allocBytes
	file, err := os.Open(path)
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("auditing: opening the spool: %w", err)
	}
	return &disk{path: path, db: db, file: file}, nil
}

func (d *disk) close() error { return errors.Join(d.file.Close(), d.db.Close()) }

// keepSmall gives back the memory of the mapping from time to time: dropping a
// segment touches each of its pages. It is for whoever may write.
func (d *disk) keepSmall(dropped int64) {
	const enough = 4 << 20
	if d.dropped += dropped; d.dropped >= enough {
		d.dropped = 0
		dropResident(d.db.Info().Data, d.size()&^(pageSize-1))
	}
}

// size is the length of the file.
func (d *disk) size() int64 {
	info, err := d.file.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// bucket visits the records of a bucket from a sequence number on, with their
// checksums proved. f may return errStop.
func (d *disk) bucket(tx *bbolt.Tx, name []byte, from uint64, f func(record) error) error {
	b := tx.Bucket(name)
	if b == nil {
		return nil
	}
	visit := func(_ uint32, key, value []byte) error {
		r, err := parseRecord(key, value)
		if err != nil {
			return damaged(d.path, fmt.Errorf("record %x: %w", key, err))
		}
		return f(r)
	}
	var err error
	if root := uint64(b.Root()); root != 0 {
		p := pager{file: d.file, pages: uint64(tx.Size()) / pageSize}
		err = p.walk(root, keyOf(from), visit)
	} else {
		c := b.Cursor()
		for key, value := c.Seek(keyOf(from)); key != nil && err == nil; key, value = c.Next() {
			err = visit(0, key, bytes.Clone(value))
		}
	}
	if errors.Is(err, errStop) {
		return nil
	}
	if err != nil && !errors.Is(err, ErrDamaged) {
		return damaged(d.path, err)
	}
	return err
}

// put stores what waits at the end of segments and returns them as they are then.
func put(tx *bbolt.Tx, segments []segment, segmentBytes int64, records []record) ([]segment, error) {
	var b *bbolt.Bucket
	for i := range records {
		r := &records[i]
		if n := len(segments); n == 0 || segments[n-1].bytes >= segmentBytes {
			segments = append(segments, segment{first: r.seq})
			b = nil
		}
		last := &segments[len(segments)-1]
		if b == nil {
			var err error
			if b, err = tx.CreateBucketIfNotExists(segmentName(last.first)); err != nil {
				return nil, err
			}
			b.FillPercent = 1 // only its end grows
		}
		if err := b.Put(keyOf(r.seq), r.value()); err != nil {
			return nil, err
		}
		last.bytes += r.cost()
	}
	return segments, nil
}

func putState(tx *bbolt.Tx, s state) error {
	b, err := tx.CreateBucketIfNotExists(stateBucket)
	if err != nil {
		return err
	}
	return b.Put(stateKey, s.value())
}

func readState(tx *bbolt.Tx) (state, error) {
	b := tx.Bucket(stateBucket)
	if b == nil {
		return state{}, errors.New("the record of its state is missing")
	}
	s, err := parseState(b.Get(stateKey))
	if err != nil {
		err = fmt.Errorf("the record of its state: %w", err)
	}
	return s, err
}

// writeTogether is how much one transaction takes when a whole file is written.
const writeTogether = 4 << 20

// writeFile writes a complete spool into dir and gives it its name last, so that
// there is never half of one. s is its state; what waits comes in order, without a gap.
func writeFile(dir string, s state, segmentBytes int64, setAside, waiting iter.Seq2[record, error]) (*contents, error) {
	path := filepath.Join(dir, newName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	d, err := openDisk(path, 0)
	if err != nil {
		return nil, err
	}
	c := &contents{state: s, filed: s, ids: map[uuid.UUID]struct{}{}}
	if err := errors.Join(c.fill(d, segmentBytes, setAside, waiting), d.close()); err != nil {
		os.Remove(path)
		return nil, err
	}
	if err := os.Rename(path, filepath.Join(dir, fileName)); err != nil {
		return nil, err
	}
	return c, syncDir(dir)
}

// fill writes the records in several transactions, and with the last one the state.
func (c *contents) fill(d *disk, segmentBytes int64, setAside, waiting iter.Seq2[record, error]) error {
	var together []record
	var size int64
	flush := func(write func(tx *bbolt.Tx) error) error {
		defer func() { together, size = nil, 0 }()
		return d.db.Update(write)
	}
	each := func(records iter.Seq2[record, error], write func(tx *bbolt.Tx) error) error {
		for r, err := range records {
			if err != nil {
				return err
			}
			together = append(together, r)
			size += r.cost()
			c.ids[r.id] = struct{}{}
			c.bytes += r.cost()
			if size >= writeTogether {
				if err := flush(write); err != nil {
					return err
				}
			}
		}
		return flush(write)
	}
	err := each(setAside, func(tx *bbolt.Tx) error { return putAside(tx, together) })
	if err == nil {
		err = each(waiting, func(tx *bbolt.Tx) (err error) {
			c.segments, err = put(tx, c.segments, segmentBytes, together)
			return err
		})
	}
	if err == nil {
		err = flush(func(tx *bbolt.Tx) error { return putState(tx, c.state) })
	}
	return err
}

// putAside stores records that are set aside and removes others from them.
func putAside(tx *bbolt.Tx, records []record, remove ...uint64) error {
	b, err := tx.CreateBucketIfNotExists(setAsideBucket)
	if err != nil {
		return err
	}
	for i := range records {
		if err := b.Put(keyOf(records[i].seq), records[i].value()); err != nil {
			return err
		}
	}
	for _, seq := range remove {
		if err := b.Delete(keyOf(seq)); err != nil {
			return err
		}
	}
	return nil
}

// nothing is no records.
func nothing(func(record, error) bool) {}

// syncDir makes a new name in dir durable.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // a directory cannot be synced there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// notWritten reports that a commit failed for want of space, before anything was
// synced: after making room it can be tried again. After any other failure the
// system may have dropped what it could not write, and nobody can trust the file
// as this process sees it.
func notWritten(err error) bool {
	if errors.Is(err, errDiverged) {
		return true
	}
	var path *fs.PathError
	if errors.As(err, &path) && path.Op == "write" {
		return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
	}
	// bbolt keeps only the texts of these.
	text := err.Error()
	return strings.Contains(text, "file resize error") || strings.Contains(text, "mmap allocate error")
}
