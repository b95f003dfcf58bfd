package esstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/auditing-go/auditing/core"
)

// form is how an event is written; each is taken where the one before was refused.
type form uint8

const (
	complete      form = iota
	withoutLabels      // without the copy that can be searched
	deadLetter         // as one text, in the dead-letter index
)

// item is one event on its way.
type item struct {
	form    form
	stored  bool
	failed  bool // for good
	unknown bool // an attempt may have stored it
	reason  string
	err     error
}

// batch is one Save.
type batch struct {
	*Store
	events []core.Event
	items  []item

	body      []byte
	ends      []int // where the document of each event of the request ends in body
	abandoned bool  // body may still be read by a transport that gave up on it

	stored, deadLettered int
	delay                time.Duration // what the server asks to wait
	cause                error         // why the last request failed as a whole
	stopped              error         // nothing would be taken
}

// Save writes events as one or more bulk requests, and again where that can help. See
// [core.Store].
func (s *Store) Save(ctx context.Context, events []core.Event) error {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return core.FailAll(len(events), core.Failure{Err: err, Retry: true, Lasting: true})
	}
	defer leave()
	if len(events) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RetryFor)
	defer cancel()
	b := &batch{Store: s, events: events, items: make([]item, len(events)), body: s.buffer()}
	b.run(ctx)
	if !b.abandoned {
		s.release(b.body)
	}
	return b.result()
}

// partialTries is how often Save tries again what failed while its neighbours were
// stored: they are kept waiting meanwhile.
const partialTries = 3

func (b *batch) run(ctx context.Context) {
	pending := make([]int, len(b.events))
	for i := range pending {
		pending[i] = i
	}
	for tries, partial := 0, 0; ; {
		// A pause that outlasts ctx is left to whoever calls again.
		if err := b.pause.wait(ctx); err != nil {
			b.giveUp(pending, err)
			return
		}
		b.send(ctx, pending)
		pending = slices.DeleteFunc(pending, func(i int) bool { return b.items[i].stored || b.items[i].failed })
		if len(pending) == 0 {
			return
		}
		if b.stopped != nil {
			for _, i := range pending {
				b.items[i].failed, b.items[i].err = true, b.stopped
			}
			return
		}
		b.count.retries.Add(1)
		if b.cause == nil && !slices.ContainsFunc(pending, func(i int) bool { return b.items[i].err != nil }) {
			continue // in another form, at once
		}
		if b.stored > 0 {
			if partial++; partial > partialTries {
				b.giveUp(pending, nil)
				return
			}
		}
		b.pause.extend(b.delay)
		tries++
		if err := sleep(ctx, core.Backoff(tries, minBackoff, maxBackoff)); err != nil {
			b.giveUp(pending, err)
			return
		}
		b.delay, b.cause = 0, nil
		for _, i := range pending {
			b.items[i].err = nil
		}
	}
}

// giveUp notes a reason where none is known: why the last request failed, else err.
func (b *batch) giveUp(pending []int, err error) {
	if b.cause != nil {
		err = b.cause
	} else if err != nil {
		err = fmt.Errorf("auditing: no time is left to write: %w", err)
	}
	for _, i := range pending {
		if b.items[i].err == nil {
			b.items[i].err = err
		}
	}
}

// send writes the pending events in requests of at most MaxBytes, until one fails as
// a whole.
func (b *batch) send(ctx context.Context, pending []int) {
	b.restart(nil)
	start := 0
	for at, i := range pending {
		before := len(b.body)
		b.append(i)
		if len(b.body) > b.cfg.MaxBytes && before > 0 {
			if !b.deliver(ctx, pending[start:at], 0) {
				return
			}
			b.restart(b.body[before:])
			start = at
		}
		b.ends = append(b.ends, len(b.body))
	}
	b.deliver(ctx, pending[start:], 0)
}

// restart makes body anew, beginning with a part of the old one.
func (b *batch) restart(keep []byte) {
	dst := b.body[:0]
	if b.abandoned {
		dst, b.abandoned = b.buffer(), false
	}
	b.body, b.ends = append(dst, keep...), b.ends[:0]
}

// append appends the action and the document of event i.
func (b *batch) append(i int) {
	e, it := b.events[i], &b.items[i]
	b.body = append(b.body, `{"create":{"_id":"`...)
	b.body = appendID(b.body, e.ID)
	switch {
	case it.form == deadLetter:
		b.body = append(append(b.body, `","_index":"`...), b.cfg.DeadLetter...)
	case b.cfg.Route != nil:
		b.body = append(append(b.body, `","_index":"`...), b.indexOf(e)...)
	}
	b.body = append(b.body, "\"}}\n"...)
	if it.form == deadLetter {
		b.body = appendDeadLetter(b.body, e, b.indexOf(e), it.reason)
	} else {
		b.body = appendDocument(b.body, e, it.form == complete)
	}
}

