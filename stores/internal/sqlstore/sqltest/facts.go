package sqltest

import (
	"testing"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// factsWithoutColumns has a store that may not alter tables keep what events say of themselves,
// in tables that have no columns for it.
func factsWithoutColumns(t *testing.T, d Database) {
	owner := closing(t, d.Open(sqlstore.Config{}))
	save(t, owner, core.Event{Tag: "ev", User: "before", Fields: core.Fields{"n": 0}})
	open := d.Open
	if d.Limited != nil {
		open = d.Limited
		d.exec(t, granted)
	}
	s := closing(t, open(sqlstore.Config{Fixed: true}))
	var want []core.Event
	for n, tag := range []string{"ev", "audit-tag", "ev"} { // the second has no table
		e := core.Event{
			Tag: tag, User: "alice", OnBehalfOf: "bob", Target: "order/42", Outcome: core.OutcomeDenied, Reason: "limit", Tenant: "acme", Service: "shop",
			Fields: core.Fields{"n": n},
		}
		if n == 2 {
			e.Request = &core.Request{ID: "r-1", Route: "/{id}"}
		}
		want = append(want, e.Normalize(0))
	}
	save(t, s, want...)
	const all = ` WHERE audit_request IS NOT NULL AND audit_extra IS NULL`
	if n := d.count(t, "SELECT count(*) FROM ev"+all); n != 2 {
		t.Errorf("%d rows have all in audit_request, want 2", n)
	}
	for _, r := range []core.Reader{s, owner} {
		for name, q := range map[string]core.Query{
			"user": {User: "alice"}, "for": {OnBehalfOf: "bob"}, "target": {Target: "order/42"}, "outcome": {Outcome: core.OutcomeDenied}, "reason": {Reason: "limit"},
			"tenant": {Tenant: "acme"}, "all": {OnBehalfOf: "bob", Target: "order/42", Outcome: core.OutcomeDenied, Reason: "limit", Tenant: "acme"},
		} {
			page, err := r.Read(t.Context(), q)
			if err != nil || len(page.Events) != len(want) {
				t.Errorf("by %s %d events are read (%v), want %d", name, len(page.Events), err, len(want))
				continue
			}
			for i, got := range page.Events {
				got.Request = nil
				e := want[len(want)-1-i]
				e.Request = nil
				if string(got.AppendJSON(nil)) != string(e.AppendJSON(nil)) {
					t.Errorf("by %s there is read\n%s, want\n%s", name, got.AppendJSON(nil), e.AppendJSON(nil))
				}
			}
		}
		for name, q := range map[string]core.Query{"target": {Target: "order/4"}, "outcome": {Outcome: core.OutcomeSuccess}, "tenant": {Tenant: "shop"}, "for": {OnBehalfOf: "alice"}} {
			if page, err := r.Read(t.Context(), q); err != nil || len(page.Events) > 0 {
				t.Errorf("by another %s %d events are read (%v), want none", name, len(page.Events), err)
			}
		}
	}
}

// reservedTags are the library's: what an application audits under one reaches no table but
// that of the overflow.
func reservedTags(t *testing.T, d Database) {
	s := closing(t, d.Open(sqlstore.Config{}))
	d.exec(t, `CREATE TABLE audit_internal (`+baseOnly+`, PRIMARY KEY (audit_id))`) // as a later version may have one
	tags := []string{"audit.internal", "audit_internal", "Audit-Internal", "audit.start", "audit_overflow", "audit_events", "audit.", "audit_"}
	ids := map[uuid.UUID]string{}
	for _, tag := range tags {
		e := core.Event{Tag: tag, User: "me", Fields: core.Fields{"audit_id": 1}}.Normalize(0)
		save(t, s, e)
		ids[e.ID] = e.Tag
	}
	if n := d.count(t, "SELECT count(*) FROM audit_overflow"); n != len(tags) {
		t.Errorf("%d events are in the overflow table, want %d", n, len(tags))
	}
	if n := d.count(t, "SELECT count(*) FROM audit_internal"); n != 0 {
		t.Errorf("%d events are in an internal table", n)
	}
	for id, tag := range ids {
		if page, err := s.Read(t.Context(), core.Query{Tag: tag, ID: id}); err != nil || len(page.Events) != 1 {
			t.Errorf("%d events are read by tag %s (%v), want 1", len(page.Events), tag, err)
		}
	}
}
