package storetest

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
)

// start is the time of an event number 0.
var start = time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)

// event makes the nth event of a test, a millisecond after the one before.
func event(n int, tag string, fields core.Fields) core.Event {
	return core.Event{
		Tag:    tag,
		User:   "alice",
		Time:   start.Add(time.Duration(n) * time.Millisecond),
		Fields: fields,
	}.Normalize(0)
}

// eventsOf makes n events of one tag that differ in their fields' values.
func eventsOf(n int, tag string) []core.Event {
	events := make([]core.Event, n)
	for i := range events {
		events[i] = event(i, tag, core.Fields{"n": i, "text": fmt.Sprint("event ", i), "even": i%2 == 0})
	}
	return events
}

// newestFirst is the order of a page.
func newestFirst(events []core.Event) []core.Event {
	return slices.SortedFunc(slices.Values(events), core.Event.Compare)
}

func cloneAll(events []core.Event) []core.Event {
	clones := make([]core.Event, len(events))
	for i, e := range events {
		clones[i] = clone(e)
	}
	return clones
}

// clone shares nothing with e.
func clone(e core.Event) core.Event {
	if e.Request != nil {
		request := *e.Request
		e.Request = &request
	}
	if e.Fields != nil {
		e.Fields = core.Fields(cloneValue(map[string]any(e.Fields)).(map[string]any))
	}
	return e
}

func cloneValue(value any) any {
	switch v := value.(type) {
	case []byte:
		return append([]byte{}, v...)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = cloneValue(v[i])
		}
		return list
	case map[string]any:
		m := make(map[string]any, len(v))
		for name := range v {
			m[name] = cloneValue(v[name])
		}
		return m
	}
	return value
}

// difference says in what got differs from want, "" when in nothing.
func difference(want, got core.Event) string {
	switch {
	case got.ID != want.ID:
		return fmt.Sprintf("ID is %s, was saved as %s", got.ID, want.ID)
	case got.Tag != want.Tag:
		return fmt.Sprintf("Tag is %.100q, was saved as %.100q", got.Tag, want.Tag)
	case got.User != want.User:
		return fmt.Sprintf("User is %.100q, was saved as %.100q", got.User, want.User)
	case got.OnBehalfOf != want.OnBehalfOf:
		return fmt.Sprintf("OnBehalfOf is %.100q, was saved as %.100q", got.OnBehalfOf, want.OnBehalfOf)
	case got.Target != want.Target:
		return fmt.Sprintf("Target is %.100q, was saved as %.100q", got.Target, want.Target)
	case got.Outcome != want.Outcome:
		return fmt.Sprintf("Outcome is %.100q, was saved as %.100q", got.Outcome, want.Outcome)
	case got.Reason != want.Reason:
		return fmt.Sprintf("Reason is %.100q, was saved as %.100q", got.Reason, want.Reason)
	case got.Tenant != want.Tenant:
		return fmt.Sprintf("Tenant is %.100q, was saved as %.100q", got.Tenant, want.Tenant)
	case got.Service != want.Service:
		return fmt.Sprintf("Service is %.100q, was saved as %.100q", got.Service, want.Service)
	case !got.Time.Equal(want.Time):
		return fmt.Sprintf("Time is %s, was saved as %s", got.Time, want.Time)
	case got.Time.Location() != time.UTC:
		return fmt.Sprintf("Time is in %s, was saved in UTC", got.Time.Location())
	case (got.Request == nil) != (want.Request == nil):
		return fmt.Sprintf("Request is nil: %t, was saved as nil: %t", got.Request == nil, want.Request == nil)
	case got.Request != nil && *got.Request != *want.Request:
		return fmt.Sprintf("Request is %+.2000v, was saved as %+.2000v", *got.Request, *want.Request)
	}
	for _, name := range slices.Sorted(maps.Keys(want.Fields)) {
		g, ok := got.Fields[name]
		switch w := want.Fields[name]; {
		case !ok:
			return fmt.Sprintf("field %.100q is absent, was saved as %s", name, describeValue(w))
		case !auditjson.Equal(g, w):
			return fmt.Sprintf("field %.100q is %s, was saved as %s", name, describeValue(g), describeValue(w))
		case !sameKinds(g, w):
			return fmt.Sprintf("field %.100q is %s, was saved as %s, which is another kind", name, describeValue(g), describeValue(w))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got.Fields)) {
		if _, ok := want.Fields[name]; !ok {
			return fmt.Sprintf("field %.100q is %s, was not in the event (%s)", name, describeValue(got.Fields[name]), ruleAbsent)
		}
	}
	return ""
}

// sameKinds looks at what Equal may leave open. Numbers have one kind: they
// compare by value.
func sameKinds(a, b any) bool {
	switch a := a.(type) {
	case int64, uint64, float64:
		switch b.(type) {
		case int64, uint64, float64:
			return true
		}
		return false
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, sameKinds)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, sameKinds)
	}
	return reflect.TypeOf(a) == reflect.TypeOf(b)
}

func describe(e core.Event) string {
	return fmt.Sprintf("event %s of tag %.100q at %s", e.ID, e.Tag, e.Time.Format(time.RFC3339Nano))
}

func describeValue(v any) string {
	text := fmt.Sprintf("%T %#v", v, v)
	if t, ok := v.(time.Time); ok {
		text = "time.Time " + t.Format(time.RFC3339Nano)
	}
	if len(text) > 300 {
		return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(text[:300], ""), len(text))
	}
	return text
}

func describeQuery(q core.Query) string {
	var parts []string
	add := func(name string, value any, set bool) {
		if set {
			parts = append(parts, fmt.Sprintf("%s=%s", name, describeValue(value)))
		}
	}
	add("Tag", q.Tag, q.Tag != "")
	add("NotTags", q.NotTags, len(q.NotTags) > 0)
	add("ID", q.ID.String(), q.ID != uuid.Nil)
	add("User", q.User, q.User != "")
	add("Anonymous", q.Anonymous, q.Anonymous)
	add("OnBehalfOf", q.OnBehalfOf, q.OnBehalfOf != "")
	add("Target", q.Target, q.Target != "")
	add("Outcome", q.Outcome, q.Outcome != "")
	add("Reason", q.Reason, q.Reason != "")
	add("Tenant", q.Tenant, q.Tenant != "")
	add("IP", q.IP, q.IP != "")
	add("RequestID", q.RequestID, q.RequestID != "")
	add("From", q.From, !q.From.IsZero())
	add("To", q.To, !q.To.IsZero())
	for _, name := range slices.Sorted(maps.Keys(q.Fields)) {
		add(fmt.Sprintf("Fields[%.100q]", name), q.Fields[name], true)
	}
	add("Limit", q.Limit, q.Limit != 0)
	add("After", q.After, q.After != "")
	return "Query{" + strings.Join(parts, " ") + "}"
}
