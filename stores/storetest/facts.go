package storetest

import (
	"fmt"
	"strings"

	"github.com/auditing-go/auditing/core"
)

// withFacts returns n events of which each has other facts, in a request and outside of one.
func withFacts(n int, tag string) []core.Event {
	var events []core.Event
	pick := func(i int, texts ...string) string { return texts[i%len(texts)] }
	for i := range n {
		e := event(i, tag, core.Fields{"n": i})
		e.User = pick(i, "alice", "", "root", "O'Brien")
		e.OnBehalfOf = pick(i/2, "", "bob", "Bob", "b%b")
		e.Target = pick(i, "order/42", "", "order/4", "Order/42", "order/42 ", `path//a"b\c`, "user/é\u2028")
		e.Outcome = core.Outcome(pick(i/3, "", "success", "denied", "failure"))
		e.Reason = pick(i, "", "over the limit", `it's "so"`)
		e.Tenant = pick(i/5, "", "acme", "ACME", "null")
		e.Service = pick(i, "shop", "")
		if i%4 != 3 {
			e.Request = &core.Request{Path: "/", Host: "h", IP: pick(i, "203.0.113.9", "2001:db8::1", ""), ID: pick(i/2, "", "r-1", "r-2"), Route: pick(i, "/{id}", ""), Trace: pick(i, "", "4bf92f3577b34da6a3ce929d0e0e4736")}
		}
		events = append(events, e.Normalize(0))
	}
	return events
}

func facts(p *place) {
	long := event(1000, "facts", nil)
	long.User, long.OnBehalfOf, long.Tenant, long.Service = strings.Repeat("u", 256), strings.Repeat("b", 256), strings.Repeat("t", 256), strings.Repeat("s", 256)
	long.Target, long.Reason, long.Outcome = "order/"+strings.Repeat("o", 1000), strings.Repeat("r", 4000), "none of ours"
	events := append(withFacts(60, "facts"), long.Normalize(0))
	p.save(events...)
	p.holdsAll(events)
}

// laterFacts saves plain events first: whatever the place made for them has to grow, or take
// the facts otherwise.
func laterFacts(p *place) {
	var all []core.Event
	add := func(change func(*core.Event)) {
		e := event(len(all), fmt.Sprint("later", len(all)%2), core.Fields{"n": len(all)})
		change(&e)
		all = append(all, e)
		p.save(e)
	}
	for range 2 {
		add(func(*core.Event) {})
		add(func(*core.Event) {})
		add(func(e *core.Event) { e.Target = "order/1" })
		add(func(e *core.Event) { e.Outcome, e.Reason = core.OutcomeDenied, "limit" })
		add(func(e *core.Event) { e.OnBehalfOf = "bob" })
		add(func(e *core.Event) { e.Tenant = "acme" })
		add(func(e *core.Event) { e.Service = "shop" })
	}
	p.holdsAll(all)
	p.answers(all, core.Query{Target: "order/1"}, core.Query{Tag: "later0", Target: "order/1"}, core.Query{Outcome: core.OutcomeDenied}, core.Query{Tenant: "acme"})
}

// reservedNames are those that a store may use for what it knows of an event itself.
var reservedNames = []string{
	"audit_outcome", "audit_reason", "audit_for", "audit_target", "audit_tenant", "audit_service", "audit_request", "audit_extra", "audit_id", "audit_tag",
	"audit_time", "audit_new", "audit_", "AUDIT_TARGET", "Audit_Outcome", "outcome", "reason", "for", "target", "tenant", "service", "username", "user", "datetime", "ip", "host",
	"path", "request", "id", "event.outcome", "event", "audit", "audit.target", "@timestamp", "organization", "user.effective.name", "method", "peer", "trace",
}

func forgedFacts(p *place) {
	fields := core.Fields{"n": 1}
	object := map[string]any{}
	for _, name := range reservedNames {
		fields[name] = "forged/1"
		object[name] = "forged/1"
	}
	var events []core.Event
	for i, fields := range []core.Fields{fields, {"audit_request": object, "audit_extra": object, "audit": object, "event": object, "user": object}, {"audit_id": 1, "audit_target": true, "audit_outcome": nil}} {
		plain := event(3*i, "forged", fields)
		real := event(3*i+1, "forged", fields)
		real.Target, real.Outcome, real.Tenant, real.OnBehalfOf, real.Reason, real.Service = "order/1", core.OutcomeSuccess, "acme", "bob", "r", "s"
		real.Request = &core.Request{ID: "r-1", IP: "203.0.113.9"}
		events = append(events, plain, real, event(3*i+2, "forged", core.Fields{"n": 2}))
	}
	p.save(events...)
	got := p.read(core.Query{})
	p.same("everything", ruleForged, got, newestFirst(events))
	p.answers(events, core.Query{Target: "forged/1"}, core.Query{Outcome: "forged/1"}, core.Query{Tenant: "forged/1"}, core.Query{OnBehalfOf: "forged/1"},
		core.Query{Reason: "forged/1"}, core.Query{RequestID: "forged/1"}, core.Query{IP: "forged/1"}, core.Query{User: "forged/1"}, core.Query{Target: "order/1"},
		core.Query{Fields: core.Fields{"audit_target": "forged/1"}}, core.Query{Fields: core.Fields{"audit_target": true}}, core.Query{Fields: core.Fields{"outcome": "forged/1"}})
}

func factQueries(p *place) {
	events := append(withFacts(60, "one"), withFacts(60, "two")...)
	p.save(events...)
	p.answers(events,
		core.Query{ID: events[7].ID}, core.Query{ID: events[70].ID, Tag: "one"}, core.Query{ID: event(0, "x", nil).ID},
		core.Query{Anonymous: true}, core.Query{Anonymous: true, Tag: "two"}, core.Query{Anonymous: true, User: "alice"}, core.Query{User: "O'Brien"},
		core.Query{OnBehalfOf: "bob"}, core.Query{OnBehalfOf: "b%b"}, core.Query{OnBehalfOf: "nobody"},
		core.Query{Target: "order/42"}, core.Query{Target: "order/42 "}, core.Query{Target: "order/%"}, core.Query{Target: `path//a"b\c`}, core.Query{Target: "user/é\u2028"},
		core.Query{Tag: "one", Target: "order/42", Outcome: core.OutcomeDenied},
		core.Query{Outcome: core.OutcomeSuccess}, core.Query{Outcome: core.OutcomeDenied}, core.Query{Outcome: core.OutcomeFailure}, core.Query{Outcome: "never"},
		core.Query{Reason: "over the limit"}, core.Query{Reason: `it's "so"`}, core.Query{Reason: "over"},
		core.Query{Tenant: "acme"}, core.Query{Tenant: "ACME"}, core.Query{Tenant: "null"},
		core.Query{IP: "203.0.113.9"}, core.Query{IP: "2001:db8::1"}, core.Query{IP: "203.0.113"},
		core.Query{RequestID: "r-1"}, core.Query{RequestID: "r-2", Tag: "two"}, core.Query{RequestID: "r"},
		core.Query{User: "root", Tenant: "acme", Outcome: core.OutcomeDenied, From: start, Fields: core.Fields{"n": 26}},
	)
}
