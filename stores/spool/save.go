package spool

import (
	"context"
	"errors"
	"fmt"
	"time"

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
		return core.FailAll(len(events), core.Failure{Err: err, Retry: true})
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
		return core.FailAll(len(events), core.Failure{Err: err, Retry: true})
	}
	defer s.release()
	add, failures, err := s.admit(records)
	if err != nil {
		return core.FailAll(len(events), core.Failure{Err: err, Retry: true, Lasting: true})
	}
	if f := s.append(add); f.Err != nil {
		return core.FailAll(len(events), f)
	}
	if len(failures) > 0 {
		return &core.BatchError{Failures: failures}
	}
	return nil
}

// Join implements [core.Joiner] by refusing: what a spool holds is there whether a
// transaction is committed or not.
func (s *Store) Join(context.Context, any, ...core.Event) error {
	return fmt.Errorf("auditing: a spool cannot be part of a transaction: give the audits that are a recorder of their own, on the store of the transaction's database without a spool: %w", errors.ErrUnsupported)
}

// append stores records that wait, or says why not. s.writer must be held.
func (s *Store) append(add []record) (f core.Failure) {
	if len(add) == 0 {
		return f
	}
	unknown, err := s.log.append(add)
	if err != nil {
		f = core.Failure{Err: fmt.Errorf("auditing: writing to the spool: %w", err), Retry: true, Unknown: unknown}
		if !unknown && noSpace(err) {
			f.Err = fmt.Errorf("auditing: the disk of the spool's directory %s is full: make room on it: %w", s.dir, err)
			f.Lasting = !s.cfg.WaitForRoom
		}
		return f
	}
	if s.log.newest().first == add[0].seq {
		s.note(false) // a new segment has to be there; it may say less
	}
	s.mu.Lock()
	for i := range add {
		delete(s.setAside, add[i].id) // Retry has it wait again
		s.count(s.waiting, &add[i])
	}
	s.behind = add[len(add)-1].seq + 1
	s.changed.Broadcast()
	fills := !s.full && s.used() >= warnAt
	s.full = s.full || fills
	bytes, waiting, aside := s.bytes, len(s.waiting), len(s.setAside)
	s.mu.Unlock()
	if fills {
		s.logger().Warn("auditing: spool: it is filling up", "dir", s.dir, "bytes", bytes, "max_bytes", s.cfg.MaxBytes, "waiting", waiting, "set_aside", aside)
	}
	return f
}

// admit returns the records that are new and have room, and why the others that are new
// are not stored. s.writer must be held.
func (s *Store) admit(records []record) (add []record, failures []core.Failure, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return nil, nil, core.ErrClosed
	}
	room := s.cfg.MaxBytes - s.bytes
	batch := make(ids, len(records))
	add = make([]record, 0, len(records))
	for i := range records {
		r := &records[i]
		switch cost := r.cost(); {
		case batch.has(r.id) || s.holds(r.id):
		case cost <= room:
			room -= cost
			batch[r.id] = 0
			add = append(add, *r)
		case cost <= s.cfg.MaxBytes:
			failures = append(failures, core.Failure{Index: i, Err: fmt.Errorf("auditing: %w", ErrFull), Retry: true, Lasting: !s.cfg.WaitForRoom})
		default:
			err := fmt.Errorf("auditing: the event takes %d bytes in the spool, which never holds more than %d: raise Config.MaxBytes", cost, s.cfg.MaxBytes)
			failures = append(failures, core.Failure{Index: i, Err: err, Retry: true, Lasting: true})
		}
	}
	return add, failures, nil
}
