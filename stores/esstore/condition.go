package esstore

import (
	"net/netip"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// condition is one that the server decides by a field which every index needs.
type condition struct {
	field, kind string
	of          func(core.Query) (value string, ok bool)
	clause      func(value string) any
}

var conditions = [...]condition{
	on("tag", func(q core.Query) string { return q.Tag }),
	{"user.name", "keyword", func(q core.Query) (string, bool) { return q.User, q.User != "" || q.Anonymous }, term("user.name")},
	{"event.id", "keyword", func(q core.Query) (string, bool) { return q.ID.String(), q.ID != uuid.Nil }, term("event.id")},
	on("user.effective.name", func(q core.Query) string { return q.OnBehalfOf }),
	on("audit.target", func(q core.Query) string { return q.Target }),
	on("audit.outcome", func(q core.Query) string { return string(q.Outcome) }),
	on("event.reason", func(q core.Query) string { return q.Reason }),
	on("organization.id", func(q core.Query) string { return q.Tenant }),
	{"http.request.id", "keyword", func(q core.Query) (string, bool) { return q.RequestID, q.RequestID != "" }, orRefused(term("http.request.id"))},
	{"source.ip", "ip", func(q core.Query) (string, bool) { return q.IP, q.IP != "" }, orRefused(address)},
}

// on is a condition on a text which every form of a document holds.
func on(field string, of func(core.Query) string) condition {
	return condition{field, "keyword", func(q core.Query) (string, bool) {
		value := of(q)
		return value, value != ""
	}, term(field)}
}

func term(field string) func(string) any {
	return func(value string) any { return object{"term": object{field: object{"value": value}}} }
}

// address finds an address as it was written, which the server does not keep if it is none.
func address(value string) any {
	if ip, err := netip.ParseAddr(value); err != nil || ip.Zone() != "" {
		return term("_ignored")("source.ip")
	}
	return term("source.ip")(value)
}

// orRefused finds documents of events that were refused, too: these do not hold the field.
func orRefused(clause func(string) any) func(string) any {
	return func(value string) any {
		return object{"bool": object{"should": []any{clause(value), object{"exists": object{"field": "audit.refused.time"}}}, "minimum_should_match": 1}}
	}
}

// questions are those of the conditions that a query has.
type questions uint

func questionsOf(q core.Query) (asked questions) {
	for i, c := range conditions {
		if _, ok := c.of(q); ok {
			asked |= 1 << i
		}
	}
	return asked
}

// allQuestions are all.
const allQuestions = 1<<len(conditions) - 1
