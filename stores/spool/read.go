package spool

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/auditing-go/auditing/core"
)

// Read implements [core.Reader] over both the spool and the next store, which
// has to be a Reader. While nothing of that can be read, neither can the spool: its
// answer would lack events. A page costs reading all that waits in the time that q asks for.
func (s *Store) Read(ctx context.Context, q core.Query) (core.Page, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	if s.isClosed() {
		return core.Page{}, core.ErrClosed
	}
	store, err := s.next.get(ctx)
	if err != nil {
		return core.Page{}, fmt.Errorf("auditing: opening the store behind the spool: %w", err)
	}
	next, ok := store.(core.Reader)
	if !ok {
		return core.Page{}, fmt.Errorf("auditing: %T behind the spool cannot be read: %w", store, errors.ErrUnsupported)
	}
	found := found{q: q.Normalize()}
	if found.cursor, found.paged, err = q.Cursor(); err != nil {
		return core.Page{}, err
	}
	// The spool first: an event is in the next store before it leaves the spool, so
	// that one which moves in between is found twice and never missed.
	for r, err := range s.all() {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err == nil {
			err = found.record(r)
		}
		if err != nil {
			return core.Page{}, err
		}
	}
	page, err := next.Read(ctx, found.q)
	if err != nil {
		err = fmt.Errorf("auditing: reading the store behind the spool: %w", err)
		if len(page.Events) == 0 {
			return core.Page{}, err
		}
	}
	found.events = append(found.events, page.Events...)
	found.more = found.more || page.Next != ""
	if err2 := found.prune(); err2 != nil {
		return core.Page{}, err2
	}
	return core.Page{Events: found.events, Next: found.next}, err
}

// Tags implements [core.TagLister] over both the spool and the next store, which has to be
// one. It costs reading all that waits.
func (s *Store) Tags(ctx context.Context) ([]string, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	if s.isClosed() {
		return nil, core.ErrClosed
	}
	store, err := s.next.get(ctx)
	if err != nil {
		return nil, fmt.Errorf("auditing: opening the store behind the spool: %w", err)
	}
	next, ok := store.(core.TagLister)
	if !ok {
		return nil, fmt.Errorf("auditing: %T behind the spool does not list tags: %w", store, errors.ErrUnsupported)
	}
	waiting := map[string]bool{}
	for r, err := range s.all() {
		var e core.Event
		if err == nil {
			err = context.Cause(ctx)
		}
		if err == nil {
			e, err = r.event()
		}
		if err != nil {
			return nil, fmt.Errorf("auditing: reading the spool: %w", err)
		}
		waiting[e.Tag] = true
	}
	tags, err := next.Tags(ctx)
	for _, tag := range tags {
		waiting[tag] = true
	}
	if err != nil {
		err = fmt.Errorf("auditing: reading the store behind the spool: %w", err)
	}
	return slices.Sorted(maps.Keys(waiting)), err
}

// all yields all records that wait or are set aside, and others that were passed on.
func (s *Store) all() iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		s.reading.RLock()
		defer s.reading.RUnlock()
		s.mu.Lock() // while which nothing leaves one log for the other
		parts := []iter.Seq2[record, error]{s.log.records(), s.aside.records()}
		s.mu.Unlock()
		for _, part := range parts {
			for r, err := range part {
				if !yield(r, err) {
					return
				}
			}
		}
	}
}

// found collects the newest events that match a query.
type found struct {
	q      core.Query // normalised
	cursor core.Cursor
	paged  bool
	events []core.Event
	more   bool   // than the page has
	next   string // of the page, when there is more
	floor  int64  // when there is more: nothing older belongs to the page
}

func (f *found) record(r record) error {
	// What the record itself says saves parsing most events.
	if f.paged && r.time > f.cursor.Time.UnixMicro() ||
		!f.q.From.IsZero() && r.time < f.q.From.UnixMicro() || !f.q.To.IsZero() && r.time >= f.q.To.UnixMicro() ||
		f.more && r.time < f.floor {
		return nil
	}
	e, err := r.event()
	if err != nil {
		return fmt.Errorf("auditing: reading the spool: %w", err)
	}
	if f.events = append(f.events, e); len(f.events) >= 2*f.q.Limit+1024 {
		return f.prune()
	}
	return nil
}

// prune keeps the first page of what was found, each event once.
func (f *found) prune() error {
	slices.SortFunc(f.events, core.Event.Compare)
	f.events = slices.CompactFunc(f.events, func(a, b core.Event) bool { return a.ID == b.ID })
	page, err := f.q.Page(f.events)
	f.events, f.more = page.Events, f.more || page.Next != ""
	if n := len(f.events); n > 0 && f.more {
		last := f.events[n-1]
		f.next, f.floor = core.Cursor{Time: last.Time, ID: last.ID}.String(), last.Time.UnixMicro()
	}
	return err
}
