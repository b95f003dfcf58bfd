// Package scoped reads what one viewer may see of the audit trail.
package scoped

import (
	"context"
	"reflect"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
)

// Reader is a [core.Reader] that holds what its Scope and Hide leave of another's. It is
// the only way in which the page reads, so that they govern all that it shows.
type Reader struct {
	From core.Reader
	// Scope holds beside each query.
	Scope core.Query
	// Hide takes fields out of events, and events out of queries for these fields. Optional.
	Hide func(tag, field string) bool
	// Looks says that events of looking at the trail are wanted; else they come only when
	// their tag or id is asked for.
	Looks bool
}

// maxRounds is how often a page that is not full yet is read on. What was found by then is
// the page, and its Next goes on.
const maxRounds = 20

// Read implements [core.Reader]. A page may hold fewer events than its Limit and have a Next,
// where much was read of which little may be seen, or ctx ended.
func (r Reader) Read(ctx context.Context, q core.Query) (core.Page, error) {
	if _, _, err := q.Cursor(); err != nil {
		return core.Page{}, err
	}
	asked := q.Normalize()
	if !r.Looks && asked.Tag == "" && asked.ID == uuid.Nil {
		asked.NotTags = append(asked.NotTags, core.TagRead)
	}
	q, ok := And(asked, r.Scope)
	if !ok {
		return core.Page{}, nil
	}
	var page core.Page
	for round := 1; ; round++ {
		got, err := r.From.Read(ctx, q)
		if err != nil && ctx.Err() != nil && round > 1 {
			page.Next = q.After
			return page, nil
		}
		for _, e := range got.Events {
			if !r.sees(asked, e) {
				continue
			}
			if n := len(page.Events); n == q.Limit {
				page.Next = After(page.Events[n-1])
				return page, err
			}
			page.Events = append(page.Events, r.shown(e))
		}
		if page.Next = got.Next; err != nil || got.Next == "" || round == maxRounds {
			return page, err
		}
		if len(page.Events) == q.Limit { // perhaps the rest may not be seen
			return page, nil
		}
		q.After = got.Next
	}
}

// After is the [core.Query.After] that goes on behind e.
func After(e core.Event) string { return core.Cursor{Time: e.Time, ID: e.ID}.String() }

// Bounded reports whether the Scope leaves anything out.
func (r Reader) Bounded() bool {
	s := r.Scope.Normalize()
	s.Limit, s.After = 0, ""
	return !reflect.DeepEqual(s, core.Query{Fields: s.Fields}) || len(s.Fields) > 0
}

// sees reports whether an event that matches is one for the viewer.
func (r Reader) sees(asked core.Query, e core.Event) bool {
	// What somebody else looked at, and the ids of what was found, may lie outside.
	if e.Tag == core.TagRead && r.Bounded() && !contains(e.Fields["query"], r.Scope.Normalize().Describe()) {
		return false
	}
	if r.Hide != nil {
		for name := range asked.Fields {
			if r.Hide(e.Tag, name) {
				return false
			}
		}
	}
	return true
}

// shown is e without what is hidden. It shares nothing that it changes with e.
func (r Reader) shown(e core.Event) core.Event {
	if r.Hide == nil {
		return e
	}
	e.Fields, _ = r.without(e.Tag, map[string]any(e.Fields)).(map[string]any)
	if query, ok := e.Fields["query"].(map[string]any); ok && e.Tag == core.TagRead {
		// Whether a value is hidden depends on tags that were perhaps not asked for.
		delete(query, "fields")
	}
	return e
}

// without is v without the entries that are hidden.
func (r Reader) without(tag string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		kept := make(map[string]any, len(v))
		for name, value := range v {
			if !r.Hide(tag, name) {
				kept[name] = r.without(tag, value)
			}
		}
		return kept
	case []any:
		kept := make([]any, len(v))
		for i, value := range v {
			kept[i] = r.without(tag, value)
		}
		return kept
	}
	return v
}

// contains reports whether a query that was described asks for all that wanted does.
func contains(described any, wanted map[string]any) bool {
	has, ok := described.(map[string]any)
	for name, want := range wanted {
		if inner, isMap := want.(map[string]any); isMap {
			ok = ok && contains(has[name], inner)
		} else {
			ok = ok && has[name] != nil && auditjson.Equal(has[name], want)
		}
	}
	return ok
}
