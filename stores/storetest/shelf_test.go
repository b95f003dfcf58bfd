package storetest_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/storetest"
)

// shelf is a sound store with everything a store can have. Its hooks, nil in a
// sound one, are where a fault breaks it.
type shelf struct {
	*place
	hooks
	mu       sync.Mutex
	isClosed bool
}

// place is what the handles share.
type place struct {
	mu     sync.Mutex
	ids    map[uuid.UUID]bool
	events []core.Event
	away   bool
}

type hooks struct {
	save     func(p *place, ctx context.Context, events []core.Event) error // instead of place.save
	keep     func(core.Event) core.Event                                    // what is kept of an event
	query    func(core.Query) core.Query                                    // what is asked for
	answer   func(core.Query, core.Page) core.Page                          // what is answered
	close    func(closedBefore bool) (stayOpen bool, err error)
	closed   error                        // instead of core.ErrClosed
	list     func(tags []string) []string // instead of each once
	noSecond bool                         // a second handle sees a place of its own
}

func newPlace() *place { return &place{ids: map[uuid.UUID]bool{}} }

func copied(e core.Event) core.Event {
	var c core.Event
	if err := c.UnmarshalJSON(e.AppendJSON(nil)); err != nil {
		panic(err)
	}
	return c
}

func (p *place) save(ctx context.Context, events []core.Event, keep func(core.Event) core.Event) error {
	if err := ctx.Err(); err != nil {
		return core.FailAll(len(events), core.Failure{Err: err, Retry: true})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return core.FailAll(len(events), core.Failure{Err: errAway, Retry: true})
	}
	for _, e := range events {
		if !p.ids[e.ID] {
			p.ids[e.ID] = true
			p.events = append(p.events, keep(e))
		}
	}
	return nil
}

var errAway = errors.New("the shelf is away")

// closedError is nil while the shelf is open.
func (s *shelf) closedError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.isClosed {
		return nil
	}
	return cmp.Or(s.hooks.closed, core.ErrClosed)
}

func (s *shelf) Save(ctx context.Context, events []core.Event) error {
	switch err := s.closedError(); {
	case err != nil:
		return core.FailAll(len(events), core.Failure{Err: err, Retry: true, Lasting: true})
	case s.hooks.save != nil:
		return s.hooks.save(s.place, ctx, events)
	case s.keep != nil:
		return s.place.save(ctx, events, s.keep)
	}
	return s.place.save(ctx, events, copied)
}

func (s *shelf) Read(_ context.Context, q core.Query) (core.Page, error) {
	if err := s.closedError(); err != nil {
		return core.Page{}, err
	}
	if s.query != nil {
		q = s.query(q)
	}
	s.place.mu.Lock()
	defer s.place.mu.Unlock()
	page, err := q.Page(s.events)
	for i, e := range page.Events {
		page.Events[i] = copied(e)
	}
	if s.answer != nil {
		page = s.answer(q, page)
	}
	return page, err
}

func (s *shelf) Tags(context.Context) ([]string, error) {
	s.place.mu.Lock()
	defer s.place.mu.Unlock()
	var tags []string
	for _, e := range s.events {
		tags = append(tags, e.Tag)
	}
	slices.Sort(tags)
	if s.list != nil {
		return s.list(tags), nil
	}
	return slices.Compact(tags), nil
}

func (s *shelf) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.close != nil {
		stayOpen, err := s.close(s.isClosed)
		s.isClosed = !stayOpen
		return err
	}
	s.isClosed = true
	return nil
}

func runShelf(t *testing.T, h hooks) {
	storetest.Run(t,
		func(t *testing.T) core.Store { return &shelf{place: newPlace(), hooks: h} },
		storetest.Tags(200),
		storetest.Outage("away", func(t *testing.T, store core.Store) (end func()) {
			p := store.(*shelf).place
			p.away = true
			return func() { p.away = false }
		}),
		storetest.Reopen(func(t *testing.T, first core.Store) core.Store {
			if h.noSecond {
				return &shelf{place: newPlace(), hooks: h}
			}
			return &shelf{place: first.(*shelf).place, hooks: h}
		}))
}

func TestSoundStore(t *testing.T) { runShelf(t, hooks{}) }
