package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/auditing-go/auditing/core"
)

const (
	// inFlight is how many batches the next store is given at a time.
	inFlight = 2
	// handedOut is how many are handed out: one more, which is parsed meanwhile.
	handedOut = inFlight + 1
	// fewEvents is how many are in a batch at most after one of which nothing was taken.
	fewEvents = 500
	// nothing is draining.left of a round that has left nothing.
	nothing = math.MaxUint64
)

// draining is how far events were passed on; Store.mu guards it, but for reader.
//
// That goes through the log in rounds, from the oldest waiting event to the newest. What
// the next store does not take stays where it is for the next round; Store.waiting
// tells it from what lies between. So it holds up nothing, and needs no memory.
type draining struct {
	reader  *reader
	handed  uint64   // the record that comes next in this round
	busy    []*batch // what was handed out and is not settled
	left    uint64   // where the first batch begins of which this round has left something, or nothing
	settled uint64   // all before it were passed on or set aside
	tried   uint64   // all before it were handed out in an earlier round
	moved   uint64   // behind the last event that was put at the end again

	rounds    int       // that have begun since everything was settled
	again     time.Time // when the next may begin
	overtaken int64     // bytes that were settled while older events were left

	outage   error // why the next store takes nothing, or not all; nil while it does
	since    time.Time
	failures int       // batches in a row of which nothing was taken
	streak   int       // the same, in this round
	pause    time.Time // until when nothing is handed out for that
}

// batch is what one Save of the next store is given.
type batch struct {
	from, to uint64   // its stretch of the log
	records  []record // those that wait
	again    bool     // they were handed out before
	move     bool     // they are to be put at the end instead
	skips    bool     // others in the stretch may wait and be handed out still
}

// outcome is what became of a batch.
type outcome struct {
	stored, refused []record
	why             error // the others wait; nil if there are none
}

// drain passes events on until the spool stops.
func (s *Store) drain() {
	for b, err := s.claim(); b != nil; b, err = s.claim() {
		s.running.Go(func() {
			o := outcome{why: err}
			switch {
			case err != nil:
			case b.move && len(b.records) > 0:
				o.why = s.moveBehind(b.records)
			default:
				o = s.deliver(b)
			}
			s.settle(b, o)
			s.tidy()
		})
	}
}

// claim waits for the next batch, and reads it; it is nil when the spool stops.
func (s *Store) claim() (*batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.ready() {
		if s.stopped {
			return nil, nil
		}
		s.changed.Wait()
	}
	b := &batch{from: s.handed, to: s.handed, again: s.handed < s.tried}
	most := s.tune.batchEvents
	if s.failures > 0 {
		most = min(most, fewEvents) // so that little is parsed in vain
	}
	end := s.behind
	if b.again {
		end = s.tried // what is new has a batch of its own
		b.move = s.overtaken > max(s.tune.overtake, s.bytes/4)
	}
	s.mu.Unlock()
	var err error
	for size := int64(0); err == nil && b.to < end && len(b.records) < most && size < s.tune.batchBytes; b.to++ {
		var r record
		r, err = s.reader.next()
		b.records = append(b.records, r)
		size += r.cost()
	}
	s.mu.Lock()
	if err != nil {
		b.to, b.records = b.from, nil
		s.reader.seek(b.from)
	}
	b.records = slices.DeleteFunc(b.records, func(r record) bool {
		waits := s.waiting.counts(&r)
		busy := waits && slices.ContainsFunc(s.busy, func(o *batch) bool { return o.from <= r.seq && r.seq < o.to })
		b.skips = b.skips || busy
		return !waits || busy
	})
	s.handed, s.busy = b.to, append(s.busy, b)
	return b, err
}

// ready reports whether there is a batch to hand out, perhaps of a new round. While
// nothing at all is taken each round goes twice as far as the one before, as what comes
// first may be at fault itself. s.mu must be held.
func (s *Store) ready() bool {
	now := time.Now()
	if s.left != nothing && !now.Before(s.again) && (s.handed == s.behind || s.streak == 0 || s.streak > 1<<min(s.rounds, 30)) {
		s.tried = max(s.tried, s.handed)
		s.handed, s.left, s.streak = min(s.handed, s.left), nothing, 0
		s.rounds++
		s.reader.seek(s.handed)
	}
	return !s.stopped && s.handed != s.behind && len(s.busy) < handedOut && !now.Before(s.pause)
}

// deliver gives a batch to the next store.
func (s *Store) deliver(b *batch) (o outcome) {
	records, events := b.records[:0], make([]core.Event, 0, len(b.records))
	for _, r := range b.records {
		e, err := r.event()
		if err != nil {
			o.refused = append(o.refused, refusal(r, err))
			continue
		}
		// What was there at the start may have been passed on before.
		e.First = r.first && r.seq >= s.opened && !b.again
		records, events = append(records, r), append(events, e)
	}
	if len(events) > 0 {
		o.sort(records, s.callNext(events))
	}
	if len(o.refused) > 0 {
		if _, err := s.aside.append(o.refused); err != nil {
			o.refused, o.why = nil, err
		}
		s.warnRefused(o.refused)
	}
	return o
}

