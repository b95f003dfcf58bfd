package sqlstore

import (
	"slices"
	"strings"

	"github.com/google/uuid"

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

// Target is the column of what it was done to. With it a table gets an index on it and
// datetime, and one on datetime of the rows whose target stands in audit_request.
var Target = facts[targetFact].column

const targetFact = 3

// Targets reports whether the target's column is among some.
func Targets(columns []Column) bool { return slices.Contains(columns, Target) }

// factConditions are those of the query on what an event says beside its fields, and on its
// request.
func (r *reading) factConditions(p part, args *params) (where []string) {
	if r.q.ID != uuid.Nil {
		where = append(where, r.idOf(p)+" = "+args.share("event", r.q.ID, UUID))
	}
	if c, ok := p.byName["username"]; ok && r.q.Anonymous {
		where = append(where, "("+r.typed(c)+" = '' OR "+Quote(c.Name)+" IS NULL)")
	}
	for _, c := range []struct{ column, text string }{{"username", r.q.User}, {"ip", r.q.IP}} {
		if c.text != "" {
			where = append(where, r.textCondition(p, c.column, c.text, args))
		}
	}
	if r.q.RequestID != "" {
		where = append(where, r.memberCondition(p.source, "audit_request", "id", r.q.RequestID, args.add))
	}
	for n, f := range facts {
		text := f.asked(r.q)
		if text == "" {
			continue
		}
		in := func() string { return r.memberCondition(p.source, "audit_request", f.detail, text, args.add) }
		column := Quote(f.column.Name)
		switch _, ok := p.byName[f.column.Name]; {
		case !ok:
			where = append(where, in())
		case n == targetFact && p.diverted:
			where = append(where, column+" IS NULL", r.backend.Diverted(), in())
		case n == targetFact && p.splits():
			where = append(where, r.textCondition(p, f.column.Name, text, args))
		default:
			where = append(where, "("+r.textCondition(p, f.column.Name, text, args)+" OR "+column+" IS NULL AND "+in()+")")
		}
	}
	return where
}

// textCondition finds the rows with a text in a column.
func (r *reading) textCondition(p part, column, text string, args *params) string {
	c, ok := p.byName[column]
	if !ok {
		return "1 = 0"
	}
	return r.typed(c) + " = " + args.share(column, text, Text)
}

// splits reports whether each of the two places of a target, its column and audit_request,
// has an index.
func (p part) splits() bool {
	_, ok := p.byName[Target.Name]
	return ok && p.byName["audit_request"] == Column{Name: "audit_request", Kind: JSON} && !p.odd
}

// split returns the part twice when what is asked for may stand in either place.
func (r *reading) split(p part) []part {
	if r.q.Target == "" || !p.splits() {
		return []part{p}
	}
	diverted := p
	diverted.diverted = true
	return []part{p, diverted}
}
