package sqlstore

import (
	"strings"

	"github.com/auditing-go/auditing/core"
)

// fact is something that an event says of itself, beside its fields. Its column is made
// when it is first needed, as one of a field is. Where there is none it stands in audit_request.
type fact struct {
	column Column
	detail string // its name in audit_request
	of     func(*core.Event) *string
	asked  func(core.Query) string
}

var facts = [...]fact{
	{Column{Name: "audit_outcome", Kind: Text}, "outcome",
		func(e *core.Event) *string { return (*string)(&e.Outcome) }, func(q core.Query) string { return string(q.Outcome) }},
	{Column{Name: "audit_reason", Kind: Text}, "reason",
		func(e *core.Event) *string { return &e.Reason }, func(q core.Query) string { return q.Reason }},
	{Column{Name: "audit_for", Kind: Text}, "for",
		func(e *core.Event) *string { return &e.OnBehalfOf }, func(q core.Query) string { return q.OnBehalfOf }},
	{Column{Name: "audit_target", Kind: Text}, "target",
		func(e *core.Event) *string { return &e.Target }, func(q core.Query) string { return q.Target }},
	{Column{Name: "audit_tenant", Kind: Text}, "tenant",
		func(e *core.Event) *string { return &e.Tenant }, func(q core.Query) string { return q.Tenant }},
}

// factOf returns the fact that a column holds, -1 for a column that holds none.
func factOf(c Column) int {
	for n := range facts {
		if facts[n].column == c {
			return n
		}
	}
	return -1
}

// isOwn reports whether a name is one of those that only this package gives to columns.
func isOwn(column string) bool {
	const prefix = "audit_"
	return len(column) >= len(prefix) && strings.EqualFold(column[:len(prefix)], prefix)
}
