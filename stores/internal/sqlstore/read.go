package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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
	if err := r.fill(ctx, sources); err != nil {
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
	guess *Guess // what the sources were made of, until a statement has shown it right
	whole bool   // the odd rows are looked for when all others that match were read
	few   bool   // sources
	want  int
	batch int          // how many rows the next statement asks for
	found []core.Event // the newest, at most want
	// floor is a time that want events are probably not older than, although not yet
	// found; zero when none is known.
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
	var relations []Relation
	var err error
	if !r.again {
		r.guess = r.backend.Guess(names)
	}
	if r.guess != nil {
		relations = r.guess.Relations
	} else if relations, err = r.backend.Relations(ctx, names); err != nil {
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
	if r.guess != nil && len(sources) == 0 {
		return nil, ErrChanged // perhaps: no statement will tell
	}
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
	odd      bool
	newest   time.Time // nothing in it is newer
	diverted bool      // only the rows whose target is not in its column
}

const (
	// fewParts are read, with the odd ones beside them, without being asked for their
	// newest row first.
	fewParts = 10
	// maxParts bounds the tables of one statement, which locks each of them.
	maxParts = 100
	// maxExpressions bounds a statement over wide tables.
	maxExpressions = 8000
)

// fill finds events of the sources, the odd rows behind all others.
func (r *reading) fill(ctx context.Context, sources []*source) error {
	var sound, odd []part
	for _, src := range sources {
		sound = append(sound, r.split(part{source: src, newest: endOfTime})...)
		if r.wantsOdd() {
			odd = append(odd, part{source: src, odd: true, newest: noTime})
		}
	}
	r.few = len(sources) <= fewParts
	if r.few && r.backend.Odd() == (Odd{}) {
		return r.readAll(ctx, append(sound, odd...)) // spares a round trip
	}
	if !r.few {
		// What moves to its own table meanwhile is then found in one of them.
		if n := slices.IndexFunc(sound, func(p part) bool { return p.rel.Name == r.overflowName() }); n >= 0 {
			if err := r.readAll(ctx, sound[n:n+1]); err != nil {
				return err
			}
			sound = slices.Delete(sound, n, n+1)
		}
	}
	for _, parts := range [][]part{sound, odd} {
		var err error
		if !r.few {
			parts, err = r.newestFirst(ctx, parts)
		}
		if err == nil {
			err = r.readAll(ctx, parts)
		}
		if err == nil && len(r.found) < r.want && !r.floor.IsZero() {
			r.floor = time.Time{} // something was in its way
			err = r.readAll(ctx, parts)
		}
		if err != nil || len(r.found) == r.want {
			return err
		}
	}
	return nil
}

// newestFirst returns the parts that have rows in the order of their newest.
func (r *reading) newestFirst(ctx context.Context, parts []part) ([]part, error) {
	var live []part
	ask := func(ctx context.Context, parts []part) error {
		query, args := r.newestQuery(parts)
		often := r.q.User == "" && r.q.From.IsZero() && r.q.To.IsZero() && len(r.q.Fields) == 0
		rows, err := r.backend.Query(ctx, often, nil, query, args...)
		for _, row := range rows {
			p := parts[number(row[0])]
			if v, err := r.backend.Value(row[1], Time); err == nil {
				if at, ok := v.(time.Time); ok && at.Before(p.newest) {
					p.newest = at
				}
			}
			live = append(live, p)
		}
		return err
	}
	for rest := parts; len(rest) > 0; {
		some := firstGroup(rest, maxParts)
		if err := r.each(ctx, some, ask); err != nil {
			return nil, err
		}
		rest = rest[len(some):]
	}
	slices.SortStableFunc(live, func(a, b part) int { return b.newest.Compare(a.newest) })
	if len(live) >= r.want && len(r.q.Fields) == 0 && !parts[0].odd {
		r.floor = live[r.want-1].newest
	}
	return live, nil
}

// readAll reads what the page still lacks of parts, which are in the order of their newest.
func (r *reading) readAll(ctx context.Context, parts []part) error {
	for size := 2 * fewParts; ; size = min(2*size, maxParts) {
		bound := r.bound()
		if i := slices.IndexFunc(parts, func(p part) bool { return p.newest.Before(bound) }); i >= 0 {
			parts = parts[:i]
		}
		if len(parts) == 0 {
			return nil
		}
		some := firstGroup(parts, size)
		if err := r.each(ctx, some, r.readGroup); err != nil {
			return err
		}
		parts = parts[len(some):]
	}
}

// firstGroup returns the first of parts, as many as a statement can hold, at most size.
func firstGroup(parts []part, size int) []part {
	tables, widest := 0, 0
	for i, p := range parts[:min(len(parts), size)] {
		tables, widest = tables+1+p.rel.Parts, max(widest, len(p.columns))
		if i > 0 && (tables > maxParts || (i+1)*widest > maxExpressions) {
			return parts[:i]
		}
	}
	return parts[:min(len(parts), size)]
}

// each runs f on parts. When a table makes it fail, it is run on halves of them until
// that table stands alone, which is left out.
func (r *reading) each(ctx context.Context, parts []part, f func(context.Context, []part) error) error {
	err := f(ctx, parts)
	if err == nil || ctx.Err() != nil {
		return err
	}
	switch why := r.backend.WhyUnread(err); {
	case why == Unavailable, why == Stale && !r.again:
		return err
	case r.guess != nil: // which may be why
		return ErrChanged
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