// deliver sends the documents of the pending events, of which the first is number
// first in body, and halves them where they are refused together. It reports whether
// to go on.
func (b *batch) deliver(ctx context.Context, pending []int, first int) bool {
	from := 0
	if first > 0 {
		from = b.ends[first-1]
	}
	r, reusable := b.bulk(ctx, b.body[from:b.ends[first+len(pending)-1]], len(pending))
	b.abandoned = b.abandoned || !reusable
	switch r.verdict {
	case answered:
		for at, i := range pending {
			if r.items == nil {
				b.settle(i, itemReply{Status: http.StatusCreated})
			} else {
				b.settle(i, r.items[at])
			}
		}
		return true
	case tooLarge, refused:
		if len(pending) > 1 {
			half := len(pending) / 2
			return b.deliver(ctx, pending[:half], first) && b.deliver(ctx, pending[half:], first+half)
		}
		reason := r.reason
		if reason == nil {
			reason = &serverError{Reason: r.err.Error()}
		}
		b.refuse(pending[0], reason)
		return true
	case forbidden:
		b.stopped = r.err
		return false
	}
	b.cause, b.delay = r.err, r.after
	for _, i := range pending {
		b.items[i].unknown = b.items[i].unknown || r.unknown
	}
	return false
}

// settle notes what became of the document of event i.
func (b *batch) settle(i int, r itemReply) {
	it := &b.items[i]
	switch r.fate() {
	case answered:
		it.stored = true
		b.stored++
		switch it.form {
		case withoutLabels:
			b.count.unsearchable.Add(1)
		case deadLetter:
			b.deadLettered++
		}
	case refused:
		b.refuse(i, r.Error)
	case forbidden:
		it.failed, it.unknown = true, false
		it.err = fmt.Errorf("auditing: %w", &statusError{status: r.Status, reason: r.Error})
	default:
		it.err = fmt.Errorf("auditing: %w", &statusError{status: r.Status, reason: r.Error})
		it.unknown = it.unknown || r.Status >= 500 || r.Status == http.StatusRequestTimeout
	}
}

// refuse gives event i its next form. That it was refused says that it is not stored.
func (b *batch) refuse(i int, reason *serverError) {
	it := &b.items[i]
	it.unknown = false
	switch {
	case it.form == complete && len(b.events[i].Fields) > 0:
		it.form = withoutLabels
	case it.form != deadLetter:
		it.form, it.reason = deadLetter, reason.text()
	default:
		it.failed = true
		it.err = fmt.Errorf("auditing: refused by the index and by %s: %s", b.cfg.DeadLetter, reason.public())
	}
}

// result counts what happened and names what is not known to be stored.
func (b *batch) result() error {
	b.count.stored.Add(int64(b.stored))
	b.count.deadLettered.Add(int64(b.deadLettered))
	b.count.failed.Add(int64(len(b.items) - b.stored))
	if b.deadLettered > 0 {
		at := slices.IndexFunc(b.items, func(it item) bool { return it.stored && it.form == deadLetter })
		b.logger().Warn("auditing: the server refused events; they are in the dead-letter index",
			"index", b.cfg.DeadLetter, "events", b.deadLettered, "first", b.events[at].ID)
	}
	if b.stored == len(b.items) {
		return nil
	}
	failures := make([]core.Failure, 0, len(b.items)-b.stored)
	for i := range b.items {
		if it := &b.items[i]; !it.stored {
			failures = append(failures, core.Failure{Index: i, Err: it.err, Retry: !it.failed, Unknown: it.unknown})
		}
	}
	return &core.BatchError{Failures: failures}
}

// The pauses between attempts, see [core.Backoff].
const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 2 * time.Second
)

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pause is what the server asked for with Retry-After: it holds for every Save.
type pause struct {
	mu    sync.Mutex
	until time.Time
}

var errPaused = errors.New("the server asked to be left alone for longer")

func (p *pause) extend(d time.Duration) {
	if d <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(d); until.After(p.until) {
		p.until = until
	}
}

// wait waits until the pause is over; it fails at once when ctx ends before that.
func (p *pause) wait(ctx context.Context) error {
	p.mu.Lock()
	until := p.until
	p.mu.Unlock()
	left := time.Until(until)
	if left <= 0 {
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(until) {
		return errPaused
	}
	return sleep(ctx, left)
}

// buffers are bodies that nobody reads any more.
var buffers sync.Pool // of *[]byte

func (s *Store) buffer() []byte {
	if b, ok := buffers.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return nil
}

// release keeps a body for the next Save, unless one event made it far larger than most.
func (s *Store) release(b []byte) {
	if cap(b) <= 2*s.cfg.MaxBytes {
		buffers.Put(&b)
	}
}
