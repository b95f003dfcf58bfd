package spool

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

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
		return core.Page{}, ErrClosed
	}
	next, ok := s.next.(core.Reader)
	if !ok {
		return core.Page{}, fmt.Errorf("auditing: %T behind the spool cannot be read: %w", s.next, errors.ErrUnsupported)
	}
	cursor, paged, err := q.Cursor()
	if err != nil {
		return core.Page{}, err
	}
	// The spool first: an event is in the next store before it leaves the spool, so
	// that one which moves in between is found twice and never missed.
	q = q.Normalize()
	found := found{ctx: ctx, q: q, cursor: cursor, paged: paged}
	err = s.each(found.record)
	if err == nil {
		err = found.prune()
	}
	if err != nil {
		return core.Page{}, err
	}
	page, err := next.Read(ctx, q)
	if err != nil {
		err = fmt.Errorf("auditing: reading the store behind the spool: %w", err)
		if len(page.Events) == 0 {
			return core.Page{}, err
		}
	}
	return merge(q.Limit, core.Page{Events: found.events, Next: found.next}, page), err
}

// each visits all records that wait or are set aside, and others that were passed on.
func (s *Store) each(visit func(record) error) error {
	s.mu.Lock() // while which nothing leaves one log for the other
	waiting, end := s.log.all()
	aside, asideEnd := s.aside.all()
	s.mu.Unlock()
	defer waiting.close()
	defer aside.close()
	read := func(r *reader, end uint64) error {
		for r.seq < end {
			rec, err := r.next()
			if err == nil {
				err = visit(rec)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	if err := read(waiting, end); err != nil {
		return err
	}
	return read(aside, asideEnd)
}

// found collects the newest events of the spool that match a query.
type found struct {
	ctx    context.Context
	q      core.Query // normalised
	cursor core.Cursor
	paged  bool
	events []core.Event
	next   string
	floor  int64 // when there is a next: nothing older belongs to the page
	seen   int
}

func (f *found) record(r record) error {
	if f.seen++; f.seen%1024 == 0 {
		if err := context.Cause(f.ctx); err != nil {
			return err
		}
	}
	// What the record itself says saves parsing most events.
	if f.paged && r.time > f.cursor.Time.UnixMicro() ||
		!f.q.From.IsZero() && r.time < f.q.From.UnixMicro() || !f.q.To.IsZero() && r.time >= f.q.To.UnixMicro() ||
		f.next != "" && r.time < f.floor {
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
	f.events = page.Events
	// That there is more stays true, also when nothing was added since.
	if n := len(f.events); n > 0 && (f.next != "" || page.Next != "") {
		last := f.events[n-1]
		f.next, f.floor = core.Cursor{Time: last.Time, ID: last.ID}.String(), last.Time.UnixMicro()
	}
	return err
}

// merge makes one page of two that answer the same query; equal ids come once.
func merge(limit int, a, b core.Page) core.Page {
	ids := make(map[uuid.UUID]struct{}, len(a.Events))
	for _, e := range a.Events {
		ids[e.ID] = struct{}{}
	}
	events := a.Events
	for _, e := range b.Events {
		if _, twice := ids[e.ID]; !twice {
			events = append(events, e)
		}
	}
	slices.SortFunc(events, core.Event.Compare)
	more := a.Next != "" || b.Next != "" || len(events) > limit
	events = events[:min(limit, len(events))]
	page := core.Page{Events: events}
	if n := len(events); more && n > 0 {
		page.Next = core.Cursor{Time: events[n-1].Time, ID: events[n-1].ID}.String()
	}
	return page
}
