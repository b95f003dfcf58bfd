package spool

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"

	"github.com/auditing-go/auditing/core"
)

const (
	// inFlight is how many batches the next store is given at a time.
	inFlight = 2
	// drainers is how many goroutines pass events on: one more, which reads and
	// parses what comes next meanwhile.
	drainers = inFlight + 1
	// maxWindow is how many batches may be ahead of the first that is not settled.
	maxWindow = 8
	// fewEvents is how large a batch is at most that steps aside when it fails alone.
	fewEvents = 100
)

// batch is what one Save of the next store is given: the events from-to, without
// to. Once it is done nobody changes it.
type batch struct {
	from, to uint64
	bytes    int64 // in the spool
	oldest   int64 // when its first event arrived, µs since 1970
	records  []record
	events   []core.Event

	done    bool
	stored  []uuid.UUID
	refused []record // to be set aside
	again   []record // to be put behind all others
}

// leaves is what of the batch stays in the spool once it is settled, in bytes.
func (b *batch) leaves() (n int64) {
	for i := range b.refused {
		n += b.refused[i].cost()
	}
	for i := range b.again {
		n += b.again[i].cost()
	}
	return n
}

// draining is what the goroutines that pass events on share; Store.mu guards it.
type draining struct {
	cursor   uint64   // the first that was not handed out
	claiming bool     // somebody is reading what comes next
	window   []*batch // handed out and not settled, in order
	done     int      // events of the window that only have to be settled

	requeued  uint64 // behind the last that was put at the end again
	outage    error  // why the next store takes nothing; nil while it does
	since     time.Time
	failures  int // in a row
	successes uint64
	kick      chan struct{} // closed to end a pause early
	flushing  int           // Flush and Close wait: settle at once
	timer     *time.Timer   // settles a little later
}

func (d *draining) init(first uint64) { d.cursor, d.kick = first, make(chan struct{}) }

// resume forgets the batches that turn out to be settled.
func (d *draining) resume(first uint64) {
	for len(d.window) > 0 && d.window[0].to <= first {
		d.forget(1)
	}
}

// settleable returns the batches at the front of the window that are done.
func (d *draining) settleable() []*batch {
	n := 0
	for n < len(d.window) && d.window[n].done {
		n++
	}
	return d.window[:n:n]
}

// forget drops n settled batches.
func (d *draining) forget(n int) {
	for _, b := range d.window[:n] {
		if b.done {
			d.done -= int(b.to - b.from)
		}
	}
	d.window = append([]*batch(nil), d.window[n:]...)
}

// drain passes events on until the spool is stopped.
func (s *Store) drain() {
	for {
		b, err := s.claim()
		if err != nil {
			s.pause(s.unreachable(err))
			continue
		}
		if b == nil || !s.deliver(b) {
			return
		}
		s.finish(b)
	}
}

// claim waits for events and takes the next batch of them; nil when the spool stops.
func (s *Store) claim() (*batch, error) {
	s.mu.Lock()
	for !s.stopped && (s.claiming || s.cursor == s.contents.next || len(s.window) >= maxWindow) {
		s.changed.Wait()
	}
	if s.stopped {
		s.mu.Unlock()
		return nil, nil
	}
	s.claiming = true
	b := &batch{from: s.cursor, to: s.cursor}
	end := s.contents.next // what the file holds from there on is not known to be acknowledged
	b.records = make([]record, 0, min(end-s.cursor, uint64(s.tune.batchEvents)))
	s.mu.Unlock()

	err := s.fill(b, end)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.claiming = false
	s.changed.Broadcast()
	if err != nil {
		return nil, err
	}
	s.cursor = b.to
	s.window = append(s.window, b)
	return b, nil
}

// fill reads a batch that ends before end at the latest.
func (s *Store) fill(b *batch, end uint64) error {
	err := s.waiting(b.from, func(r record) error {
		if b.to == end {
			return errStop
		}
		if r.seq != b.to {
			return damaged(s.path(), fmt.Errorf("record %d comes where %d was expected", r.seq, b.to))
		}
		if b.to == b.from {
			b.oldest = r.arrived
		}
		b.to++
		b.bytes += r.cost()
		b.records = append(b.records, r)
		if len(b.records) >= s.tune.batchEvents || b.bytes >= s.tune.batchBytes {
			return errStop
		}
		return nil
	})
	if err == nil && len(b.records) == 0 {
		err = damaged(s.path(), fmt.Errorf("record %d is missing", b.from))
	}
	return err
}

