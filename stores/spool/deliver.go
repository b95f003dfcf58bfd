package spool

import (
	"errors"
	"strings"
	"time"

	"github.com/auditing-go/auditing/core"
)

// batch is what one Save of the next store is given.
type batch struct {
	to     uint64 // the sequence number behind it
	bytes  int64  // in the spool
	oldest int64  // when its first event arrived, µs since 1970
	// records are those of which nothing has become yet, and events what they hold.
	records []record
	events  []core.Event

	attempts int       // how often it was parked
	seen     uint64    // the successes of all batches when it was parked first
	tried    time.Time // when it is tried again, while it is parked
	done     bool
}

// deliver gives the batch to the next store until something has become of each of
// its events, or it is parked. It reports false when the spool stops first.
func (s *Store) deliver(b *batch) bool {
	if b.events == nil && len(b.records) > 0 {
		if refused := b.parse(s.opened); len(refused) > 0 && !s.refuse(refused) {
			return false
		}
	}
	for attempts := 1; len(b.events) > 0; attempts++ {
		seen := s.successCount()
		err := s.callNext(b.events)
		for i := range b.events {
			b.events[i].First = false
		}
		stored, refused, why := b.sort(err)
		s.passedOn(stored)
		if len(refused) > 0 && !s.refuse(refused) {
			return false
		}
		if len(stored)+len(refused) > 0 {
			s.reachable(b, why)
			if len(b.records) > 0 {
				s.park(b, why)
				return true
			}
			break
		}
		n := s.unreachable(why)
		if b.attempts > 0 {
			s.park(b, why)
			return true
		}
		if !s.pause(n) {
			return false
		}
		if s.stepsAside(b, attempts, seen) {
			s.park(b, why)
			return true
		}
	}
	s.finish(b)
	return true
}

// parse makes the events of the records, and returns those of which there is none. What
// was there when the spool was opened may have been passed on before; wherever else a
// record is written from now on, it is not the first try any more.
func (b *batch) parse(opened uint64) (refused []record) {
	b.events = make([]core.Event, 0, len(b.records))
	keep := b.records[:0]
	for _, r := range b.records {
		e, err := r.event()
		e.First, r.first = r.first && r.seq >= opened, false
		if err != nil {
			refused = append(refused, refusal(r, err))
			continue
		}
		keep, b.events = append(keep, r), append(b.events, e)
	}
	b.records = keep
	return refused
}

// sort takes the events out of the batch that are stored or refused for what they are,
// and says why the others are neither. When that is all of them the batch is as it was.
func (b *batch) sort(err error) (stored, refused []record, why error) {
	var failures *core.BatchError
	switch {
	case err == nil:
		failures = &core.BatchError{}
	case !errors.As(err, &failures) || failures == nil:
		return nil, nil, err
	}
	verdict := make([]*core.Failure, len(b.records))
	for i := range failures.Failures {
		f := &failures.Failures[i]
		if f.Index < 0 || f.Index >= len(verdict) {
			return nil, nil, err // nothing such an answer says can be relied on
		}
		verdict[f.Index] = f
	}
	left := 0
	for i, f := range verdict {
		switch r := b.records[i]; {
		case f == nil:
			stored = append(stored, r)
		case f.Refused():
			refused = append(refused, refusal(r, f.Err))
		default:
			if why == nil {
				if why = f.Err; why == nil {
					why = errNoReason
				}
			}
			b.records[left], b.events[left] = r, b.events[i]
			left++
		}
	}
	clear(b.events[left:])
	b.records, b.events = b.records[:left], b.events[:left]
	return stored, refused, why
}

var errNoReason = errors.New("the store gave no reason")

// refusal is the record of an event that is to be set aside.
func refusal(r record, why error) record {
	if why == nil {
		why = errNoReason
	}
	text := why.Error()
	r.setAt = time.Now().UnixMicro()
	r.reason = strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
	return r
}

// passedOn notes that the next store has the events.
func (s *Store) passedOn(records []record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range records {
		delete(s.ids, records[i].id)
		s.bytes -= records[i].cost()
	}
	s.waiting -= uint64(len(records))
}

// refuse sets records aside, as soon as that can be written. It reports false when the
// spool stops first.
func (s *Store) refuse(records []record) bool {
	for {
		_, err := s.aside.append(records)
		if err == nil {
			break
		}
		if !s.pause(s.unreachable(err)) {
			return false
		}
	}
	s.mu.Lock()
	for i := range records {
		s.ids[records[i].id] = isAside
		s.bytes += int64(len(records[i].reason)) // it has none while it waits
	}
	s.waiting -= uint64(len(records))
	s.setAside += uint64(len(records))
	s.mu.Unlock()
	s.noteRefused(records)
	return true
}

// stepsAside reports whether a batch that failed as a whole should be tried again
// while others go on, because it seems to be the batch and not the store.
func (s *Store) stepsAside(b *batch, attempts int, seen uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	behind := s.behind > b.to
	return s.successes != seen || behind && attempts >= 3 && len(b.events) <= fewEvents
}

func (s *Store) successCount() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.successes
}
