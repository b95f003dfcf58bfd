package core

import (
	"fmt"
	"slices"
	"time"
)

// bounds limits what waits and what is written at once.
type bounds struct {
	waitingEvents, waitingBytes int
	batchEvents, batchBytes     int
}

var defaultBounds = bounds{
	waitingEvents: 65_536, waitingBytes: 64 << 20,
	batchEvents: 10_000, batchBytes: 8 << 20,
}

type callState uint8

const (
	waiting   callState = iota // in the queue
	inWrite                    // given to the store
	abandoned                  // still with the store, its caller has left with ErrUnknown
	settled                    // with neither the queue nor the store
)

// call is one audit between its caller and the writer. Recorder.mu guards it
// from enqueue until done is sent to; then it is the caller's again, unless abandoned.
type call struct {
	event    Event
	size     int
	deadline time.Time
	// bestEffort says that its caller has not waited.
	bestEffort bool

	state     callState
	unknown   bool // an earlier write of it may have succeeded
	attempts  int
	notBefore time.Time // of a retry
	last      error     // why the last attempt failed
	flushes   []*flush

	err  error
	done chan struct{} // capacity 1
}

// outcome is the error for a caller whose event was not acknowledged.
func (c *call) outcome(reason error) error {
	if c.unknown {
		reason = ErrUnknown
	}
	switch {
	case c.last == nil:
		return reason
	case reason == nil:
		return c.last
	}
	return fmt.Errorf("%w: %w", reason, c.last)
}

// verdict is what became of the call's event: acknowledged now, or not.
func (c *call) verdict(acknowledged bool) verdict {
	switch {
	case acknowledged:
		return stored
	case c.unknown:
		return unknown
	}
	return failed
}

// queue holds the calls that wait: new ones in their order, and retries.
type queue struct {
	bounds
	fresh   []*call
	retries []*call
	bytes   int // of both

	// What is being written keeps its room, because it may have to wait again.
	writing, writingBytes int
}

// pause holds back what waits while the store seems to be away. Perhaps only the place
// of some tags is, so that nothing new of the others is held back.
type pause struct {
	fresh   time.Time       // nothing new of these tags is written before
	tags    map[string]bool // all of whose events have failed
	retries time.Time       // nothing is written again before
}

// holds reports whether something new of a tag is held back now.
func (p *pause) holds(tag string, now time.Time) bool { return p.tags[tag] && p.fresh.After(now) }

func (q *queue) len() int { return len(q.fresh) + len(q.retries) }

func (q *queue) push(c *call) error {
	n := q.len()
	if n+q.writing >= q.waitingEvents || n > 0 && q.bytes+q.writingBytes+c.size > q.waitingBytes {
		return ErrQueueFull
	}
	c.state = waiting
	q.fresh = append(q.fresh, c)
	q.bytes += c.size
	return nil
}

func (q *queue) retry(c *call) {
	c.state = waiting
	q.retries = append(q.retries, c)
	q.bytes += c.size
}

// written gives back the room of a call that was written.
func (q *queue) written(c *call) {
	q.writing--
	q.writingBytes -= c.size
}

// remove takes the calls out that gone names.
func (q *queue) remove(gone func(*call) bool) {
	del := func(c *call) bool {
		size := c.size
		if !gone(c) {
			return false
		}
		q.bytes -= size
		return true
	}
	q.retries = slices.DeleteFunc(q.retries, del)
	q.fresh = slices.DeleteFunc(q.fresh, del)
}

