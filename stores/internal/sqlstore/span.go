package sqlstore

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// place is one in the order of rows: the time and the id, or what the row has instead.
// Without an id it is behind all rows of that time.
type place struct{ when, id any }

// span is a stretch of the order of rows, the newest first.
type span struct {
	from  place     // comes before it
	until time.Time // nothing older is wanted
}

const (
	// tried is how many of the newest rows are looked at in order before all others are in
	// none: on SQLite that adds a fifth to a search of 100,000 rows; 16,000 add a half.
	tried = 4000
	// maxBatch bounds how many rows a statement asks for, unless the page is larger.
	maxBatch = 4000
)

// span is where the page lies that is read, without what can be no part of it any more.
func (r *reading) span() span {
	s := span{place{when: endOfTime}, noTime.Add(time.Microsecond)}
	if !r.q.To.IsZero() {
		s.from.when = r.q.To
	}
	if cursor, paged, _ := r.q.Cursor(); paged && (r.q.To.IsZero() || cursor.Time.Before(r.q.To)) { // it was looked at before
		s.from = place{cursor.Time, cursor.ID}
	}
	for _, t := range []time.Time{r.q.From, r.bound()} {
		if t.After(s.until) {
			s.until = t
		}
	}
	return s
}

// bound is the time of which nothing older is wanted just now.
func (r *reading) bound() time.Time {
	if len(r.found) == r.want {
		return r.found[r.want-1].Time
	}
	return r.floor
}

// readGroup reads what the page still lacks of parts. A value that is common is found
// among the newest rows; for one that is not, all others are read in no order.
func (r *reading) readGroup(ctx context.Context, parts []part) error {
	next := r.span()
	unordered := r.backend.Unordered()
	if unordered == "" || !r.scans() || parts[0].odd {
		_, err := r.readSpan(ctx, parts, next, "")
		return err
	}
	for {
		edge, err := r.edge(ctx, parts, next)
		if err != nil {
			return err
		}
		if edge.IsZero() { // few are left
			_, err := r.readSpan(ctx, parts, next, "")
			return err
		}
		found, err := r.readSpan(ctx, parts, span{next.from, edge}, "")
		if err != nil || len(r.found) == r.want && !r.bound().Before(edge) {
			return err
		}
		next = span{place{when: edge}, r.span().until}
		if !found {
			_, err := r.readSpan(ctx, parts, next, unordered)
			return err
		}
	}
}

// scans reports whether no index leads to what is asked for.
func (r *reading) scans() bool {
	q := r.q
	if q.User != "" || q.Target != "" || q.ID != uuid.Nil || !q.From.IsZero() {
		return false // of a large table there may be few
	}
	return len(q.Fields) > 0 || q.Outcome != "" || q.Reason != "" || q.OnBehalfOf != "" || q.Tenant != "" || q.IP != "" || q.RequestID != ""
}

// edge returns the time of a row of parts behind as many of the span as are tried; zero
// when there are not so many.
func (r *reading) edge(ctx context.Context, parts []part, s span) (edge time.Time, err error) {
	query, args := r.edgeQuery(parts, s)
	rows, err := r.backend.Query(ctx, false, nil, query, args...)
	if err == nil && len(rows) > 0 {
		if v, err := r.backend.Value(rows[0][0], Time); err == nil {
			edge, _ = v.(time.Time)
		}
	}
	return edge, err
}

// readSpan reads what the page still lacks of a span of parts, and reports whether it
// found anything.
func (r *reading) readSpan(ctx context.Context, parts []part, next span, unordered string) (found bool, err error) {
	for until := next.until; ; {
		query, args := r.pageQuery(parts, next, unordered)
		batch := r.batch
		rows, err := r.backend.Query(ctx, r.few && len(r.q.Fields) == 0, r.guess, query, args...)
		if err != nil {
			return found, err
		}
		r.guess = nil // it was right
		last := r.take(parts, rows)
		found = found || len(rows) > 0
		if len(rows) < batch || last == nil {
			return found, nil
		}
		next = span{*last, until}
		if bound := r.bound(); bound.After(until) {
			next.until = bound
		}
	}
}

// take takes what belongs on the page of rows that were read, and returns the place of the
// last; nil when nothing is wanted behind it.
func (r *reading) take(parts []part, rows [][]any) (last *place) {
	events := make([]core.Event, 0, len(rows))
	for _, row := range rows {
		p := parts[number(row[0])]
		e, sound := r.event(p, row)
		switch {
		case sound:
			events = append(events, e)
			last = &place{e.Time, e.ID}
		case p.odd:
			r.left[p.rel.Name] = "it has rows without an audit_id"
		default:
			p.seen = true
			last = &place{row[1], row[2]}
		}
	}
	matching := r.matching(events)
	if len(matching) < len(rows)/2 {
		r.batch = max(r.want, min(4*r.batch, maxBatch))
	}
	r.found = append(r.found, matching...)
	slices.SortFunc(r.found, core.Event.Compare)
	// What is read through two names, as a table and its parent are, comes once.
	r.found = slices.CompactFunc(r.found, func(a, b core.Event) bool { return a.Compare(b) == 0 })
	r.found = r.found[:min(len(r.found), r.want)]
	if n := len(r.found); n == r.want && len(events) > 0 && r.found[n-1].Compare(events[len(events)-1]) <= 0 {
		return nil
	}
	return last
}

// matching returns those of events that match: SQL finds a superset.
func (r *reading) matching(events []core.Event) []core.Event {
	q := r.q
	q.Limit = core.MaxLimit
	var found []core.Event
	for some := range slices.Chunk(events, core.MaxLimit) {
		page, _ := q.Page(some) // the cursor was looked at before
		found = append(found, page.Events...)
	}
	return found
}

// number is a number that was selected.
func number(v any) int {
	switch v := v.(type) {
	case int64:
		return int(v)
	case string:
		n := 0
		for _, c := range v {
			n = 10*n + int(c-'0')
		}
		return n
	}
	return 0
}
