package spool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
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

// asideRecords reads in pieces, so that nothing is held while they are used.
func (s *Store) asideRecords() iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		for from := (place{}); ; {
			records, next, err := s.aside.some(from)
			if err != nil {
				yield(record{}, err)
				return
			}
			if len(records) == 0 {
				return
			}
			for _, r := range records {
				if !yield(r, nil) {
					return
				}
			}
			from = next
		}
	}
}

// Retry gives the events with these ids, or all when none is named, to the next
// store once more. It returns how many of them were set aside. What is refused
// again is set aside again.
func (s *Store) Retry(ctx context.Context, ids ...uuid.UUID) (int, error) {
	s.retrying.Lock()
	defer s.retrying.Unlock()
	if s.isClosed() {
		return 0, ErrClosed
	}
	limit := s.aside.limit() // what is set aside from now on is not meant
	var some []record
	var moved []uint64
	move := func() error {
		if len(some) == 0 {
			return nil
		}
		seqs := make([]uint64, len(some))
		for i := range some {
			seqs[i] = some[i].seq
		}
		err := s.waitAgain(ctx, some)
		if err == nil {
			moved = append(moved, seqs...)
		}
		some = some[:0]
		return err
	}
	var err error
	for r, err2 := range s.asideRecords() {
		if err = err2; err != nil || r.seq >= limit {
			break
		}
		if len(ids) > 0 && !slices.Contains(ids, r.id) {
			continue
		}
		if some = append(some, r); len(some) == together {
			if err = move(); err != nil {
				break
			}
		}
	}
	if err == nil {
		err = move()
	}
	if len(moved) > 0 {
		// Until this is done a crash leaves them set aside, too.
		err = errors.Join(err, s.aside.drop(moved))
	}
	return len(moved), err
}

// waitAgain writes records that are set aside to the end of what waits.
func (s *Store) waitAgain(ctx context.Context, records []record) error {
	if err := s.acquire(ctx); err != nil {
		return err
	}
	defer s.release()
	if s.isClosed() {
		return ErrClosed
	}
	cost := int64(0)
	for i := range records {
		r := &records[i]
		cost += r.cost()
		r.kind, r.setAt, r.reason = kindWaiting, 0, ""
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
