package spool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/auditing-go/auditing/core"
)

const (
	// inFlight is how many batches the next store is given at a time.
	inFlight = 2
	// drainers is how many goroutines pass events on: one more, which reads and
	// parses what comes next meanwhile.
	drainers = inFlight + 1
	// maxWindow is how many batches may be ahead of the first that is not settled.
	maxWindow = 256
	// fewEvents is how large a batch is at most that steps aside when it fails alone.
	fewEvents = 100
)

// draining is what the goroutines that pass events on share; Store.mu guards it, but
// for reader, which belongs to who claims.
type draining struct {
	handed   uint64 // the first that was not handed out
	claiming bool   // somebody is reading what comes next
	reader   *reader
	window   []*batch // handed out and not settled, in order
	inWindow int64    // bytes of them
	settled  uint64   // all before it were passed on or set aside
	parked   int      // batches that wait to be tried again, or are being

	moved     uint64 // behind the last record that was put at the end again
	outage    error  // why the next store takes nothing, or not all; nil while it does
	since     time.Time
	failures  int // in a row
	successes uint64
	kick      chan struct{} // closed to end a pause early
}

func (d *draining) init(first uint64) {
	d.handed, d.settled, d.kick = first, first, make(chan struct{})
}

// drain passes events on until the spool is stopped.
func (s *Store) drain() {
	for {
		b, err := s.claim()
		if err != nil {
			if !s.pause(s.unreachable(err)) {
				return
			}
			continue
		}
		if b == nil || !s.deliver(b) {
			return
		}
		s.tidy()
	}
}

// claim waits for what is to be passed on: a batch that is to be tried again, or a new
// one; nil when the spool stops.
func (s *Store) claim() (*batch, error) {
	s.mu.Lock()
	for !s.stopped {
		if b := s.due(); b != nil {
			b.tried = time.Time{}
			s.mu.Unlock()
			return b, nil
		}
		if !s.claiming && s.handed != s.behind {
			if len(s.window) < maxWindow && s.inWindow < s.tune.windowBytes {
				return s.claimNew()
			}
			// While nothing is taken at all, moving costs what it writes and helps nobody,
			// unless all that was handed out so far is at fault itself.
			if b := s.window[0]; !b.tried.IsZero() && (s.successes > b.seen || b.attempts >= 10) {
				b.tried = time.Time{}
				s.mu.Unlock()
				if err := s.moveBehind(b); err != nil {
					s.park(b, err)
					return nil, err
				}
				s.mu.Lock()
				continue
			}
		}
		s.changed.Wait()
	}
	s.mu.Unlock()
	return nil, nil
}

// claimNew takes the next batch. s.mu must be held, and is released.
func (s *Store) claimNew() (*batch, error) {
	s.claiming = true
	from, end := s.handed, s.behind
	s.mu.Unlock()
	if s.reader == nil {
		s.reader = s.log.reader(from)
	}
	var records []record
	size := int64(0)
	var err error
	for s.reader.seq < end && len(records) < s.tune.batchEvents && size < s.tune.batchBytes {
		var r record
		if r, err = s.reader.next(); err != nil {
			s.reader.close()
			s.reader = nil
			break
		}
		records = append(records, r)
		size += r.cost()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claiming = false
	s.changed.Broadcast()
	if err != nil {
		return nil, err
	}
	b := &batch{to: from + uint64(len(records)), bytes: size, records: records[:0]}
	for _, r := range records {
		if s.ids[r.id] == r.seq {
			b.records = append(b.records, r)
		}
	}
	if len(b.records) > 0 {
		b.oldest = b.records[0].arrived
	}
	s.handed = b.to
	s.window = append(s.window, b)
	s.inWindow += b.bytes
	return b, nil
}

// due returns a batch whose time has come to be tried again. s.mu must be held.
func (s *Store) due() *batch {
	if s.parked == 0 {
		return nil
	}
	now := time.Now()
	for _, b := range s.window {
		if !b.tried.IsZero() && !b.tried.After(now) {
			return b
		}
	}
	return nil
}

// park has the batch tried again later, while others go on.
func (s *Store) park(b *batch, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.attempts++; b.attempts == 1 {
		s.parked++
		b.seen = s.successes
	}
	wait := core.Backoff(b.attempts, s.tune.minBackoff, s.tune.maxBackoff)
	b.tried = time.Now().Add(wait)
	time.AfterFunc(wait, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed.Broadcast()
	})
	s.changed.Broadcast()
}

// moveBehind writes what is left of a batch once more, at the end, because what
// follows it can be passed on no further else.
func (s *Store) moveBehind(b *batch) error {
	if err := s.acquire(s.base); err != nil {
		return err
	}
	f := s.append(b.records)
	s.release()
	if f != nil {
		return f.Err
	}
	s.mu.Lock()
	s.waiting -= uint64(len(b.records)) // they were counted once more
	for i := range b.records {
		s.bytes -= b.records[i].cost()
	}
	s.moved = s.behind
	s.mu.Unlock()
	s.finish(b)
	return nil
}

// finish notes that nothing of the batch is left to be done.
func (s *Store) finish(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.done = true
	b.records, b.events = nil, nil
	if b.attempts > 0 {
		s.parked--
	}
	s.filling(s.bytes, s.cfg.MaxBytes)
	for len(s.window) > 0 && s.window[0].done {
		s.settled = s.window[0].to
		s.inWindow -= s.window[0].bytes
		s.window = s.window[1:]
	}
	s.changed.Broadcast()
}

// tidy tells the cursor how far events were passed on, and frees the segments before.
func (s *Store) tidy() {
	s.tidying.Lock()
	defer s.tidying.Unlock()
	s.mu.Lock()
	s.log.pass(s.settled)
	s.mu.Unlock()
	waiting, aside := s.log.passed(), s.aside.passed()
	err := s.note(waiting+aside > 0)
	if err == nil && waiting+aside > 0 {
		if err = inPlace(s.dir, s.info); err == nil {
			err = errors.Join(s.log.free(waiting), s.aside.free(aside))
		}
	}
	if err == nil {
		return
	}
	s.mu.Lock()
	warn := due(&s.tidied, warnEvery)
	s.mu.Unlock()
	if warn {
		s.logger().Error("auditing: spool: what was passed on stays in it for now", "dir", s.dir, "error", err)
	}
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

// hurry ends all pauses. s.mu must be held.
func (s *Store) hurry() {
	close(s.kick)
	s.kick = make(chan struct{})
	for _, b := range s.window {
		if !b.tried.IsZero() {
			b.tried = time.Now()
		}
	}
	s.changed.Broadcast()
}
