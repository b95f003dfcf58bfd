package scoped

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
)

// texts are the conditions of a query that are texts; "" is none.
func texts(q *core.Query) []*string {
	return []*string{&q.Tag, &q.User, &q.OnBehalfOf, &q.Target, (*string)(&q.Outcome), &q.Reason, &q.Tenant, &q.IP, &q.RequestID}
}

// And is the query for what both a and b ask for, with the Limit and After of a; false when
// nothing can be both.
func And(a, b core.Query) (core.Query, bool) {
	a, b = a.Normalize(), b.Normalize()
	ok := true
	others := texts(&b)
	for i, t := range texts(&a) {
		ok = ok && (*t == "" || *others[i] == "" || *t == *others[i])
		*t = cmp.Or(*t, *others[i])
	}
	a.NotTags = append(a.NotTags, b.NotTags...)
	ok = ok && !slices.Contains(a.NotTags, a.Tag)
	ok = ok && (a.ID == uuid.Nil || b.ID == uuid.Nil || a.ID == b.ID)
	a.ID = cmp.Or(a.ID, b.ID)
	a.Anonymous = a.Anonymous || b.Anonymous
	ok = ok && !(a.Anonymous && a.User != "")
	if b.From.After(a.From) {
		a.From = b.From
	}
	if a.To.IsZero() || !b.To.IsZero() && b.To.Before(a.To) {
		a.To = b.To
	}
	ok = ok && (a.To.IsZero() || a.From.Before(a.To))
	a.Fields = maps.Clone(a.Fields)
	for name, want := range b.Fields {
		if asked, both := a.Fields[name]; both && ((asked == nil) != (want == nil) || !auditjson.Equal(asked, want)) {
			ok = false
		}
		if a.Fields == nil {
			a.Fields = core.Fields{}
		}
		a.Fields[name] = want
	}
	return a, ok
}

// Any reads what matches any of queries, which differ only in their Fields: one page in the
// order of events, whose Next goes on in each of them.
func Any(ctx context.Context, from core.Reader, queries []core.Query) (core.Page, error) {
	var all []core.Event
	var errs []error
	limit := core.DefaultLimit
	var known core.Cursor // each query is answered up to here
	more := false
	for _, q := range queries {
		got, err := from.Read(ctx, q)
		if err != nil && len(got.Events) == 0 {
			return core.Page{}, err
		}
		errs = append(errs, err)
		all = append(all, got.Events...)
		limit = q.Normalize().Limit
		c, paged, err := core.Query{After: got.Next}.Cursor()
		if err != nil {
			return core.Page{}, err
		}
		if paged && (!more || at(c).Compare(at(known)) < 0) {
			known, more = c, true
		}
	}
	slices.SortFunc(all, core.Event.Compare)
	all = slices.CompactFunc(all, func(a, b core.Event) bool { return a.ID == b.ID })
	page := core.Page{Events: all}
	if more {
		page.Next = known.String()
		page.Events = slices.DeleteFunc(all, func(e core.Event) bool { return e.Compare(at(known)) > 0 })
	}
	if len(page.Events) > limit {
		page.Events = page.Events[:limit]
		page.Next = After(page.Events[limit-1])
	}
	return page, errors.Join(errs...)
}

func at(c core.Cursor) core.Event { return core.Event{Time: c.Time, ID: c.ID} }
