package spool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// roomWait is how long a Save waits for room at most before it lets the recorder
// decide whether there is time to try again.
const roomWait = 100 * time.Millisecond

// Save implements [core.Store]: it returns when the events are synced to disk. An
// event that the spool holds already is not stored again.
func (s *Store) Save(ctx context.Context, events []core.Event) error {
	if len(events) == 0 {
		return nil
	}
	if ctx == nil {
		ctx = context.Background()
	}
	if err := context.Cause(ctx); err != nil {
		return notStored(len(events), err, false)
	}
	now := time.Now()
	records := make([]record, len(events))
	slab := make([]byte, 0, 256*len(events))
	for i, e := range events {
		start := len(slab)
		slab = e.AppendJSON(slab)
		records[i] = newRecord(e, now)
		records[i].payload = slab[start:len(slab):len(slab)]
	}
	if err := s.acquire(ctx); err != nil {
		return notStored(len(events), err, true)
	}
	defer s.release()
	if err := s.repair(); err != nil {
		return notStored(len(events), err, errors.Is(err, ErrClosed))
	}
	add, full, err := s.admit(ctx, records)
	if err != nil {
		return notStored(len(events), err, true)
	}
	if len(add) > 0 {
		if err := s.append(add); err != nil {
			return core.FailAll(len(events), core.Failure{Err: err, Retry: true, Unknown: true})
		}
	}
	if len(full) == 0 {
		return nil
	}
	failures := make([]core.Failure, len(full))
	for i, index := range full {
		failures[i] = core.Failure{Index: index, Err: fmt.Errorf("auditing: %w", ErrFull), Retry: true, Lasting: !s.cfg.WaitForRoom}
	}
	return &core.BatchError{Failures: failures}
}

// admit returns the records that are new and have room, and the indexes of those
// that have none. It wants s.writer to be held.
func (s *Store) admit(ctx context.Context, records []record) (add []record, full []int, err error) {
	waited := !s.cfg.WaitForRoom
	for {
		add, full, err = s.fitting(records)
		if err != nil || len(full) == 0 || len(add) > 0 || waited {
			return add, full, err
		}
		waited = true
		s.awaitRoom(ctx)
	}
}

func (s *Store) fitting(records []record) (add []record, full []int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return nil, nil, ErrClosed
	}
	room := s.cfg.MaxBytes - s.contents.bytes
	for _, b := range s.settleable() {
		room += b.bytes - b.leaves() // the same commit deletes the rest
	}
	batch := make(map[uuid.UUID]struct{}, len(records))
	add = make([]record, 0, len(records))
	for i := range records {
		r := &records[i]
		_, have := s.ids[r.id]
		if _, twice := batch[r.id]; have || twice {
			continue
		}
		cost := r.cost()
		if cost > room {
			full = append(full, i)
			continue
		}
		room -= cost
		batch[r.id] = struct{}{}
		add = append(add, *r)
	}
	return add, full, nil
}

// awaitRoom lets others write until some of what waits was deleted, or for a while.
// It wants s.writer to be held, and holds it again when it returns.
func (s *Store) awaitRoom(ctx context.Context) {
	s.release()
	wait := roomWait
	if end, ok := ctx.Deadline(); ok {
		// "No room" has to be said in time: an audit that is still waiting for its
		// answer when its time is up does not know whether it was stored.
		wait = min(wait, time.Until(end)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	s.mu.Lock()
	first := s.contents.first
	s.waitFor(ctx, func() bool { return s.contents.first != first || len(s.settleable()) > 0 || s.closing })
	s.mu.Unlock()
	s.writer <- struct{}{}
}

// waitFor waits until cond holds or ctx ends. It wants s.mu to be held, as cond does.
func (s *Store) waitFor(ctx context.Context, cond func() bool) error {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed.Broadcast()
	})
	defer stop()
	for !cond() {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		s.changed.Wait()
	}
	return nil
}
