// Package audittest helps to test code that audits.
//
// A [Recording] gives a recorder, which can also be read, and looks at what it was told:
//
//	rec := audittest.New(t)
//	app := NewApp(rec.Recorder())
//	…
//	if got := rec.Last("refund"); got.User != "alice" {
package audittest

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// closeTimeout is how long the end of a test waits for audits that are under way.
const closeTimeout = 10 * time.Second

// Recording keeps what is audited in a test, in memory. It is safe for concurrent use.
type Recording struct {
	tb  testing.TB
	rec *core.Recorder

	mu     sync.Mutex
	events []core.Event
	joined map[uuid.UUID]bool
	seen   map[uuid.UUID]bool
	err    error
}

// New returns an empty Recording, whose recorder is closed when the test ends.
func New(tb testing.TB) *Recording {
	tb.Helper()
	return NewConfig(tb, core.Config{})
}

// NewConfig is [New] for a recorder that is not the default one, say with
// [core.Config.RequireUser]. Its warnings go to the test's log unless cfg says otherwise.
func NewConfig(tb testing.TB, cfg core.Config) *Recording {
	tb.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(tb.Output(), nil))
	}
	r := &Recording{tb: tb, seen: map[uuid.UUID]bool{}, joined: map[uuid.UUID]bool{}}
	rec, err := core.New((*store)(r), cfg)
	if err != nil {
		tb.Fatalf("audittest: making the recorder: %v", err)
	}
	r.rec = rec
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if err := rec.Close(ctx); err != nil {
			tb.Errorf("audittest: closing the recorder: %v", err)
		}
	})
	return r
}

// Recorder returns the recorder to give to the code under test.
func (r *Recording) Recorder() *core.Recorder { return r.rec }

// Events returns copies of all events so far, in the order in which they were stored.
func (r *Recording) Events() []core.Event {
	return r.where(func(core.Event) bool { return true })
}

// ByTag returns copies of the events with that tag, in the order in which they
// were stored.
func (r *Recording) ByTag(tag string) []core.Event {
	return r.where(func(e core.Event) bool { return e.Tag == tag })
}

// Joined returns copies of the events that were audited in a transaction, see [core.In]. They
// are among [Recording.Events] too, and stay when the transaction is rolled back: the
// Recording does not look at it.
func (r *Recording) Joined() []core.Event {
	return r.where(func(e core.Event) bool { return r.joined[e.ID] })
}

// Last returns a copy of the newest event with that tag. Without one the test fails
// at once, so call it on the test's own goroutine.
func (r *Recording) Last(tag string) core.Event {
	r.tb.Helper()
	events := r.ByTag(tag)
	if len(events) == 0 {
		r.tb.Fatalf("audittest: nothing was audited as %q: %s", tag, r.summary())
	}
	return events[len(events)-1]
}

// maxSummary is how many tags a failing test is told.
const maxSummary = 20

// summary says what was audited, for a test that expected something else.
func (r *Recording) summary() string {
	var tags []string
	counts := map[string]int{}
	for _, e := range r.Events() {
		if counts[e.Tag]++; counts[e.Tag] == 1 {
			tags = append(tags, e.Tag)
		}
	}
	text := "nothing was at all"
	for i, tag := range tags {
		switch {
		case i == 0:
			text = fmt.Sprintf("only %.100q (%d)", tag, counts[tag])
		case i < maxSummary:
			text += fmt.Sprintf(", %.100q (%d)", tag, counts[tag])
		}
	}
	if more := len(tags) - maxSummary; more > 0 {
		text += fmt.Sprintf(" and %d more tags", more)
	}
	if n := r.rec.Stats(); n.Cancelled+n.Failed > 0 {
		text += fmt.Sprintf("; %d audits were cancelled because nobody could be identified, %d failed", n.Cancelled, n.Failed)
	}
	return text
}

// Reset forgets the events so far.
func (r *Recording) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = nil
	clear(r.seen)
	clear(r.joined)
}

// Fail makes each audit from now on fail with err, without storing anything or
// trying again; nil ends that.
func (r *Recording) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *Recording) where(match func(core.Event) bool) []core.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var events []core.Event
	for _, e := range r.events {
		if match(e) {
			events = append(events, clone(e))
		}
	}
	return events
}

// store is the Recording as its recorder sees it, so that Save is not among what
// a test is offered.
type store Recording

// Save implements [core.Store].
func (s *store) Save(_ context.Context, events []core.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return core.FailAll(len(events), core.Failure{Err: s.err})
	}
	for _, e := range events {
		if !s.seen[e.ID] {
			s.seen[e.ID] = true
			s.events = append(s.events, clone(e))
		}
	}
	return nil
}

// Join implements [core.Joiner] for a transaction of any kind.
func (s *store) Join(_ context.Context, _ any, events ...core.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	for _, e := range events {
		s.joined[e.ID] = true
		s.events = append(s.events, clone(e))
	}
	return nil
}

// Read implements [core.Reader].
func (s *store) Read(_ context.Context, q core.Query) (core.Page, error) {
	return q.Page((*Recording)(s).Events())
}

// Tags implements [core.TagLister].
func (s *store) Tags(context.Context) ([]string, error) {
	var tags []string
	for _, e := range (*Recording)(s).Events() {
		tags = append(tags, e.Tag)
	}
	slices.Sort(tags)
	return slices.Compact(tags), nil
}

// clone shares no memory with e: neither the recorder nor a test may change what
// is kept.
func clone(e core.Event) core.Event {
	if e.Request != nil {
		request := *e.Request
		e.Request = &request
	}
	if e.Fields != nil {
		e.Fields = cloneValue(map[string]any(e.Fields)).(map[string]any)
	}
	return e
}

// cloneValue knows the kinds that an event has once it is normalised.
func cloneValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = cloneValue(e)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = cloneValue(e)
		}
		return l
	case []byte:
		return slices.Clone(v)
	}
	return v
}
