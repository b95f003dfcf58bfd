package postgres

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// TestHalves writes a row to each of many tables, whatever was done to some of
// them: each is stored once or named as a failure.
func TestHalves(t *testing.T) {
	before := briskTable
	briskTable = time.Hour // however busy the machine is
	t.Cleanup(func() { briskTable = before })

	const tables = 40
	retry := map[int]bool{3: true, 33: true}
	for _, c := range []struct {
		name         string
		change       string // to the database
		twin         string
		busy         bool // somebody else has the second connection
		transactions int  // 0 is any number
		failed       map[int]bool
		why          sqlstore.Reason
	}{
		{name: "all is well", transactions: 2},
		{name: "another table to look into", twin: "audit_overflow", transactions: 1},
		{name: "one connection", busy: true, transactions: 1},
		{name: "a table of each half is gone", change: "DROP TABLE ev3, ev33", failed: retry, why: sqlstore.Stale},
		{name: "a column of each half is retyped", change: "ALTER TABLE ev3 ALTER n TYPE boolean USING true; ALTER TABLE ev33 ALTER n TYPE bytea USING NULL", failed: retry, why: sqlstore.Stale},
		{name: "a table of one half refuses", change: "ALTER TABLE ev33 ADD CHECK (n < 1)", failed: map[int]bool{33: true}, why: sqlstore.Refused},
		{name: "the connections are lost", change: "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := t.Context()
			cfg := Config{}
			conn, err := parseDSN(pgtest.DSN(t), &cfg)
			if err != nil {
				t.Fatal(err)
			}
			pool := stdlib.OpenDB(*conn)
			b, err := newBackend(ctx, nil, pool, cfg, &connector{kept: stdlib.OpenDB(*conn)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { b.Close(context.Background()) })
			fields := []sqlstore.Column{{Name: "n", Kind: sqlstore.Int}}
			exec := func(statement string) {
				t.Helper()
				if _, err := pool.ExecContext(ctx, statement); err != nil {
					t.Fatal(err)
				}
			}
			exec(b.DDL("audit_overflow", nil))
			for i := range tables {
				exec(b.DDL(fmt.Sprint("ev", i), fields))
			}
			write := func(n int64) []sqlstore.RowFailure {
				var batches []sqlstore.Batch
				for i := range tables {
					e := core.Event{Tag: fmt.Sprint("ev", i), User: "me"}.Normalize(0)
					batches = append(batches, sqlstore.Batch{
						Table: &sqlstore.Table{Name: e.Tag, Fields: fields}, Fields: fields, Twin: c.twin,
						Rows: []sqlstore.Row{{Index: i, Event: &e, Values: []any{n}}},
					})
				}
				return b.Write(ctx, batches)
			}
			if failures := write(0); len(failures) > 0 {
				t.Fatal(failures)
			}
			if c.change != "" {
				exec(c.change)
			}
			if c.busy {
				l := b.takeIdle()
				defer b.writers.give(l)
			}
			failed := map[int]bool{}
			for _, f := range write(1) {
				failed[f.Index] = true
				if !c.failed[f.Index] || f.Why != c.why {
					t.Errorf("the row of table %d: %v, reason %d", f.Index, f.Err, f.Why)
				}
			}

			var selects []string
			for i := range tables {
				if !c.failed[i] {
					selects = append(selects, fmt.Sprintf("SELECT tableoid, xmin::text AS x FROM ev%d WHERE n = 1", i))
				} else if !failed[i] {
					t.Errorf("the row of table %d did not fail", i)
				}
			}
			var rows, in, transactions int
			if err := pool.QueryRowContext(ctx, "SELECT count(*), count(DISTINCT tableoid), count(DISTINCT x) FROM ("+
				strings.Join(selects, " UNION ALL ")+") stored").Scan(&rows, &in, &transactions); err != nil {
				t.Fatal(err)
			}
			if want := tables - len(c.failed); rows != want || in != want {
				t.Errorf("%d rows in %d tables, want %d in as many", rows, in, want)
			}
			if c.transactions > 0 && transactions != c.transactions {
				t.Errorf("%d transactions, want %d", transactions, c.transactions)
			}
		})
	}
}
