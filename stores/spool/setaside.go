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
	// Reason is what the next store said, at most 4 KiB of it.
	Reason string `json:"reason"`
	// At is when it was set aside.
	At    time.Time  `json:"refused"`
	Event core.Event `json:"event"`
}

// SetAside yields the events that are set aside, in the order in which they were.
// An error ends it.
func (s *Store) SetAside(ctx context.Context) iter.Seq2[Refused, error] {
	return func(yield func(Refused, error) bool) {
		for r, err := range s.counting(s.aside, s.setAside) {
			refused := Refused{Reason: r.reason, At: time.UnixMicro(r.setAt).UTC()}
			if err == nil {
				err = context.Cause(ctx)
			}
			if err == nil {
				refused.Event, err = r.event()
			}
			if !yield(refused, err) || err != nil {
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
	if s.isClosed() {
		return 0, core.ErrClosed
	}
	wanted := map[uuid.UUID]bool{}
	s.mu.Lock()
	for _, id := range ids {
		if s.setAside.has(id) {
			wanted[id] = true
		}
	}
	s.mu.Unlock()
	if len(ids) > 0 && len(wanted) == 0 {
		return 0, nil
	}
	// The others move to the end of their log, so that what is before can be freed.
	var again, others []record
	upTo := uint64(0)
	move := func() error {
		if err := s.waitAgain(ctx, again); err != nil {
			return err
		}
		n += len(again)
		if len(others) > 0 {
			if _, err := s.aside.append(others); err != nil {
				return err
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for i := range others {
			s.count(s.setAside, &others[i])
		}
		s.aside.pass(upTo)
		again, others = again[:0], others[:0]
		return nil
	}
	defer s.tidy()
	for r, err := range s.counting(s.aside, s.setAside) {
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
	if f := s.append(records); f.Err != nil {
		return f.Err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= cost
	return nil
}

// Export writes the events that are set aside to w, one JSON object a line with
// the keys reason, refused (a time) and event. They stay where they are. It
// returns how many it wrote.
func (s *Store) Export(ctx context.Context, w io.Writer) (n int, err error) {
	out := json.NewEncoder(w)
	for r, err := range s.SetAside(ctx) {
		if err == nil {
			err = out.Encode(r)
		}
		if err != nil {
			return n, fmt.Errorf("auditing: exporting from the spool: %w", err)
		}
		n++
	}
	return n, nil
}
