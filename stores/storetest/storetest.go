// Package storetest proves that a store keeps what the comments of [core.Store],
// [core.Reader] and [core.Query] promise. A store's own tests call [Run]:
//
//	func TestContract(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) core.Store { return openOn(t.TempDir()) })
//	}
//
// It is a test helper, not API that a program builds on: a later version may prove more.
//
// Each failure says in words which promise is broken. The suite reads back what it
// saved, so the store has to be a [core.Reader]; a [core.Flusher] is flushed before
// each read, a [core.TagLister] is asked for its tags, and a [core.Closer] is closed and must stay so.
package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
)

// Option tells the suite more about a store.
type Option func(*suite)

// Reopen gives the suite a second handle, as another process would have it, on
// the place that first keeps its events in. Without it the cases that need one
// use the same handle twice, and those about a closed store read nothing back.
func Reopen(open func(t *testing.T, first core.Store) core.Store) Option {
	return func(s *suite) { s.reopen = open }
}

// Tags sets how many tags the case with many tags uses. Defaults to 100.
func Tags(n int) Option {
	return func(s *suite) { s.tags = n }
}

// Outage has the suite see that the store waits an outage out: that it answers one
// with failures of which none is refused, and stores the same events when it is over.
// begin is given the suite's handle, takes away what its place needs (the server, its
// disk, rights on it, a table) and returns what gives it back.
func Outage(name string, begin func(t *testing.T, store core.Store) (end func())) Option {
	return func(s *suite) { s.outages = append(s.outages, outage{name, begin}) }
}

// Run runs the suite. open returns a store on a new, empty place; it is called
// once for each case. Stores that are closers are closed when their case ends.
func Run(t *testing.T, open func(t *testing.T) core.Store, opts ...Option) {
	s := &suite{open: open, tags: 100}
	for _, opt := range opts {
		opt(s)
	}
	for _, c := range []struct {
		name string
		run  func(*place)
	}{
		{"values", values},
		{"requests", requests},
		{"who, what and result", facts},
		{"facts that come later", laterFacts},
		{"forged facts", forgedFacts},
		{"tags", hostileTags},
		{"field names", hostileNames},
		{"changing types", changingTypes},
		{"many fields", manyFields},
		{"same id", sameID},
		{"same id at once", sameIDAtOnce},
		{"batch sizes", batchSizes},
		{"many tags", manyTags},
		{"concurrent saves", concurrentSaves},
		{"nothing kept", nothingKept},
		{"cancelled context", cancelledContext},
		{"queries", queries},
		{"queries by who, what and result", factQueries},
		{"queries by field", fieldQueries},
		{"queries by fields without a column", oddlyNamed},
		{"paging", paging},
		{"list of tags", listOfTags},
		{"many tags in one trail", scattered},
		{"arrivals between pages", arrivals},
		{"malformed cursors", malformedCursors},
		{"closing", closing},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(s.newPlace(t)) })
	}
	for _, o := range s.outages {
		t.Run("outage/"+o.name, func(t *testing.T) { waitedOut(s.newPlace(t), o) })
	}
}

type suite struct {
	open   func(t *testing.T) core.Store
	reopen func(t *testing.T, first core.Store) core.Store
	tags   int

	outages []outage
}

// place is one handle on one place, in one test.
type place struct {
	*testing.T
	suite  *suite
	store  core.Store
	reader core.Reader
}

func (s *suite) newPlace(t *testing.T) *place {
	t.Helper()
	return s.handle(t, s.open(t))
}

