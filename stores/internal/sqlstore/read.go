package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// Read implements [core.Reader]. With a tag it reads what has the name of that tag's
// table, a view too, and the overflow table; without one every table of audits. A table
// whose columns were changed is read as far as it goes; one that cannot be read is named
// in the error, beside the events of the others.
//
// A row that cannot stand among the others, because it has no time or id, or none that
// an event can have, is read last, as of the first microsecond of the year 1. In place
// of a missing id it has one that holds for as long as the row stays where it is.
func (s *Store) Read(ctx context.Context, q core.Query) (core.Page, error) {
	if s.closed.Load() {
		return core.Page{}, core.ErrClosed
	}
	q = q.Normalize()
	if _, _, err := q.Cursor(); err != nil {
		return core.Page{}, err
	}
	page, err := s.read(ctx, q, false)
	if err != nil && s.backend.WhyUnread(err) == Stale && ctx.Err() == nil {
		page, err = s.read(ctx, q, true)
	}
	return page, err
}

// read reads a page; again says that tables have changed, or were locked, under an
// attempt before: then those that still are are left out.
func (s *Store) read(ctx context.Context, q core.Query, again bool) (core.Page, error) {
	// One more than the page holds shows that there is a next page.
	r := reading{Store: s, q: q, again: again, whole: q.After == "" && q.To.IsZero(), want: q.Limit + 1, batch: q.Limit + 1, left: map[string]string{}}
	sources, err := r.sources(ctx)
	if err != nil {
		return core.Page{}, fmt.Errorf("auditing: reading the catalogue: %w", err)
	}
	err = r.fill(ctx, sources, false)
	if err == nil && len(r.found) < r.want && r.wantsOdd() {
		err = r.fill(ctx, sources, true)
	}
	if err != nil {
		return core.Page{}, fmt.Errorf("auditing: reading audits: %w", err)
	}
	page, err := q.Page(r.found)
	return page, errors.Join(err, r.leftOut())
}

// reading is one attempt at a page.
type reading struct {
	*Store
	q     core.Query // normalised
	again bool
	whole bool // the odd rows are looked for when all others that match were read
	few   bool // sources
	want  int
	batch int          // how many rows the next statement asks for
	found []core.Event // the newest, at most want
	// floor is a time that want events are not older than, although not yet found; zero
	// when none is known.
	floor time.Time
	left  map[string]string // tables that are left out, and why
}

// leftOut is the error that names what is left out.
func (r *reading) leftOut() error {
	if len(r.left) == 0 {
		return nil
	}
	var tables []string
	for name, why := range r.left {
		tables = append(tables, fmt.Sprintf("table %q: %s", name, why))
	}
	slices.Sort(tables)
	const most = 10
	if more := len(tables) - most; more > 0 {
		tables = append(tables[:most], fmt.Sprint("and of ", more, " more tables"))
	}
	return errors.New("auditing: events that cannot be read are left out, of " + strings.Join(tables, "; of "))
}

// sources returns where events of the query may be.
func (r *reading) sources(ctx context.Context) ([]*source, error) {
	var names []string
	own := ""
	if r.q.Tag != "" {
		names = []string{r.overflowName()}
		if name, ok := r.tableName(r.q.Tag); ok {
			own, names = name, append(names, name)
		}
	}
	relations, err := r.backend.Relations(ctx, names)
	if err != nil {
		return nil, err
	}
	var locked map[string]bool
	if r.again {
		if locked, err = r.backend.Locked(ctx); err != nil {
			return nil, err
		}
	}
	var sources []*source
	for _, rel := range relations {
		if !rel.Audits() || !strings.HasPrefix(rel.Name, r.cfg.Prefix) {
			continue
		}
		src, why := r.newSource(rel, own)
		if why == "" && locked[rel.Name] {
			why = "another session has locked it"
		}
		if why != "" {
			r.left[rel.Name] = why
		} else {
			sources = append(sources, src)
		}
	}
	r.few = len(sources) <= fewParts
	return sources, nil
}

// noTime is when a row is taken to be of that has no time: the first that a cursor
// can name.
var noTime = time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC)

// endOfTime is when no event can be any more.
var endOfTime = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)

// wantsOdd reports whether a row without a time may match.
func (r *reading) wantsOdd() bool {
	return !r.q.From.After(noTime) && (r.q.To.IsZero() || noTime.Before(r.q.To))
}

// part is what is read of a source: its odd rows, or all others.
type part struct {
	*source
	odd   bool
	after *place    // what comes before it was read
	next  time.Time // nothing that was not read yet is newer
	done  bool
}

// place is one in the order of rows: the time and the id, or what the row has instead.
type place struct{ when, id any }

const (
	// fewParts are read without being asked for their newest row first.
	fewParts = 10
	// maxParts bounds the tables of one statement, which locks each of them.
	maxParts = 100
	// maxExpressions bounds a statement over wide tables.
	maxExpressions = 8000
	// maxBatch bounds how many rows a statement asks for, unless the page is larger.
	maxBatch = 4000
)

