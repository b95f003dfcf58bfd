package examples

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// onPostgres is a recorder on a store of its own.
func onPostgres(t *testing.T, dsn string, cfg postgres.Config, recCfg core.Config) *core.Recorder {
	t.Helper()
	store, err := postgres.Open(t.Context(), dsn, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return recorder(t, store, recCfg)
}

func mustAudit(t *testing.T, rec *core.Recorder, tag string, fields core.Fields) {
	t.Helper()
	if err := rec.Audit(t.Context(), tag, fields, core.As("alice")); err != nil {
		t.Fatal(err)
	}
}

// statements returns the SQL under a heading of the Postgres store's README, one by one.
func statements(t *testing.T, heading string) (all []string) {
	t.Helper()
	for _, b := range blocks(t, section(t, postgresReadme, heading), "sql") {
		for _, s := range strings.Split(b.text, ";\n") {
			if s = strings.TrimSpace(s); s != "" {
				all = append(all, s)
			}
		}
	}
	if len(all) < 3 {
		t.Fatalf("the README has only %d statements under %q", len(all), heading)
	}
	return all
}

// TestReadmeQueries runs the README's examples of SQL on what was audited.
func TestReadmeQueries(t *testing.T) {
	dsn := pgtest.DSN(t)
	rec := onPostgres(t, dsn, postgres.Config{}, core.Config{})
	ctx := core.NewContext(t.Context(), nil, proxied{})
	if err := rec.Audit(ctx, "refund", core.Fields{"order": 42, "amount": 9.5}, core.On("order", "A-2"), core.Denied("not from 0 to 100")); err != nil {
		t.Fatal(err)
	}
	mustAudit(t, rec, "🙂", core.Fields{"mood": "good"})
	conn := connect(t, dsn)
	for _, query := range statements(t, "The tables") {
		rows, err := conn.Query(t.Context(), query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		n := 0
		for rows.Next() {
			n++
			values, err := rows.Values()
			if err != nil {
				t.Errorf("%s: %v", query, err)
			}
			for i, v := range values {
				if v == nil {
					t.Errorf("%s\ngives NULL as %s", query, rows.FieldDescriptions()[i].Name)
				}
			}
		}
		if rows.Close(); rows.Err() != nil || n != 1 {
			t.Errorf("%s\ngives %d rows, want 1 (%v)", query, n, rows.Err())
		}
	}
	page, err := rec.Read(t.Context(), core.Query{Tag: "refund", User: "alice"})
	if err != nil || len(page.Events) != 1 || page.Events[0].Fields["order"] != int64(42) {
		t.Errorf("from Go it reads %+v, %v", page, err)
	}
}

// proxied is a request of alice's that came through a proxy.
type proxied struct{}

func (proxied) User(context.Context) (string, error) { return "alice", nil }
func (proxied) Request(context.Context) (*core.Request, error) {
	return &core.Request{Path: "/refund", Host: "example.org", IP: "203.0.113.9", Peer: "10.1.0.1", Forwarded: "203.0.113.9"}, nil
}

// TestReadmeGrants gives a role what the README says and nothing else, on tables that
// the owner made in either way.
func TestReadmeGrants(t *testing.T) {
	for name, byDDL := range map[string]bool{"postgres_auto makes the tables": false, "DDL makes the tables": true} {
		t.Run(name, func(t *testing.T) { readmeGrants(t, byDDL) })
	}
}

func readmeGrants(t *testing.T, byDDL bool) {
	server := pgtest.Start(t)
	if byDDL {
		conn := connect(t, server.DSN())
		if _, err := conn.Exec(t.Context(), "CREATE DATABASE mydb"); err != nil {
			t.Fatal(err)
		}
		conn = connect(t, server.DSN()+" dbname=mydb")
		store, err := postgres.Open(t.Context(), server.DSN()+" dbname=mydb audit_schema=audit", postgres.Config{Fixed: true})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close(context.Background())
		for range 2 {
			for _, ddl := range []string{store.DDL("refund", core.Fields{"order": "A-1"}), store.DDL("", nil)} {
				if _, err := conn.Exec(t.Context(), ddl); err != nil {
					t.Fatalf("%s\n%v", ddl, err)
				}
			}
		}
		indexes := 0
		const count = `SELECT count(*) FROM pg_index WHERE indrelid IN ('audit.refund'::regclass, 'audit.audit_overflow'::regclass)`
		if err := conn.QueryRow(t.Context(), count).Scan(&indexes); err != nil || indexes != 3+2+3 {
			t.Errorf("both tables have %d indexes (%v), want 3 each, and 2 for the targets of the tag's", indexes, err)
		}
	}
	ownerDSN := server.DSN() + " dbname=mydb audit_schema=audit"
	owner := onPostgres(t, ownerDSN, postgres.Config{}, core.Config{})
	mustAudit(t, owner, "refund", core.Fields{"order": "A-1"})

	conn := connect(t, server.DSN()+" dbname=mydb")
	for _, s := range statements(t, "A role that may only add and read") {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}

	var log bytes.Buffer
	role := server.DSN() + " dbname=mydb user=shop audit_schema=audit"
	rec := onPostgres(t, role, postgres.Config{Fixed: true, Logger: slog.New(slog.NewTextHandler(&log, nil))}, core.Config{})
	mustAudit(t, rec, "refund", core.Fields{"order": "A-2"})
	mustAudit(t, rec, "refund", core.Fields{"order": "A-3", "amount": 9.5})
	mustAudit(t, rec, "newtag", core.Fields{"n": 1})
	// What the owner makes later is covered as well.
	mustAudit(t, owner, "later", core.Fields{"n": 1})
	again := onPostgres(t, role, postgres.Config{Fixed: true}, core.Config{})
	mustAudit(t, again, "later", core.Fields{"n": 2})
	for tag, want := range map[string]int{"refund": 3, "newtag": 1, "later": 2} {
		page, err := again.Read(t.Context(), core.Query{Tag: tag})
		if err != nil || len(page.Events) != want {
			t.Errorf("the role reads %d events of %s, want %d (%v)", len(page.Events), tag, want, err)
		}
	}
	for what, query := range map[string]string{
		"the new tag is in audit_overflow": `SELECT count(*) = 1 FROM audit.audit_overflow`,
		"the new field is in audit_extra":  `SELECT count(*) = 1 FROM audit.refund WHERE audit_extra->>'amount' = '9.5'`,
		"the later table is written to":    `SELECT count(*) = 2 FROM audit.later`,
	} {
		var holds bool
		if err := conn.QueryRow(t.Context(), query).Scan(&holds); err != nil || !holds {
			t.Errorf("not so: %s (%v)", what, err)
		}
	}
	for _, statement := range []string{"CREATE TABLE", "ADD COLUMN"} {
		if !strings.Contains(log.String(), statement) {
			t.Errorf("no warning shows the missing %s:\n%s", statement, &log)
		}
	}

	as := connect(t, server.DSN()+" dbname=mydb user=shop")
	for _, forbidden := range []string{
		`UPDATE audit.refund SET username = 'mallory'`,
		`DELETE FROM audit.refund`,
		`DELETE FROM audit.later`,
		`DELETE FROM audit.audit_overflow`,
		`TRUNCATE audit.refund`,
		`DROP TABLE audit.refund`,
		`ALTER TABLE audit.refund ADD COLUMN note text`,
		`CREATE TABLE audit.mine (n int)`,
		`ALTER TABLE audit.refund DISABLE TRIGGER ALL`,
	} {
		var refused *pgconn.PgError
		if _, err := as.Exec(t.Context(), forbidden); !errors.As(err, &refused) || refused.Code != "42501" {
			t.Errorf("%s: %v, want that it is refused", forbidden, err)
		}
	}
}

// TestReadmeOnAServerThatIsDown: what the table says of stores in general holds of
// a real one.
func TestReadmeOnAServerThatIsDown(t *testing.T) {
	server := pgtest.Start(t)
	rec := onPostgres(t, server.DSN(), postgres.Config{}, core.Config{Timeout: time.Second})
	mustAudit(t, rec, "refund", core.Fields{"order": "before"})
	server.Stop(pgtest.Fast)
	// The first finds out that its connection is broken, perhaps in mid-write.
	for _, allowed := range [][]string{{"`core.ErrTimeout`", "`core.ErrUnknown`"}, {"`core.ErrTimeout`"}} {
		err := rec.Audit(t.Context(), "refund", core.Fields{"order": "down"}, core.As("alice"))
		if got := describe(err); !slices.Contains(allowed, got) {
			t.Errorf("while the server is down Audit returns %s (%v), want one of %v", got, err, allowed)
		}
	}
	server.Restart()
	mustAudit(t, rec, "refund", core.Fields{"order": "after"})
	page, err := rec.Read(t.Context(), core.Query{Tag: "refund"})
	if err != nil {
		t.Fatal(err)
	}
	var orders []any
	for _, e := range page.Events {
		orders = append(orders, e.Fields["order"])
	}
	if fmt.Sprint(orders) != "[after before]" {
		t.Errorf("stored are %v", orders)
	}
}
