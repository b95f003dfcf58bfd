package spool

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// Refused is an event that is set aside because the next store refused it for its own
// content.
type Refused struct {
	Event core.Event
	// Reason is what the next store said, at most 4 KiB of it.
	Reason string
	// At is when it was set aside.
	At time.Time
}

// SetAside yields the events that are set aside, in the order in which they were.
// An error ends it.
func (s *Store) SetAside(ctx context.Context) iter.Seq2[Refused, error] {
	return func(yield func(Refused, error) bool) {
		for r, err := range s.asideRecords() {
			if err == nil {
				err = context.Cause(ctx)
			}
			var refused Refused
			if err == nil {
				refused.Event, err = r.event()
			}
			refused.Reason, refused.At = r.reason, time.UnixMicro(r.setAt).UTC()
			if !yield(refused, err) || err != nil {
				return
			}
		}
	}
}

// asideRecords yields what is set aside now, each event once.
func (s *Store) asideRecords() iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		r, end := s.aside.all()
		defer r.close()
		seen := map[uuid.UUID]bool{} // Retry moves some to the end, and may have been killed then
		for r.seq < end {
			rec, err := r.next()
			if err != nil {
				yield(rec, err)
				return
			}
			s.mu.Lock()
			counts := s.ids[rec.id] == isAside && !seen[rec.id]
			s.mu.Unlock()
			if seen[rec.id] = true; counts && !yield(rec, nil) {
				return
			}
		}
	}
}

// together is how many records Retry moves at once.
const together = 256

// Retry gives the events with these ids, or all when none is named, to the next
// store once more. It returns how many of them were set aside. What is refused
// again is set aside again.
func (s *Store) Retry(ctx context.Context, ids ...uuid.UUID) (n int, err error) {
	s.retrying.Lock()
	defer s.retrying.Unlock()
	s.mu.Lock()
	closing := s.closing
	wanted := map[uuid.UUID]bool{}
	for _, id := range ids {
		if s.ids[id] == isAside {
			wanted[id] = true
		}
	}
	s.mu.Unlock()
	switch {
	case closing:
		return 0, core.ErrClosed
	case len(ids) > 0 && len(wanted) == 0:
		return 0, nil
	}
	// The others move to the end of their log, so that what is before can be freed.
	var again, others []record
	upTo := uint64(0)
	move := func() error {
		if len(again) > 0 {
			if err := s.waitAgain(ctx, again); err != nil {
				return err
			}
			n += len(again)
		}
		if len(others) > 0 {
			if _, err := s.aside.append(others); err != nil {
				return err
			}
		}
		s.mu.Lock()
		s.aside.pass(upTo)
		s.mu.Unlock()
		again, others = again[:0], others[:0]
		return nil
	}
	defer s.tidy()
	for r, err := range s.asideRecords() {
		if err != nil {
			return n, err
		}
		if upTo = r.seq + 1; len(ids) == 0 || wanted[r.id] {
			again = append(again, r)
		} else {
			others = append(others, r)
		}
		if len(again)+len(others) == together {
			if err := move(); err != nil {
				return n, err
			}
		}
	}
	return n, move()
}

// waitAgain writes records that are set aside to the end of what waits.
func (s *Store) waitAgain(ctx context.Context, records []record) error {
	if err := s.acquire(ctx); err != nil {
		return err
	}
	defer s.release()
	if s.isClosed() {
		return core.ErrClosed
	}
	cost := int64(0)
	for i := range records {
		r := &records[i]
		cost += r.cost()
		r.setAt, r.reason = 0, ""
	}
	if f := s.append(records); f != nil {
		return f.Err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= cost
	s.setAside -= uint64(len(records))
	return nil
}

// Export writes the events that are set aside to w, one JSON object a line with
// the keys reason, refused (a time) and event. They stay where they are. It
// returns how many it wrote.
func (s *Store) Export(ctx context.Context, w io.Writer) (int, error) {
	n := 0
	for r, err := range s.SetAside(ctx) {
		if err != nil {
			return n, err
		}
		line, err := json.Marshal(struct {
			Reason  string     `json:"reason"`
			Refused time.Time  `json:"refused"`
			Event   core.Event `json:"event"`
		}{r.Reason, r.At, r.Event})
		if err == nil {
			_, err = w.Write(append(line, '\n'))
		}
		if err != nil {
			return n, fmt.Errorf("auditing: exporting from the spool: %w", err)
		}
		n++
	}
	return n, nil
}
