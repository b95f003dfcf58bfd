package spool

import (
	"fmt"

	"go.etcd.io/bbolt"
)

// change is what a commit writes beside what has become of events that were passed on.
type change struct {
	add   []record // at the end of what waits
	retry []record // set aside no longer
	move  bool     // what the journal holds, as adding and setting aside do
}

// commit changes the file and syncs it. It wants s.writer to be held and s.repair to
// have been called before the change was chosen. After an error nobody knows what
// is written.
func (s *Store) commit(ch change) error {
	s.mu.Lock()
	c := s.contents
	c.segments = append([]segment(nil), c.segments...)
	settled := s.settleable()
	s.mu.Unlock()

	before := c.filed
	plan := c.settle(settled, ch)
	if err := s.disk.db.Update(plan.write(before, &c, s.tune.segmentBytes)); err != nil {
		s.unsure = true
		return s.writeFailed(fmt.Errorf("auditing: writing to the spool: %w", err))
	}
	s.disk.keepSmall(plan.dropped)
	s.mu.Lock()
	for _, id := range plan.gone {
		delete(s.ids, id)
	}
	s.contents = c
	s.forget(len(settled))
	s.requeued = max(s.requeued, plan.requeued)
	s.added(ch.add)
	s.mu.Unlock()
	s.warnFilling()
	return nil
}

// writeFailed keeps anything more from being written, unless it is sure what was.
func (s *Store) writeFailed(err error) error {
	if !notWritten(err) {
		s.broken = fmt.Errorf("%w: look at the disk %s is on, then start again", err, s.dir)
	}
	return err
}

// added notes the records that are stored now. It wants s.mu to be held.
func (s *Store) added(add []record) {
	for i := range add {
		s.ids[add[i].id] = struct{}{}
	}
	s.changed.Broadcast()
}

// warnFilling logs when the bound has just come near.
func (s *Store) warnFilling() {
	s.mu.Lock()
	c := s.contents
	filling := s.filling(c.bytes, s.cfg.MaxBytes)
	s.mu.Unlock()
	if filling {
		s.logger().Warn("auditing: spool: it is filling up", "dir", s.dir, "bytes", c.bytes, "max_bytes", s.cfg.MaxBytes, "waiting", c.next-c.first, "set_aside", c.setAside)
	}
}

// append stores records at the end of what waits: in the journal while they fit
// there. It wants the same as commit.
func (s *Store) append(add []record) error {
	s.mu.Lock()
	c := s.contents
	s.mu.Unlock()
	for i := range add {
		add[i].seq = c.next
		c.next++
		c.bytes += add[i].cost()
	}
	if c.bytes > s.cfg.MaxBytes || !s.journal.fits(add) {
		// What was passed on has to make room, or what the journal holds.
		err := s.commit(change{add: add})
		if err == nil && (s.journal.uncertain || s.journal.end > s.journal.size/2) {
			s.rewind() // the events are stored: what is wrong with it concerns the next Save
		}
		return err
	}
	if err := s.journal.append(add); err != nil {
		return s.writeFailed(fmt.Errorf("auditing: writing to the spool's journal: %w", err))
	}
	c.tail = append(c.tail, add...)
	s.mu.Lock()
	s.contents = c
	s.settleTail()
	s.added(add)
	s.mu.Unlock()
	s.warnFilling()
	return nil
}

// rewind empties the journal. The file must have all that it holds.
func (s *Store) rewind() error {
	if err := s.journal.rewind(); err != nil {
		return s.writeFailed(fmt.Errorf("auditing: writing to the spool's journal: %w", err))
	}
	return nil
}

// empty moves all that the journal holds into the file.
func (s *Store) empty() error {
	if s.contents.filed != s.contents.state {
		if err := s.commit(change{move: true}); err != nil {
			return err
		}
	}
	if s.journal.uncertain || s.journal.end > 1 {
		return s.rewind()
	}
	return nil
}

// repair finds out whether a commit that failed took effect after all, and then
// reads the file anew.
func (s *Store) repair() error {
	if s.broken != nil || !s.unsure {
		return s.broken
	}
	var filed state
	err := s.view(func(_ *disk, tx *bbolt.Tx) (err error) {
		filed, err = readState(tx)
		return err
	})
	if err == nil && filed == s.contents.filed {
		s.unsure = false
		return nil
	}
	s.diskMu.Lock()
	defer s.diskMu.Unlock()
	if s.disk != nil {
		s.disk.close()
		s.disk = nil
	}
	c, err := check(s.path())
	if err != nil {
		return err
	}
	if s.disk, err = openDisk(s.path(), s.room()); err != nil {
		return err
	}
	s.unsure = false
	s.mu.Lock()
	defer s.mu.Unlock()
	c.keep(&s.contents)
	s.contents = *c
	s.resume(c.first)
	s.requeued = max(s.requeued, c.next) // what was may be among it
	s.changed.Broadcast()
	return nil
}
