package spool

import (
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
)

// replay takes over what the journal holds and the file does not: its records.
func (c *contents) replay(j *journal, records []record) error {
	raw := c.next
	for _, r := range records {
		if r.seq < c.filed.next {
			continue
		}
		if r.seq != raw {
			return fmt.Errorf("record %d comes where %d was expected", r.seq, raw)
		}
		raw++
		if _, twice := c.ids[r.id]; twice {
			// Of a Save that failed and was tried again, or of an event that was passed
			// on before: what comes next cannot have the number that the journal expects.
			j.uncertain = true
			continue
		}
		r.seq = c.next
		c.next++
		c.bytes += r.cost()
		c.ids[r.id] = struct{}{}
		c.tail = append(c.tail, r)
	}
	return nil
}

// keep takes over what old has in memory only, when c was read from the file.
func (c *contents) keep(old *contents) {
	from := old.next
	if len(old.tail) > 0 {
		from = old.tail[0].seq
	}
	if c.next < from {
		c.first, c.next = from, from // what was between is passed on
	}
	c.tail = slices.Clone(since(old.tail, c.next))
	for i := range c.tail {
		c.next++
		c.bytes += c.tail[i].cost()
		c.ids[c.tail[i].id] = struct{}{}
	}
}

// since returns those of records, whose numbers follow one another, from a sequence
// number on.
func since(records []record, seq uint64) []record {
	if len(records) == 0 || seq <= records[0].seq {
		return records
	}
	return records[min(seq-records[0].seq, uint64(len(records))):]
}

// trim drops what was passed on from the tail.
func (c *contents) trim() {
	if c.tail = since(c.tail, c.first); len(c.tail) == 0 {
		c.tail = nil // and with it what was before
	}
}

// tailFrom returns what waits from a sequence number on; nothing when that is still
// in the file.
func (s *Store) tailFrom(seq uint64) []record {
	tail := s.wholeTail()
	if len(tail) == 0 || seq < tail[0].seq {
		return nil
	}
	return since(tail, seq)
}

// waiting visits the records that wait, from a sequence number on: from memory those
// that only the journal holds, or those in the file. f may return errStop.
func (s *Store) waiting(from uint64, f func(record) error) error {
	tail := s.tailFrom(from)
	if len(tail) == 0 {
		return s.view(func(d *disk, tx *bbolt.Tx) error { return d.waiting(tx, from, f) })
	}
	for i := range tail {
		if err := f(tail[i]); errors.Is(err, errStop) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// wholeTail returns what waits and only the journal holds.
func (s *Store) wholeTail() []record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clip(s.tail)
}

// settleTail forgets what was passed on and only the journal holds: after a crash it
// is passed on once more. It wants s.writer and s.mu to be held.
func (s *Store) settleTail() {
	n := 0
	for _, b := range s.settleable() {
		if b.from < s.filed.next || len(b.refused)+len(b.again) > 0 {
			break
		}
		s.first = b.to
		s.contents.bytes -= b.bytes
		for _, id := range b.stored {
			delete(s.ids, id)
		}
		n++
	}
	if n == 0 {
		return
	}
	s.trim()
	s.forget(n)
	s.changed.Broadcast()
}
