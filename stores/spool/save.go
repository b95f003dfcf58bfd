package spool

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

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
		return notStored(len(events), err, false)
	}
	defer s.release()
	add, full, err := s.admit(records)
	if err != nil {
		return notStored(len(events), err, true)
	}
	if len(add) > 0 {
		if f := s.append(add); f != nil {
			return core.FailAll(len(events), *f)
		}
	}
	if len(full) == 0 {
		return nil
	}
	failures := make([]core.Failure, len(full))
	for i, index := range full {
		f := core.Failure{Index: index, Err: fmt.Errorf("auditing: %w", ErrFull), Retry: true, Lasting: !s.cfg.WaitForRoom}
		if cost := records[index].cost(); cost > s.cfg.MaxBytes {
			f.Err = fmt.Errorf("auditing: the event takes %d bytes in the spool, which never holds more than %d: raise Config.MaxBytes", cost, s.cfg.MaxBytes)
			f.Lasting = true
		}
		failures[i] = f
	}
	return &core.BatchError{Failures: failures}
}

// append stores records that wait, or says why not. s.writer must be held.
func (s *Store) append(add []record) *core.Failure {
	unknown, err := s.log.append(add)
	if err != nil {
		f := core.Failure{Err: fmt.Errorf("auditing: writing to the spool: %w", err), Retry: true, Unknown: unknown}
		if !unknown && noSpace(err) {
			f.Err = fmt.Errorf("auditing: the disk of the spool's directory %s is full: make room on it: %w", s.dir, err)
			f.Lasting = !s.cfg.WaitForRoom
		}
		return &f
	}
	if s.log.newest().first == add[0].seq {
		s.note(false) // a new segment has to be there; it may say less
	}
	s.mu.Lock()
	for i := range add {
		s.count(&add[i])
	}
	s.behind = add[len(add)-1].seq + 1
	s.changed.Broadcast()
	s.mu.Unlock()
	s.warnFilling()
	return nil
}

// admit returns the records that are new and have room, and the indexes of those
// that have none. s.writer must be held.
func (s *Store) admit(records []record) (add []record, full []int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return nil, nil, core.ErrClosed
	}
	room := s.cfg.MaxBytes - s.bytes
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

// waitFor waits until cond holds or ctx ends. s.mu must be held, as it is for cond.
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

// isClosed reports whether Close was called.
func (s *Store) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}