// deliver gives the batch to the next store until something has become of each of
// its events. It reports false when the spool stops first.
func (s *Store) deliver(b *batch) bool {
	b.events = make([]core.Event, 0, len(b.records))
	keep := b.records[:0]
	for _, r := range b.records {
		e, err := r.event()
		if err != nil {
			b.refuse(r, err)
			continue
		}
		keep, b.events = append(keep, r), append(b.events, e)
	}
	b.records = keep
	for attempts := 1; len(b.events) > 0; attempts++ {
		seen := s.successCount()
		err := s.callNext(b.events)
		failed := b.sort(err)
		if len(failed) < len(b.events) || err == nil {
			s.reachable()
			if b.again = failed; len(failed) > 0 {
				return s.pause(1)
			}
			break
		}
		if !s.pause(s.unreachable(err)) {
			return false
		}
		if s.stepsAside(b, attempts, seen) {
			b.again = failed
			break
		}
	}
	return true
}

// sort notes which events of the batch are stored and which refused for good, and
// returns the others. When that is all of them the batch is as it was.
func (b *batch) sort(err error) (failed []record) {
	if err == nil {
		b.stored = make([]uuid.UUID, len(b.records))
		for i := range b.records {
			b.stored[i] = b.records[i].id
		}
		return nil
	}
	var failures *core.BatchError
	if !errors.As(err, &failures) || failures == nil {
		return b.records
	}
	verdict := make([]*core.Failure, len(b.records))
	for i := range failures.Failures {
		f := &failures.Failures[i]
		if f.Index < 0 || f.Index >= len(verdict) {
			return b.records // nothing such an answer says can be relied on
		}
		verdict[f.Index] = f
	}
	for i, f := range verdict {
		if f != nil && !f.Refused() {
			failed = append(failed, b.records[i])
		}
	}
	if len(failed) == len(b.records) {
		return failed
	}
	for i, f := range verdict {
		switch {
		case f == nil:
			b.stored = append(b.stored, b.records[i].id)
		case f.Refused():
			b.refuse(b.records[i], f.Err)
		}
	}
	return failed
}

// refuse has an event set aside.
func (b *batch) refuse(r record, why error) {
	r.kind, r.setAt, r.reason = kindSetAside, time.Now().UnixMicro(), "the store gave no reason"
	if why != nil {
		r.reason = why.Error()
		r.reason = strings.ToValidUTF8(r.reason[:min(len(r.reason), maxReason)], "")
	}
	b.refused = append(b.refused, r)
}

// stepsAside reports whether a batch that failed as a whole should be tried again
// behind all others, because it seems to be the batch and not the store.
func (s *Store) stepsAside(b *batch, attempts int, seen uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	behind := s.contents.next > b.to
	return s.successes != seen || behind && attempts >= 3 && len(b.events) <= fewEvents
}

// callNext is Save of the next store, bounded in time, with a panic turned into an error.
func (s *Store) callNext(events []core.Event) (err error) {
	s.saving <- struct{}{}
	defer func() { <-s.saving }()
	ctx, cancel := context.WithTimeout(s.base, s.tune.attempt)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("auditing: the next store's Save panicked: %v", p)
		}
	}()
	return s.next.Save(ctx, events)
}

// pause waits after the nth failure in a row. It reports false when the spool stops.
func (s *Store) pause(n int) bool {
	s.mu.Lock()
	kick, stopped := s.kick, s.stopped
	s.mu.Unlock()
	if stopped {
		return false
	}
	t := time.NewTimer(core.Backoff(n, s.tune.minBackoff, s.tune.maxBackoff))
	defer t.Stop()
	select {
	case <-t.C:
	case <-kick:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.stopped
}

// hurry ends all pauses. It wants s.mu to be held.
func (s *Store) hurry() {
	close(s.kick)
	s.kick = make(chan struct{})
}

// finish hands a batch over to whoever commits next: a Save that comes soon, or
// the spool itself a little later.
func (s *Store) finish(b *batch) {
	s.noteRefused(b)
	b.records, b.events = nil, nil
	s.mu.Lock()
	b.done = true
	s.done += int(b.to - b.from)
	now := s.done >= s.tune.settleEvents || s.flushing > 0 || len(s.window) >= maxWindow
	if !now {
		s.settleLater(s.tune.settleDelay)
	}
	s.changed.Broadcast()
	s.mu.Unlock()
	if now {
		s.settle()
	}
}

func (s *Store) successCount() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.successes
}

// waiting visits the records that wait, from a sequence number on.
func (d *disk) waiting(tx *bbolt.Tx, from uint64, f func(record) error) error {
	st, err := readState(tx)
	if err != nil {
		return damaged(d.path, err)
	}
	from = max(from, st.first)
	c := tx.Cursor()
	// The segment that holds from is the last that does not begin behind it.
	name, _ := c.Seek(segmentName(from))
	if name == nil {
		name, _ = c.Last()
	} else if string(name) > string(segmentName(from)) {
		if before, _ := c.Prev(); isSegment(before) {
			name = before
		} else {
			name, _ = c.Seek(segmentName(from))
		}
	}
	more := true
	for ; more && isSegment(name); name, _ = c.Next() {
		err := d.bucket(tx, name, from, func(r record) error {
			err := f(r)
			more = err == nil
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