// fill finds events of the sources: of their odd rows, or of all others.
func (r *reading) fill(ctx context.Context, sources []*source, odd bool) error {
	cursor, paged, _ := r.q.Cursor() // it was looked at before
	first := part{odd: odd, next: endOfTime}
	if paged {
		first.after, first.next = &place{cursor.Time, cursor.ID}, cursor.Time
	}
	if odd {
		first.next = noTime
	}
	parts := make([]*part, len(sources))
	for i, src := range sources {
		p := first
		p.source = src
		parts[i] = &p
	}
	if len(parts) > fewParts {
		for _, some := range r.groups(parts, maxParts) {
			if err := r.each(ctx, some, r.askNewest); err != nil {
				return err
			}
		}
		r.setFloor(parts)
	}
	for size := fewParts; ; size = min(2*size, maxParts) {
		live := r.live(parts)
		if len(live) == 0 {
			return nil
		}
		slices.SortStableFunc(live, func(a, b *part) int { return b.next.Compare(a.next) })
		if err := r.each(ctx, r.groups(live, size)[0], r.readGroup); err != nil {
			return err
		}
	}
}

// setFloor finds the floor from the newest rows of the parts, if it is certain that
// those match.
func (r *reading) setFloor(parts []*part) {
	r.floor = time.Time{}
	var newest []time.Time
	for _, p := range parts {
		if !p.done && !p.odd && p.next.Before(endOfTime) {
			newest = append(newest, p.next)
		}
	}
	if len(newest) >= r.want && len(r.q.Fields) == 0 {
		slices.SortFunc(newest, func(a, b time.Time) int { return b.Compare(a) })
		r.floor = newest[r.want-1]
	}
}

// bound is the time of which nothing older is wanted just now.
func (r *reading) bound() time.Time {
	if len(r.found) == r.want {
		return r.found[r.want-1].Time
	}
	return r.floor
}

// live returns the parts that may hold what the page still lacks.
func (r *reading) live(parts []*part) []*part {
	for {
		bound := r.bound()
		var live []*part
		for _, p := range parts {
			if !p.done && r.left[p.rel.Name] == "" && !p.next.Before(bound) {
				live = append(live, p)
			}
		}
		if len(live) > 0 || len(r.found) == r.want || r.floor.IsZero() {
			return live
		}
		r.floor = time.Time{} // something was in its way
	}
}

// groups divides parts into what a statement can hold.
func (r *reading) groups(parts []*part, size int) [][]*part {
	var groups [][]*part
	start, tables, widest := 0, 0, 0
	for i, p := range parts {
		tables, widest = tables+1+p.rel.Parts, max(widest, len(p.columns))
		if n := i - start; n > 0 && (n == size || tables > maxParts || (n+1)*widest > maxExpressions) {
			groups = append(groups, parts[start:i])
			start, tables, widest = i, 1+p.rel.Parts, len(p.columns)
		}
	}
	return append(groups, parts[start:])
}

// each runs f on parts. When a table makes it fail, it is run on halves of them until
// that table stands alone, which is left out.
func (r *reading) each(ctx context.Context, parts []*part, f func(context.Context, []*part) error) error {
	err := f(ctx, parts)
	if err == nil || ctx.Err() != nil {
		return err
	}
	switch why := r.backend.WhyUnread(err); {
	case why == Unavailable, why == Stale && !r.again:
		return err
	case len(parts) == 1:
		r.left[parts[0].rel.Name] = r.backend.Reason(err)
		return nil
	}
	half := len(parts) / 2
	if err := r.each(ctx, parts[:half], f); err != nil {
		return err
	}
	return r.each(ctx, parts[half:], f)
}

// askNewest asks parts for the time of their newest row, of the odd ones whether there
// are any.
func (r *reading) askNewest(ctx context.Context, parts []*part) error {
	query, args := r.newestQuery(parts)
	// That what comes behind a cursor is asked for is as usual as that everything is.
	often := parts[0].odd || r.q.User == "" && r.q.From.IsZero() && r.q.To.IsZero() && len(r.q.Fields) == 0
	rows, err := r.backend.Query(ctx, often, query, args...)
	if err != nil {
		return err
	}
	for _, p := range parts {
		p.done = true
	}
	for _, row := range rows {
		p := parts[number(row[0])]
		p.done = false
		if v, err := r.backend.Value(row[1], Time); err == nil {
			if at, ok := v.(time.Time); ok && at.Before(p.next) && at.After(noTime) {
				p.next = at
			}
		}
	}
	return nil
}

// readGroup reads the next rows of parts, which are all odd or all not.
func (r *reading) readGroup(ctx context.Context, parts []*part) error {
	bound := r.bound()
	query, args := r.pageQuery(parts, bound)
	rows, err := r.backend.Query(ctx, r.few && len(r.q.Fields) == 0, query, args...)
	if err != nil {
		return err
	}
	events := make([]core.Event, 0, len(rows))
	var last *place
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
	for _, p := range parts {
		switch {
		case len(rows) == r.batch && last != nil:
			p.after = last
			if at, ok := last.when.(time.Time); ok {
				p.next = at
			}
		case bound.IsZero() || p.odd:
			p.done = true
		default: // all that is not older was read
			p.after, p.next = &place{bound, uuid.Nil}, bound.Add(-time.Microsecond)
		}
	}
	if len(matching) < len(rows)/2 {
		r.batch = max(r.want, min(4*r.batch, maxBatch))
	}
	r.found = append(r.found, matching...)
	slices.SortFunc(r.found, core.Event.Compare)
	// What is read through two names, as a table and its parent are, comes once.
	r.found = slices.CompactFunc(r.found, func(a, b core.Event) bool { return a.Compare(b) == 0 })
	r.found = r.found[:min(len(r.found), r.want)]
	return nil
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
