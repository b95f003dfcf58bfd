package esstore

import (
	"context"
	"fmt"
	"slices"

	"github.com/auditing-go/auditing/core"
)

// form is how an event is written; each is taken where the one before was refused.
type form uint8

const (
	complete      form = iota
	withoutLabels      // without the copy that can be searched
	deadLetter         // as one text, in the dead-letter index
)

// state is how far an event has come.
type state uint8

const (
	pending state = iota // to be written in its form
	there                // an event of its id is there, but perhaps not on disk
	stored
	failed
)

// item is one event on its way.
type item struct {
	form    form
	state   state
	synced  bool // what was there has been synced to disk
	unknown bool // an attempt may have stored it
	refused bool // failed for good
	reason  string
	err     error
}

// batch is one Save.
type batch struct {
	*Store
	events []core.Event
	items  []item

	rejected int // requests in a row that were rejected as a whole
}

// Save writes events as one or more bulk requests. It leaves trying again to its
// caller, who knows how much time there is: a write that failed may end with the
// recorder's audit or wait in a spool. See [core.Store].
func (s *Store) Save(ctx context.Context, events []core.Event) error {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return core.FailAll(len(events), core.Failure{Err: err, Retry: true, Lasting: true})
	}
	defer leave()
	if len(events) == 0 {
		return nil
	}
	if err := s.pause.holds(); err != nil {
		s.count.failed.Add(int64(len(events)))
		return core.FailAll(len(events), core.Failure{Err: err, Retry: true})
	}
	b := &batch{Store: s, events: events, items: make([]item, len(events))}
	for left := b.in(pending); len(left) > 0; left = b.in(pending) {
		b.send(ctx, left)
		if left = b.in(there); len(left) > 0 {
			b.sync(ctx, left)
		}
	}
	s.reviewWhenDue()
	return b.result()
}

// in lists the events in a state.
func (b *batch) in(state state) []int {
	var found []int
	for i := range b.items {
		if b.items[i].state == state {
			if found == nil {
				found = make([]int, 0, len(b.items)-i)
			}
			found = append(found, i)
		}
	}
	return found
}

// send writes the events at most MaxBytes a request; when one request fails as a whole
// it gives up on all that are left.
func (b *batch) send(ctx context.Context, left []int) {
	for len(left) > 0 {
		body, ends := b.body(left)
		if err := b.deliver(ctx, body, ends, left[:len(ends)]); err != nil {
			b.giveUp(left, err)
			return
		}
		left = left[len(ends):]
	}
}

// body holds as many of the events as one request may, and where each of them ends.
func (b *batch) body(left []int) (body []byte, ends []int) {
	ends = make([]int, 0, len(left))
	for at, i := range left {
		body = b.append(body, i)
		if at == 0 { // the others are about as long
			body = slices.Grow(body, min(len(body)*(len(left)-1)*9/8, b.cfg.MaxBytes))
		}
		if len(body) > b.cfg.MaxBytes && at > 0 {
			break // the next request begins with this one
		}
		ends = append(ends, len(body))
	}
	return body, ends
}

// giveUp leaves what is still pending to another Save.
func (b *batch) giveUp(left []int, err error) {
	for _, i := range left {
		if it := &b.items[i]; it.state == pending {
			it.state, it.err = failed, err
		}
	}
}

// target is the index that event i is written to in its form.
func (b *batch) target(i int) string {
	if b.items[i].form == deadLetter {
		return b.cfg.DeadLetter
	}
	return b.indexOf(b.events[i])
}

// append appends the action and the document of event i.
func (b *batch) append(dst []byte, i int) []byte {
	e, it := b.events[i], &b.items[i]
	dst = append(dst, `{"create":{"_id":"`...)
	dst = appendID(dst, e.ID)
	if it.form == deadLetter || b.cfg.Route != nil {
		dst = append(append(dst, `","_index":"`...), b.target(i)...)
	}
	dst = append(dst, "\"}}\n"...)
	if it.form == deadLetter {
		return appendDeadLetter(dst, e, b.indexOf(e), it.reason)
	}
	return appendDocument(dst, e, it.form == complete)
}

