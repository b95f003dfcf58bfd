package spool

import (
	"errors"
	"runtime"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"
)

// plan is what one transaction changes.
type plan struct {
	drop []segment // from the front
	// dropped is how many bytes drop has.
	dropped int64
	aside   []record    // set aside
	back    []uint64    // set aside no longer
	add     []record    // at the end of what waits
	gone    []uuid.UUID // in the spool no longer
	// requeued is behind the last that was put at the end again.
	requeued uint64
}

// settle takes what was passed on off the front and numbers what is added and what
// is to be tried again. It changes c, except for its ids and for the segments that
// are added to.
func (c *contents) settle(settled []*batch, ch change) *plan {
	p := &plan{}
	var again []record
	for _, b := range settled {
		c.first = b.to
		c.bytes -= b.bytes
		p.gone = append(p.gone, b.stored...)
		p.aside = append(p.aside, b.refused...)
		again = append(again, b.again...)
	}
	c.trim()
	for i := range p.aside {
		c.bytes += p.aside[i].cost()
	}
	c.setAside += uint64(len(p.aside))
	for {
		last := len(c.segments) == 1 && c.first >= c.filed.next
		if !last && (len(c.segments) < 2 || c.segments[1].first > c.first) {
			break
		}
		p.drop = append(p.drop, c.segments[0])
		p.dropped += c.segments[0].bytes
		c.segments = c.segments[1:]
	}
	for _, r := range ch.retry {
		p.back = append(p.back, r.seq)
		c.bytes -= r.cost()
		r.kind, r.setAt, r.reason = kindWaiting, 0, ""
		again = append(again, r)
	}
	c.setAside -= uint64(len(ch.retry))
	if ch.move || len(ch.add)+len(again)+len(p.aside) > 0 {
		p.add = slices.Concat(c.tail, again, ch.add)
		for i := range p.add[len(c.tail):] {
			r := &p.add[len(c.tail)+i]
			r.seq = c.next
			c.next++
			c.bytes += r.cost()
			if i < len(again) {
				p.requeued = c.next
			}
		}
		c.tail, c.filed.next = nil, c.next
	}
	c.filed.first, c.filed.setAside = min(c.first, c.filed.next), c.setAside
	return p
}

// errDiverged means that the file is not as the last commit left it.
var errDiverged = errors.New("the file is not as it was left")

// write returns the transaction that makes before into c. It completes c's segments.
func (p *plan) write(before state, c *contents, segmentBytes int64) func(tx *bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		if now, err := readState(tx); err != nil || now != before {
			return errors.Join(errDiverged, err)
		}
		for _, seg := range p.drop {
			if err := tx.DeleteBucket(segmentName(seg.first)); err != nil {
				return err
			}
		}
		if len(p.aside) > 0 || len(p.back) > 0 {
			if err := putAside(tx, p.aside, p.back...); err != nil {
				return err
			}
		}
		var err error
		if c.segments, err = put(tx, slices.Clip(c.segments), segmentBytes, p.add); err != nil {
			return err
		}
		return putState(tx, c.filed)
	}
}

// settle commits what has become of events that were passed on, unless a Save has
// done it already, and makes the file smaller when it is large and nearly empty.
func (s *Store) settle() {
	if s.acquire(s.base) != nil {
		return
	}
	defer s.release()
	s.settleHeld()
}

// settleLater has it done after a while. It wants s.mu to be held.
func (s *Store) settleLater(after time.Duration) {
	if s.timer != nil || s.stopped {
		return
	}
	s.timer = time.AfterFunc(after, func() {
		s.mu.Lock()
		s.timer = nil
		s.mu.Unlock()
		s.settle()
	})
}

func (s *Store) settleHeld() {
	if s.disk == nil && !s.unsure {
		return
	}
	err := s.repair()
	s.mu.Lock()
	s.settleTail()
	n := len(s.settleable())
	s.mu.Unlock()
	if n == 0 {
		return
	}
	if err == nil {
		err = s.commit(change{})
	}
	if err == nil {
		err = s.compact()
	}
	if err != nil {
		s.logger().Error("auditing: spool: what was passed on stays in it for now", "dir", s.dir, "error", err)
		if s.broken == nil { // there was no space, say: nobody might come who saves
			s.mu.Lock()
			s.settleLater(s.tune.maxBackoff)
			s.mu.Unlock()
		}
	}
}

// compact writes a new file without the empty room of the old one, when that is
// large and hardly any of it is used. It wants s.writer to be held.
func (s *Store) compact() error {
	size := s.disk.size()
	s.mu.Lock()
	c := s.contents
	s.mu.Unlock()
	if size <= s.tune.compactAbove || c.bytes > size/32 || runtime.GOOS == "windows" { // which cannot rename an open file
		return nil
	}
	// Nobody who writes should wait for a long Read: the next commit tries again.
	if !s.diskMu.TryLock() {
		return nil
	}
	defer s.diskMu.Unlock()
	old := s.disk
	var written *contents
	err := old.db.View(func(tx *bbolt.Tx) (err error) {
		aside := func(yield func(record, error) bool) { old.each(tx, setAsideBucket, 0, yield) }
		waiting := func(yield func(record, error) bool) {
			for _, seg := range c.segments {
				if !old.each(tx, segmentName(seg.first), c.filed.first, yield) {
					return
				}
			}
		}
		written, err = writeFile(s.dir, c.filed, s.tune.segmentBytes, aside, waiting)
		return err
	})
	if err != nil {
		return err
	}
	if s.disk, err = openDisk(s.path(), s.room()); err != nil {
		// The old file has lost its name: what were written to it would be lost.
		s.broken = err
		old.close()
		return err
	}
	s.mu.Lock()
	s.contents.segments = written.segments
	s.mu.Unlock()
	return old.close()
}

// each yields the records of a bucket, and reports whether more are wanted.
func (d *disk) each(tx *bbolt.Tx, name []byte, from uint64, yield func(record, error) bool) bool {
	more := true
	err := d.bucket(tx, name, from, func(r record) error {
		if more = yield(r, nil); !more {
			return errStop
		}
		return nil
	})
	if err != nil {
		return yield(record{}, err) && false
	}
	return more
}
