package spool

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"

	"github.com/auditing-go/auditing/core"
)

// Refused is an event that is set aside because the next store refused it for good.
type Refused struct {
	Event core.Event
	// Reason is what the next store said, at most 4 KiB of it.
	Reason string
	// At is when it was set aside.
	At time.Time
}

// together is how many set-aside events are read or moved in one transaction.
const together = 256

// SetAside yields the events that are set aside, in the order in which they came.
// An error ends it.
func (s *Store) SetAside(ctx context.Context) iter.Seq2[Refused, error] {
	return func(yield func(Refused, error) bool) {
		for r, err := range s.asideRecords(ctx) {
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
func (s *Store) asideRecords(ctx context.Context) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		for from := uint64(0); ; {
			err := context.Cause(ctx)
			var some []record
			if err == nil {
				err = s.view(func(d *disk, tx *bbolt.Tx) error {
					return d.bucket(tx, setAsideBucket, from, func(r record) error {
						if some = append(some, r); len(some) == together {
							return errStop
						}
						return nil
					})
				})
			}
			if err != nil {
				yield(record{}, err)
				return
			}
			for _, r := range some {
				if !yield(r, nil) {
					return
				}
				from = r.seq + 1
			}
			if len(some) < together {
				return
			}
		}
	}
}

// Retry gives the events with these ids, or all when none is named, to the next
// store once more. It returns how many of them were set aside. What is refused
// again is set aside again.
func (s *Store) Retry(ctx context.Context, ids ...uuid.UUID) (int, error) {
	n := 0
	var some []record
	move := func() error {
		moved, err := s.retry(ctx, some)
		n += moved
		some = some[:0]
		return err
	}
	// What is set aside from now on is not meant.
	s.mu.Lock()
	end := s.contents.next
	s.mu.Unlock()
	for r, err := range s.asideRecords(ctx) {
		if err != nil {
			return n, err
		}
		if r.seq >= end {
			break
		}
		if len(ids) > 0 && !slices.Contains(ids, r.id) {
			continue
		}
		if some = append(some, r); len(some) == together {
			if err := move(); err != nil {
				return n, err
			}
		}
	}
	return n, move()
}

// retry moves records back to those that wait, unless somebody has done so.
func (s *Store) retry(ctx context.Context, records []record) (int, error) {
	if err := s.acquire(ctx); err != nil {
		return 0, err
	}
	defer s.release()
	if err := s.repair(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	closing := s.closing
	s.mu.Unlock()
	if closing {
		return 0, ErrClosed
	}
	var still []record
	err := s.view(func(_ *disk, tx *bbolt.Tx) error {
		b := tx.Bucket(setAsideBucket)
		for _, r := range records {
			if b != nil && b.Get(keyOf(r.seq)) != nil {
				still = append(still, r)
			}
		}
		return nil
	})
	if err != nil || len(still) == 0 {
		return 0, err
	}
	if err := s.commit(change{retry: still}); err != nil {
		return 0, err
	}
	return len(still), nil
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