// maxRejected is how many requests in a row may be rejected as a whole before that is
// taken for an outage, not for something in one of the events.
const maxRejected = 8

// deliver sends a body with the documents of the events in left. What is rejected as a
// whole is sent in halves, all of the same size before any smaller one, so that what one
// event causes keeps no other from being stored. An error is that of all that are pending.
func (b *batch) deliver(ctx context.Context, body []byte, ends, left []int) error {
	type part struct{ from, to int }
	for parts := []part{{0, len(left)}}; len(parts) > 0; parts = parts[1:] {
		p := parts[0]
		begin := 0
		if p.from > 0 {
			begin = ends[p.from-1]
		}
		r := b.bulk(ctx, body[begin:ends[p.to-1]], p.to-p.from)
		b.pause.learn(r.after, r.err)
		if r.verdict == rejected {
			b.rejected++
		} else {
			b.rejected = 0
		}
		switch of := left[p.from:p.to]; {
		case r.verdict == answered:
			for at, i := range of {
				b.settle(i, r.items[at].Create)
			}
		case r.verdict == again || b.rejected >= maxRejected:
			for _, i := range of {
				b.items[i].unknown = b.items[i].unknown || r.unknown
			}
			return r.err
		case len(of) > 1:
			half := p.from + len(of)/2
			parts = append(parts, part{p.from, half}, part{half, p.to})
		case r.verdict == tooLarge:
			b.refuse(of[0], &serverError{Reason: r.err.Error()})
		default:
			b.giveUp(of, r.err)
		}
	}
	return nil
}

// settle notes what became of the document of event i.
func (b *batch) settle(i int, r itemReply) {
	it := &b.items[i]
	switch {
	case r.created(), r.conflict() && it.synced:
		it.state = stored
	case r.conflict():
		it.state = there
	case r.refused():
		b.refuse(i, r.Error)
	default:
		it.state, it.err = failed, fmt.Errorf("auditing: %w", &statusError{status: r.Status, reason: r.Error})
		it.unknown = it.unknown || uncertain(r.Status)
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
		it.state, it.refused = failed, true
		it.err = fmt.Errorf("auditing: refused by the index and by %s: %s", b.cfg.DeadLetter, reason.public())
	}
}

// sync has the server sync to disk what is there, and lets the events be written once
// more: what the server lost meanwhile is then stored anew. That an event of the same id
// is there is answered from memory, before the write that stored it has been synced.
func (b *batch) sync(ctx context.Context, left []int) {
	var names []string
	for _, i := range left {
		if name := b.target(i); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	err := b.flushToDisk(ctx, names)
	for _, i := range left {
		it := &b.items[i]
		it.state, it.synced, it.unknown = pending, true, true
		if err != nil {
			it.state, it.err = failed, err
		}
	}
}

// result counts what happened and names what is not known to be stored.
func (b *batch) result() error {
	var failures []core.Failure
	dead, first := 0, 0
	for i := range b.items {
		switch it := &b.items[i]; {
		case it.state != stored:
			failures = append(failures, core.Failure{Index: i, Err: it.err, Retry: !it.refused, Unknown: it.unknown})
		case it.form == withoutLabels:
			b.count.unsearchable.Add(1)
		case it.form == deadLetter:
			if dead++; dead == 1 {
				first = i
			}
		}
	}
	b.count.stored.Add(int64(len(b.items) - len(failures)))
	b.count.deadLettered.Add(int64(dead))
	b.count.failed.Add(int64(len(failures)))
	if dead > 0 {
		b.logger().Warn("auditing: the server refused events; they are in the dead-letter index, each with the reason in audit.refused.reason",
			"index", b.cfg.DeadLetter, "events", dead, "first", b.events[first].ID)
	}
	if failures == nil {
		return nil
	}
	return &core.BatchError{Failures: failures}
}