// take moves to batch what may be written now, and says when to come again if
// that is nothing: a zero time means that nothing waits.
func (q *queue) take(batch []*call, now time.Time, p pause) (_ []*call, next time.Time) {
	size := 0
	fits := func(c *call) bool {
		return len(batch) < q.batchEvents && (len(batch) == 0 || size+c.size <= q.batchBytes)
	}
	add := func(c *call) {
		c.state = inWrite
		batch = append(batch, c)
		size += c.size
		q.bytes -= c.size
		q.writing++
		q.writingBytes += c.size
	}
	kept := q.retries[:0]
	for _, c := range q.retries {
		due := c.notBefore
		if due.Before(p.retries) {
			due = p.retries
		}
		if !due.After(now) && fits(c) {
			add(c)
			continue
		}
		kept = append(kept, c)
		if next.IsZero() || due.Before(next) {
			next = due
		}
	}
	clear(q.retries[len(kept):])
	q.retries = kept

	if p.fresh.After(now) {
		held := q.fresh[:0]
		for _, c := range q.fresh {
			if !p.tags[c.event.Tag] && fits(c) {
				add(c)
			} else {
				held = append(held, c)
			}
		}
		clear(q.fresh[len(held):])
		if q.fresh = held; len(held) > 0 && (next.IsZero() || p.fresh.Before(next)) {
			next = p.fresh
		}
		return batch, next
	}
	n := 0
	for n < len(q.fresh) && fits(q.fresh[n]) {
		add(q.fresh[n])
		n++
	}
	left := copy(q.fresh, q.fresh[n:])
	clear(q.fresh[left:])
	q.fresh = q.fresh[:left]
	return batch, next
}

// Recorder.mu must be held for enqueue, arm and settle.
func (r *Recorder) enqueue(c *call) error {
	if r.closed {
		return ErrClosed
	}
	if err := r.queue.push(c); err != nil {
		return err
	}
	r.stats.Pending++
	if r.expiry.IsZero() || c.deadline.Before(r.expiry) {
		r.arm(c.deadline)
	}
	if r.pauses > 0 && r.pause.holds(c.event.Tag, time.Now()) {
		return nil // the writer comes when the pause is over
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return nil
}

// arm has expire run at t. One timer serves all calls, and stays armed when the
// call it was meant for is settled: a timer for each costs a tenth of an audit.
func (r *Recorder) arm(t time.Time) {
	r.expiry = t
	if r.timer == nil {
		r.timer = time.AfterFunc(time.Until(t), r.expire)
	} else {
		r.timer.Reset(time.Until(t))
	}
}

// expire ends the calls whose time has run out.
func (r *Recorder) expire() {
	defer r.reportLost()
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	var next time.Time
	expired := func(c *call) bool {
		if !c.deadline.After(now) {
			return true
		}
		if next.IsZero() || c.deadline.Before(next) {
			next = c.deadline
		}
		return false
	}
	r.queue.remove(func(c *call) bool {
		if !expired(c) {
			return false
		}
		r.settle(c, settled, c.outcome(ErrTimeout))
		return true
	})
	r.abandon(expired)
	r.expiry = time.Time{}
	if !next.IsZero() {
		// The longer the queue, the more it costs to look through it.
		if soon := now.Add(time.Duration(r.queue.len()) * expiryGap); next.Before(soon) {
			next = soon
		}
		r.arm(next)
	}
}

// abandon lets the callers go whose events are being written and that gone names.
// Recorder.mu must be held.
func (r *Recorder) abandon(gone func(*call) bool) {
	for _, c := range r.out.batch {
		if c.state == inWrite && gone(c) {
			r.settle(c, abandoned, c.outcome(ErrUnknown))
		}
	}
}

// expiryGap is for each call that waits how long expire pauses at least.
const expiryGap = 200 * time.Nanosecond

// settle counts the outcome of a call and lets its caller go on, to whom the call
// belongs from here unless it is abandoned.
func (r *Recorder) settle(c *call, state callState, err error) {
	r.stats.Pending--
	v := c.verdict(err == nil)
	if state == abandoned {
		v = unknown
	}
	r.count(c, v, 1)
	if c.bestEffort && err != nil {
		r.lost.add(c.event.Tag, err)
	}
	for _, f := range c.flushes {
		f.settled()
	}
	c.state = state
	c.err = err
	c.done <- struct{}{}
}