func (s *suite) handle(t *testing.T, store core.Store) *place {
	t.Helper()
	if store == nil {
		t.Fatal("open returned a nil store")
	}
	reader, ok := store.(core.Reader)
	if !ok {
		t.Fatalf("%T is no core.Reader: the suite has to read back what it saved", store)
	}
	if closer, ok := store.(core.Closer); ok {
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
			defer cancel()
			if err := closer.Close(ctx); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	return &place{T: t, suite: s, store: store, reader: reader}
}

// another returns a second handle on the same place.
func (p *place) another() *place {
	p.Helper()
	if p.suite.reopen == nil {
		return p
	}
	return p.suite.handle(p.T, p.suite.reopen(p.T, p.store))
}

// patience is how long the suite waits for a call that must come to an end.
const patience = time.Minute

// The promises, as a failure quotes them.
const (
	ruleDurable    = "Save returns nil only when every event of the batch is durable; from then on Read gives it, after Flush where there is one"
	ruleValues     = "a store that returns nil has kept every one of the event's values, each with its kind and numbers by value"
	ruleAbsent     = "a field that is not in the event reads back as absent, not as nil"
	ruleAny        = "every normalised event can be stored, whatever its tag, its field names and its values are"
	ruleOnce       = "an event's ID is stored once, however often and in whichever way Save is given it; one that is stored already is a success"
	ruleOnlySaved  = "Read gives nothing that was not saved"
	ruleForged     = "what is known of an event beside its fields cannot be said by a field"
	ruleUnchanged  = "Save does not change the events"
	ruleNotKept    = "Save keeps neither the slice nor the events after it returned"
	ruleConcurrent = "Save may be called from several goroutines at once, also through several handles"
	ruleNamed      = "a *BatchError names each event that is not known to be stored, once, with its reason; all others of the batch are durable"
	ruleCertain    = "a Failure that is not Unknown is certainly not stored"
	ruleRefused    = "an event is refused only for its own content; everything else is an outage and says Retry"
	ruleEnds       = "Save ends soon after its context does"
	ruleAgain      = "saving again after an error is always safe, and stores what was not stored"
	ruleMatch      = "Read gives exactly the events that match the query"
	ruleTags       = "Tags gives the tags of what can be read, sorted and each once"
	ruleOrder      = "events come ordered by (Time, ID), newest first"
	ruleLimit      = "a page holds at most Limit events"
	ruleNext       = "walking the pages by Next gives each event exactly once and comes to an end"
	ruleLate       = "an event that arrives between two pages comes at most once, and takes none of the others away"
	ruleCursor     = "an After that is not the Next of a page makes Read fail with core.ErrCursor"
	ruleClosed     = "a closed store says so: Save and Read return core.ErrClosed"
	ruleCloseTwice = "Close may be called more than once"
)

// broken reports a promise that was not kept.
func (p *place) broken(rule, format string, args ...any) {
	p.Helper()
	p.Errorf(format+"\n\tbroken promise: %s", append(slices.Clip(args), rule)...)
}

// save saves events, which must succeed.
func (p *place) save(events ...core.Event) {
	p.Helper()
	if err := p.trySave(p.Context(), events); err != nil {
		p.broken(ruleAny, "Save of %d events: %v", len(events), err)
		p.FailNow()
	}
}

// trySave saves events and checks that they stay as they are.
func (p *place) trySave(ctx context.Context, events []core.Event) error {
	p.Helper()
	before := cloneAll(events)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := p.store.Save(ctx, events)
	for i := range events {
		if d := difference(before[i], events[i]); d != "" {
			p.broken(ruleUnchanged, "after Save the caller's event %d differs: %s", i, d)
			break
		}
	}
	return err
}

// flush makes what was saved visible where that takes a Flush.
func (p *place) flush() {
	p.Helper()
	if flusher, ok := p.store.(core.Flusher); ok {
		if err := flusher.Flush(p.Context()); err != nil {
			p.Fatalf("Flush: %v", err)
		}
	}
}

// read returns all events that match q, by walking the pages.
func (p *place) read(q core.Query) []core.Event {
	p.Helper()
	p.flush()
	var all []core.Event
	for {
		page := p.page(q)
		if len(all) > 0 && len(page.Events) > 0 && core.Event.Compare(all[len(all)-1], page.Events[0]) >= 0 {
			p.broken(ruleNext, "a page starts with %s, which does not come behind %s, the end of the page before",
				describe(page.Events[0]), describe(all[len(all)-1]))
			p.FailNow()
		}
		all = append(all, page.Events...)
		if page.Next == "" {
			return all
		}
		if page.Next == q.After {
			p.broken(ruleNext, "the page after %q has the same Next again", q.After)
			p.FailNow()
		}
		q.After = page.Next
	}
}

// page reads one page and checks what holds for each.
func (p *place) page(q core.Query) core.Page {
	p.Helper()
	page, err := p.reader.Read(p.Context(), q)
	if err != nil {
		p.broken(ruleMatch, "Read of %s: %v", describeQuery(q), err)
		p.FailNow()
	}
	if limit := q.Normalize().Limit; len(page.Events) > limit {
		p.broken(ruleLimit, "Read of %s: %d events in one page", describeQuery(q), len(page.Events))
	}
	for i := 1; i < len(page.Events); i++ {
		a, b := page.Events[i-1], page.Events[i]
		switch c := core.Event.Compare(a, b); {
		case c == 0:
			p.broken(ruleOnce, "Read of %s: %s comes twice", describeQuery(q), describe(a))
		case c > 0:
			p.broken(ruleOrder, "Read of %s: %s comes before %s", describeQuery(q), describe(a), describe(b))
		default:
			continue
		}
		p.FailNow()
	}
	return page
}

// holds checks that q gives exactly want, in order.
func (p *place) holds(q core.Query, want []core.Event) {
	p.Helper()
	p.same(describeQuery(q), ruleMatch, p.read(q), newestFirst(want))
}

// holdsAll checks that the place holds want and nothing else.
func (p *place) holdsAll(want []core.Event) {
	p.Helper()
	p.same("everything", "", p.read(core.Query{Limit: core.MaxLimit}), newestFirst(want))
}

// same reports the first few differences between two ordered lists. rule is the
// promise that a missing or a surplus event breaks, if it is a special one.
func (p *place) same(what, rule string, got, want []core.Event) {
	p.Helper()
	missing, surplus := rule, rule
	if rule == "" {
		missing, surplus = ruleDurable, ruleOnlySaved
	}
	reported := 0
	for i, j := 0, 0; (i < len(got) || j < len(want)) && reported < 3; {
		c := 0
		switch {
		case i == len(got):
			c = 1
		case j == len(want):
			c = -1
		default:
			c = core.Event.Compare(got[i], want[j])
		}
		switch {
		case c > 0:
			p.broken(missing, "Read of %s: %s is missing (%d events of %d were read)", what, describe(want[j]), len(got), len(want))
			j++
			reported++
		case c < 0:
			p.broken(surplus, "Read of %s: %s was not expected (%d events were, %d were read)", what, describe(got[i]), len(want), len(got))
			i++
			reported++
		default:
			if d := difference(want[j], got[i]); d != "" {
				p.broken(ruleValues, "Read of %s: %s: %s", what, describe(want[j]), d)
				reported++
			}
			i++
			j++
		}
	}
}
