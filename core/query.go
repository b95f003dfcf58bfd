package core

import (
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core/internal/values"
)

const (
	// DefaultLimit is how many events a page holds when [Query.Limit] is not set.
	DefaultLimit = 100
	// MaxLimit is how many events a page holds at most, whatever [Query.Limit] asks for.
	MaxLimit = 10_000
)

// Query selects events. Its zero value is all of them, newest first.
//
// Events are ordered by (Time, ID), newest first. Walking the pages by their
// Next cursors gives every event that could be read when the first page was read
// exactly once, and one that arrives later at most once.
type Query struct {
	// Tag selects one tag; "" is all tags.
	Tag string
	// NotTags leaves out the events of these tags, such as [TagRead].
	NotTags []string
	// ID selects one event, such as that of an [AuditError]; zero is all events.
	ID uuid.UUID
	// User selects one acting user; "" is all users.
	User string
	// Anonymous selects the events without a user, see [Anonymous].
	Anonymous bool
	// OnBehalfOf, Target, Outcome, Reason and Tenant select the events of which
	// [Event] has the same; "" is all. A Target is spelled "order/42".
	OnBehalfOf string
	Target     string
	Outcome    Outcome
	Reason     string
	Tenant     string
	// IP and RequestID select the events of which [Request] has the same IP and ID; "" is all.
	IP, RequestID string
	// From and To select From <= Time < To; a zero time is no bound.
	From, To time.Time
	// Fields selects events that have all these values. Any Go value may stand in
	// it, as in [Event.Fields]. Numbers compare by value; nil asks for a field that
	// is absent.
	Fields Fields
	// Limit is how many events a page holds at most. Defaults to [DefaultLimit],
	// also when it is negative; more than [MaxLimit] is MaxLimit.
	Limit int
	// After is the Next of the page before; "" asks for the first page. One that is
	// no such text makes Read fail with [ErrCursor].
	After string
}

// Page is one answer to a [Query].
type Page struct {
	Events []Event
	// Next asks for the page after this one; "" when there is none.
	Next string
}

// Compare gives the order of events in a page: negative when e comes before other,
// which is when e is newer, and of two at the same time the one with the greater ID.
func (e Event) Compare(other Event) int {
	if c := other.Time.Compare(e.Time); c != 0 {
		return c
	}
	return slices.Compare(other.ID[:], e.ID[:])
}

// Normalize returns q as a store should execute it: its texts, and the names and
// values of Fields, brought to what [Event.Normalize] makes of them, nil left for
// what must be absent; From and To in UTC and whole microseconds, selecting the
// same events; Limit between 1 and [MaxLimit]. It changes nothing that q points to.
func (q Query) Normalize() Query {
	e := normalizeForQuery(Event{
		Tag: q.Tag, User: q.User, OnBehalfOf: q.OnBehalfOf, Target: q.Target, Outcome: q.Outcome, Reason: q.Reason, Tenant: q.Tenant,
		Request: &Request{IP: q.IP, ID: q.RequestID},
	})
	q.Tag, q.User, q.OnBehalfOf, q.Target, q.Outcome, q.Reason, q.Tenant = e.Tag, e.User, e.OnBehalfOf, e.Target, e.Outcome, e.Reason, e.Tenant
	q.IP, q.RequestID = e.Request.IP, e.Request.ID
	q.NotTags = slices.Clone(q.NotTags)
	for i, tag := range q.NotTags {
		q.NotTags[i] = normalizeForQuery(Event{Tag: tag}).Tag
	}
	q.From, q.To = lowerBound(q.From), upperBound(q.To)
	if len(q.Fields) > 0 {
		fields := make(Fields, len(q.Fields))
		for name, value := range q.Fields {
			addNormalized(fields, name, value)
		}
		q.Fields = fields
	}
	switch {
	case q.Limit <= 0:
		q.Limit = DefaultLimit
	case q.Limit > MaxLimit:
		q.Limit = MaxLimit
	}
	return q
}

// addNormalized puts one condition into fields. What normalises to no value at
// all asks for absence, under the name that a value would have been stored by.
func addNormalized(fields Fields, name string, value any) {
	for n, v := range normalizeForQuery(Event{Fields: Fields{name: value}}).Fields {
		fields[n] = v
		return
	}
	for n := range normalizeForQuery(Event{Fields: Fields{name: true}}).Fields {
		fields[n] = nil
	}
}

// normalizeForQuery gives e an ID and a time, so that none is made for it, and
// does not cut: how large the stored events may be is not known here.
func normalizeForQuery(e Event) Event {
	e.ID, e.Time = uuid.Max, values.FirstTime
	return e.Normalize(math.MaxInt)
}

// Match reports whether e is one of the events that q asks for: every condition
// holds and e comes behind After. It does not look at Limit, and nothing matches
// a query whose After is malformed. e must be normalised. To filter many events
// use [Query.Page], which prepares q once.
func (q Query) Match(e Event) bool {
	f, err := newFilter(q)
	return err == nil && f.match(e)
}

// Page answers q from events, which may be in any order: it is [Reader] for a
// store that can list its normalised events. events is left as it is, and the
// page shares their fields. The error is [ErrCursor].
func (q Query) Page(events []Event) (Page, error) {
	f, err := newFilter(q)
	if err != nil {
		return Page{}, err
	}
	var found []Event
	for _, e := range events {
		if f.match(e) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, Event.Compare)
	if len(found) <= f.q.Limit {
		return Page{Events: found}, nil
	}
	found = slices.Clone(found[:f.q.Limit])
	last := found[len(found)-1]
	return Page{Events: found, Next: Cursor{Time: last.Time, ID: last.ID}.String()}, nil
}

// filter is a query made ready to be held against many events.
type filter struct {
	q     Query
	after Event
	paged bool
}

func newFilter(q Query) (filter, error) {
	c, paged, err := q.Cursor()
	return filter{q: q.Normalize(), after: Event{Time: c.Time, ID: c.ID}, paged: paged}, err
}

func (f filter) match(e Event) bool {
	q := f.q
	switch {
	case q.Tag != "" && e.Tag != q.Tag,
		slices.Contains(q.NotTags, e.Tag),
		q.ID != uuid.Nil && e.ID != q.ID,
		q.User != "" && e.User != q.User,
		q.Anonymous && e.User != "",
		q.OnBehalfOf != "" && e.OnBehalfOf != q.OnBehalfOf,
		q.Target != "" && e.Target != q.Target,
		q.Outcome != "" && e.Outcome != q.Outcome,
		q.Reason != "" && e.Reason != q.Reason,
		q.Tenant != "" && e.Tenant != q.Tenant,
		q.IP != "" && (e.Request == nil || e.Request.IP != q.IP),
		q.RequestID != "" && (e.Request == nil || e.Request.ID != q.RequestID),
		!q.From.IsZero() && e.Time.Before(q.From),
		!q.To.IsZero() && !e.Time.Before(q.To),
		f.paged && f.after.Compare(e) >= 0:
		return false
	}
	for name, want := range q.Fields {
		got, ok := e.Fields[name]
		present := ok && got != nil
		if present != (want != nil) || present && !values.Equal(got, want) {
			return false
		}
	}
	return true
}
