package outbox

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// Read implements [core.Reader] over both the outbox and its target, which has to be a Reader.
// While nothing of that can be read, neither can the outbox: its answer would lack events. A page
// costs reading all that waits.
func (s *Store) Read(ctx context.Context, q core.Query) (core.Page, error) {
	if s.isClosed() {
		return core.Page{}, core.ErrClosed
	}
	target, ok := s.target.(core.Reader)
	if !ok {
		return core.Page{}, fmt.Errorf("auditing: %T behind the outbox cannot be read: %w", s.target, errors.ErrUnsupported)
	}
	q = q.Normalize()
	// The outbox first: an event is in the target before it leaves the outbox, so that one which
	// moves in between is found twice and never missed.
	var page core.Page
	more := false
	for events, err := range s.all(ctx) {
		if err != nil {
			return core.Page{}, fmt.Errorf("auditing: reading the outbox: %w", err)
		}
		if page, err = q.Page(append(page.Events, events...)); err != nil {
			return core.Page{}, err
		}
		more = more || page.Next != ""
	}
	behind, readErr := target.Read(ctx, q)
	if readErr != nil {
		readErr = fmt.Errorf("auditing: reading the target of the outbox: %w", readErr)
		if len(behind.Events) == 0 {
			return core.Page{}, readErr
		}
	}
	events := append(page.Events, behind.Events...)
	slices.SortFunc(events, core.Event.Compare)
	events = slices.CompactFunc(events, func(a, b core.Event) bool { return a.ID == b.ID })
	page, err := q.Page(events)
	if err != nil {
		return core.Page{}, err
	}
	if n := len(page.Events); n > 0 && page.Next == "" && (more || behind.Next != "") {
		last := page.Events[n-1]
		page.Next = core.Cursor{Time: last.Time, ID: last.ID}.String()
	}
	return page, readErr
}

// Tags implements [core.TagLister] over both the outbox and its target, which has to be one. It
// costs reading all that waits.
func (s *Store) Tags(ctx context.Context) ([]string, error) {
	if s.isClosed() {
		return nil, core.ErrClosed
	}
	target, ok := s.target.(core.TagLister)
	if !ok {
		return nil, fmt.Errorf("auditing: %T behind the outbox does not list tags: %w", s.target, errors.ErrUnsupported)
	}
	found := map[string]bool{}
	for events, err := range s.all(ctx) {
		if err != nil {
			return nil, fmt.Errorf("auditing: reading the outbox: %w", err)
		}
		for _, e := range events {
			found[e.Tag] = true
		}
	}
	tags, err := target.Tags(ctx)
	for _, tag := range tags {
		found[tag] = true
	}
	if err != nil {
		err = fmt.Errorf("auditing: reading the target of the outbox: %w", err)
	}
	return slices.Sorted(maps.Keys(found)), err
}

// readEvents is how many rows are read at once.
const readEvents = 1000

// all yields all events in the table, some at a time.
func (s *Store) all(ctx context.Context) iter.Seq2[[]core.Event, error] {
	return func(yield func([]core.Event, error) bool) {
		after := uuid.Nil.String()
		for {
			var events []core.Event
			n, err := s.rows(ctx, "audit_id > $1", after, func(r row) error {
				after = r.id
				events = append(events, r.event)
				return nil
			})
			if !yield(events, err) || err != nil || n < readEvents {
				return
			}
		}
	}
}

// row is one of the table's.
type row struct {
	id      string
	event   core.Event
	reason  string
	refused int64
}

// rows reads up to readEvents rows that fulfil a condition on one argument, by id.
func (s *Store) rows(ctx context.Context, where, arg string, do func(row) error) (n int, err error) {
	id := "audit_id"
	if !s.dialect.isSQLite() {
		id = "audit_id::text"
	}
	query := fmt.Sprintf("SELECT %s, event, coalesce(reason, ''), coalesce(refused, 0) FROM %s WHERE %s ORDER BY %s.audit_id LIMIT %d", id, s.table, where, s.table, readEvents)
	rows, err := s.db.QueryContext(ctx, s.statement(query), arg)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var r row
		var text []byte
		if err := rows.Scan(&r.id, &text, &r.reason, &r.refused); err != nil {
			return n, err
		}
		if err := r.event.UnmarshalJSON(text); err != nil {
			return n, fmt.Errorf("the row %s: %w", r.id, err)
		}
		if err := do(r); err != nil {
			return n, err
		}
		n++
	}
	return n, rows.Err()
}
