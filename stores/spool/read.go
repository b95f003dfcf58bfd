package spool

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"

	"github.com/auditing-go/auditing/core"
)

// Read implements [core.Reader] over both the spool and the next store, which
// has to be a Reader. While nothing of that can be read, neither can the spool: its
// answer would lack events. A page costs reading all that waits in the time that q asks for.
func (s *Store) Read(ctx context.Context, q core.Query) (core.Page, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	s.mu.Lock()
	closing := s.closing
	s.mu.Unlock()
	if closing {
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
	// For the same reason what only the journal holds comes before the file.
	scan := scan{ctx: ctx, q: q, cursor: cursor, paged: paged}
	tail := s.wholeTail()
	for i := range tail {
		if err = scan.record(tail[i]); err != nil {
			return core.Page{}, err
		}
	}
	scan.leaveOut(tail)
	err = s.view(func(d *disk, tx *bbolt.Tx) error {
		if err := d.waiting(tx, 0, scan.record); err != nil {
			return err
		}
		return d.bucket(tx, setAsideBucket, 0, scan.record)
	})
	if err == nil {
		err = scan.prune()
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
	return merge(q.Limit, core.Page{Events: scan.found, Next: scan.next}, page), err
}

// scan collects the newest events of the spool that match a query.
type scan struct {
	ctx    context.Context
	q      core.Query // normalised
	cursor core.Cursor
	paged  bool
	found  []core.Event
	next   string
	floor  int64 // when there is a next: nothing older belongs to the page
	seen   int
	known  map[uuid.UUID]struct{} // found before
}

// leaveOut has these records count no more.
func (s *scan) leaveOut(records []record) {
	s.known = make(map[uuid.UUID]struct{}, len(records))
	for i := range records {
		s.known[records[i].id] = struct{}{}
	}
}

func (s *scan) record(r record) error {
	if s.seen++; s.seen%1024 == 0 {
		if err := context.Cause(s.ctx); err != nil {
			return err
		}
	}
	// What the record itself says saves parsing most events.
	if s.paged && r.time > s.cursor.Time.UnixMicro() ||
		!s.q.From.IsZero() && r.time < s.q.From.UnixMicro() || !s.q.To.IsZero() && r.time >= s.q.To.UnixMicro() ||
		s.next != "" && r.time < s.floor {
		return nil
	}
	if _, twice := s.known[r.id]; twice {
		return nil
	}
	e, err := r.event()
	if err != nil {
		return fmt.Errorf("auditing: reading the spool: %w", err)
	}
	if s.found = append(s.found, e); len(s.found) >= 2*s.q.Limit+1024 {
		return s.prune()
	}
	return nil
}

// prune keeps the first page of what was found.
func (s *scan) prune() error {
	page, err := s.q.Page(s.found)
	s.found = page.Events
	// That there is more stays true, also when nothing was added since.
	if n := len(s.found); n > 0 && (s.next != "" || page.Next != "") {
		last := s.found[n-1]
		s.next, s.floor = core.Cursor{Time: last.Time, ID: last.ID}.String(), last.Time.UnixMicro()
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
