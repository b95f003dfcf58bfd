package sqltest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// view holds the view of all tables against what was saved: under odd tags, reserved ones, facts
// with columns and without, tables that others made or changed, and more of them than SQLite
// puts side by side.
func view(t *testing.T, d Database) {
	const many = 1000
	var tables strings.Builder
	for n := range many {
		fmt.Fprintf(&tables, "CREATE TABLE many%d (%s, PRIMARY KEY (audit_id));\n", n, baseOnly)
	}
	d.exec(t, tables.String())
	s := closing(t, d.Open(sqlstore.Config{MaxTables: many + 10}))
	var all []core.Event
	for n, tag := range []string{"order", "select", "my-tag", "日本", "audit.start", "audit_overflow", `it's "odd"; DROP`, "many0", "many999", "ev", "ev", "ev"} {
		e := core.Event{Tag: tag, User: fmt.Sprint("user", n), Fields: core.Fields{"n": n, "my-field": n}}
		if n%2 == 0 {
			e.Target, e.Outcome, e.Reason, e.OnBehalfOf, e.Tenant = fmt.Sprint("order/", n), core.OutcomeDenied, "limit", "bob", "acme"
			e.Request = &core.Request{IP: "203.0.113.9", Host: "h", Path: "/p"}
		}
		all = append(all, e.Normalize(0))
	}
	save(t, s, all[:11]...)
	save(t, closing(t, d.Open(sqlstore.Config{Fixed: true})), all[11])
	d.exec(t, `ALTER TABLE my_tag RENAME TO "old 'my'""tag"; ALTER TABLE "order" DROP COLUMN host; CREATE TABLE orders (id bigint, audit_target text)`)
	for range 2 {
		statements, err := s.ViewDDL(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			d.exec(t, statements)
		}
	}
	if n := d.count(t, "SELECT count(*) FROM audit_events"); n != len(all) {
		t.Errorf("%d rows are in the view, want %d", n, len(all))
	}
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	for _, e := range all {
		is := func(column, want string) string {
			if want == "" {
				return column + " IS NULL"
			}
			return column + " = " + quote(want)
		}
		host := ""
		if e.Request != nil && e.Tag != "order" {
			host = e.Request.Host
		}
		query := "SELECT count(*) FROM audit_events WHERE " + strings.Join([]string{
			is("audit_id", e.ID.String()), is("audit_tag", e.Tag), is("username", e.User), is("host", host), is("audit_target", e.Target),
			is("audit_outcome", string(e.Outcome)), is("audit_reason", e.Reason), is("audit_for", e.OnBehalfOf), is("audit_tenant", e.Tenant),
			"datetime > '2020-01-01'", "audit_extra IS NOT NULL",
		}, " AND ")
		if n := d.count(t, query); n != 1 {
			t.Errorf("%d rows of %s", n, query)
		}
	}
	// The store goes on beside it, and reads nothing twice.
	if d.Limited == nil {
		d.exec(t, `DROP TABLE many1`) // which PostgreSQL refuses, and SQLite does not
	}
	again := core.Event{Tag: "ev", User: "me", Fields: core.Fields{"new": true}}
	save(t, s, again, core.Event{Tag: "audit_events", User: "me"}, core.Event{Tag: "later", User: "me"})
	if n := d.count(t, "SELECT count(*) FROM ev WHERE new"); n != 1 {
		t.Errorf("%d rows of a new column", n)
	}
	page, err := s.Read(t.Context(), core.Query{})
	if err != nil || len(page.Events) != len(all)+3 {
		t.Errorf("%d events are read (%v), want %d", len(page.Events), err, len(all)+3)
	}
}
