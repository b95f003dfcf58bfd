package storetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/auditing-go/auditing/core"
)

// hostile are texts that a careless store takes for something else.
var hostile = []string{
	`a"b`, `a'b`, "a`b", `a\b`, "a.b", ".", "..", "a..b", "[a]", "(a)", "{a}", "a,b", "a;b", "a/b", "a b", " a", "a ", "a\tb", "a\nb",
	"a\x00b", "a\xffb", "a\ufffdb", "%", "_", "a%", "a?b", "$1", ":a", "@a", "*", "-", "--", "/*", "a:b", "#", "~", "null", "true", "0", "9lives",
	"my-tag", "my_tag", "my tag", "MyTag", "mytag", "MYTAG", "order", "select", "table", "user", "group", "from", "insert",
	"public.x", `public"."x`, `ev(username) values ('pwn'); insert into ev`, `x"; DROP TABLE x; --`, `x'; DROP TABLE x; --`,
	"žluťoučký", "漢字", "ß", "SS", "ǅ", "İ", "ı", "\u212a", "k", "👩🏽‍🚀", "\u202eevil", "\ufeffbom", "é", "e\u0301",
	strings.Repeat("a", 62), strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("a", 65), strings.Repeat("A", 63),
	strings.Repeat("é", 31), strings.Repeat("é", 32), strings.Repeat("x", 10_000), strings.Repeat("x", 10_000) + "y",
}

var tagsOnly = []string{
	"", "pg_x", "PG_X", "sqlite_x", "sqlite_sequence", "audit_overflow", "Audit-Overflow", "audit_x", "AUDIT_X", "audit_", "audit.", "audit",
	"audit.x", "Audit.X", "audit.start", "audit.stop", "audit_start", "audit_request", "audit_extra", "audit_events", "pg_class", "information_schema.tables", "_",
}

var namesOnly = []string{
	"", "id", "ID", "Id", "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid", "rowid", "ROWID", "_rowid_",
	"username", "Username", "datetime", "ip", "host", "path", "Path", "tag", "user", "time", "request", "fields",
	"audit_id", "audit_tag", "audit_request", "audit_extra", "AUDIT_EXTRA", "audit_other", "_id", "_source", "@timestamp", "a", "A", "orderId", "order_id",
}

func hostileTags(p *place) {
	// Tags that are the same once normalised share their events.
	byTag := map[string][]core.Event{}
	first, second := []core.Event{}, []core.Event{}
	for i, tag := range slices.Concat(hostile, tagsOnly) {
		a := event(2*i, tag, core.Fields{"asked": tag, "n": i})
		b := event(2*i+1, tag, core.Fields{"asked": tag, "later": true})
		first, second = append(first, a), append(second, b)
		byTag[a.Tag] = append(byTag[a.Tag], a, b)
	}
	p.save(first...)
	p.save(second...)
	p.holdsAll(slices.Concat(first, second))
	for _, tag := range slices.Concat(hostile, tagsOnly) {
		if tag != "" { // which asks for all tags
			p.holds(core.Query{Tag: tag}, byTag[core.Query{Tag: tag}.Normalize().Tag])
		}
	}
	for _, tag := range []string{"no such tag", "mytaG", "a_b", "a-b", strings.Repeat("a", 61), strings.Repeat("x", 9_999)} {
		p.holds(core.Query{Tag: tag}, nil)
	}
}

func hostileNames(p *place) {
	names := slices.Concat(hostile, namesOnly)
	together := core.Fields{}
	for i, name := range names {
		together[name] = i
	}
	events := []core.Event{event(0, "names", together)}
	for i, name := range names {
		events = append(events,
			event(2*i+1, "names", core.Fields{name: i}),
			event(2*i+2, "alone", core.Fields{name: fmt.Sprint("text ", i)}))
	}
	p.save(events[1:]...)
	p.save(events[0])
	again := event(len(events)+1, "names", together)
	p.save(again)
	p.holdsAll(append(events, again))
	for i, name := range names {
		p.holds(core.Query{Tag: "alone", Fields: core.Fields{name: fmt.Sprint("text ", i)}}, events[2*i+2:2*i+3])
	}
}