// sort says of each record what the next store's answer means for it.
func (o *outcome) sort(records []record, err error) {
	if err == nil {
		o.stored = records
		return
	}
	var failures *core.BatchError
	if !errors.As(err, &failures) || failures == nil {
		o.why = err
		return
	}
	verdict := make([]*core.Failure, len(records))
	for i := range failures.Failures {
		f := &failures.Failures[i]
		if f.Index < 0 || f.Index >= len(verdict) { // so nothing it says can be relied on
			o.why = err
			return
		}
		verdict[f.Index] = f
	}
	for i, f := range verdict {
		switch {
		case f == nil:
			o.stored = append(o.stored, records[i])
		case f.Refused():
			o.refused = append(o.refused, refusal(records[i], f.Err))
		default:
			o.why = cmp.Or(o.why, f.Err, errNoReason)
		}
	}
}

var errNoReason = errors.New("the store gave no reason")

// refusal is the record of an event that is to be set aside.
func refusal(r record, why error) record {
	text := cmp.Or(why, errNoReason).Error()
	r.first = false // it was passed on before
	r.setAt = time.Now().UnixMicro()
	r.reason = strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
	return r
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
	next, err := s.next.get(ctx)
	if err != nil {
		return err
	}
	return next.Save(ctx, events)
}

// moveBehind puts records at the end once more, so that the cursor can pass them.
func (s *Store) moveBehind(records []record) error {
	for i := range records {
		records[i].first = false // it was passed on before
	}
	if err := s.acquire(s.base); err != nil {
		return err
	}
	defer s.release()
	if f := s.append(records); f.Err != nil {
		return f.Err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moved = s.behind
	return nil
}

// settle notes what became of a batch.
func (s *Store) settle(b *batch, o outcome) {
	s.mu.Lock()
	for i := range o.stored {
		s.forget(&o.stored[i])
	}
	for i := range o.refused {
		if r := &o.refused[i]; s.forget(r) {
			s.setAside[r.id] = r.seq
			s.bytes += r.cost()
		}
	}
	s.busy = slices.DeleteFunc(s.busy, func(o *batch) bool { return o == b })
	switch {
	case len(o.stored)+len(o.refused) > 0:
		s.failures, s.streak = 0, 0
	case o.why != nil:
		s.failures++
		s.streak++
		s.pause = s.in(s.failures)
	}
	if o.why != nil || b.skips {
		if s.left == nothing {
			s.again = s.in(s.rounds + 1)
		}
		s.left = min(s.left, b.from)
	}
	s.settled = min(s.left, s.handed)
	for _, b := range s.busy {
		s.settled = min(s.settled, b.from)
	}
	all := s.left == nothing && s.settled >= s.tried
	if all {
		s.rounds, s.overtaken = 0, 0
	}
	report := func() {}
	if o.why != nil || all && s.settled >= s.moved {
		report = s.outageIs(o.why)
	}
	s.full = s.full && s.used() >= calmAt
	s.mu.Unlock()
	report()
	s.changed.Broadcast()
}

// in returns when to go on after the nth failure in a row, and has claim see it then.
func (s *Store) in(n int) time.Time {
	wait := core.Backoff(n, s.tune.minBackoff, s.tune.maxBackoff)
	at := time.Now().Add(wait)
	time.AfterFunc(wait, s.wake)
	return at
}

// hurry ends all pauses. s.mu must be held.
func (s *Store) hurry() {
	s.again, s.pause = time.Time{}, time.Time{}
	s.changed.Broadcast()
}

// forget notes that an event does not wait any more, and reports whether it did. s.mu
// must be held.
func (s *Store) forget(r *record) bool {
	if !s.waiting.has(r.id) {
		return false
	}
	delete(s.waiting, r.id)
	cost := r.cost() - int64(len(r.reason)) // it had none
	s.bytes -= cost
	if s.left < r.seq {
		s.overtaken += cost
	}
	return true
}

// tidy tells the cursor how far events were passed on, and frees the segments before
// that nobody reads.
func (s *Store) tidy() {
	s.tidying.Lock()
	defer s.tidying.Unlock()
	s.mu.Lock()
	s.log.pass(s.settled)
	s.mu.Unlock()
	waiting, aside := s.log.passed(), s.aside.passed()
	free := waiting+aside > 0 && s.reading.TryLock()
	err := s.note(free)
	if free {
		if err == nil {
			err = inPlace(s.dir, s.id)
		}
		if err == nil {
			err = errors.Join(s.log.free(waiting), s.aside.free(aside))
		}
		s.reading.Unlock()
	}
	if err != nil && s.tidied.due(warnEvery) {
		s.logger().Error("auditing: spool: what was passed on stays in it for now", "dir", s.dir, "error", err)
	}
}
