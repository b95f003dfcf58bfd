//go:build unix

package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
	"github.com/auditing-go/auditing/stores/storetest"
)

// TestContractBehindPgBouncer in transaction mode, which knows of no prepared statement
// and lends one session to several clients: with every driver, whatever mode its DSN asks for.
func TestContractBehindPgBouncer(t *testing.T) {
	for _, params := range []string{"", "default_query_exec_mode=exec"} {
		for _, driver := range []string{"postgres_auto", "postgres", "New"} {
			t.Run(driver+" "+params, func(t *testing.T) {
				places := map[core.Store]string{}
				at := func(t *testing.T, dsn string) core.Store {
					if driver != "New" {
						return open(t, dsn, postgres.Config{Fixed: driver == "postgres"})
					}
					db, _ := appPool(t, dsn, 10)
					s, err := postgres.New(t.Context(), db, postgres.Config{})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { s.Close(context.Background()) })
					return s
				}
				first := func(t *testing.T) core.Store {
					direct := pgtest.DSN(t)
					if driver == "postgres" {
						connect(t, direct).exec(made(t, direct, "", nil))
					}
					dsn := withParams(pgtest.Bouncer(t, direct), params)
					s := at(t, dsn)
					places[s] = dsn
					return s
				}
				storetest.Run(t, first, storetest.Reopen(func(t *testing.T, first core.Store) core.Store { return at(t, places[first]) }))
			})
		}
	}
}

// TestBehindPgBouncer: two programs and a third party share sessions. Every event is in
// its own tag's table, is committed durably although the default is otherwise, and
// nobody sees a setting of somebody else's.
func TestBehindPgBouncer(t *testing.T) {
	direct := pgtest.DSN(t)
	d := connect(t, direct)
	d.exec(`DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END$$`)
	const programs, audits = 2, 150
	for p := range programs {
		d.exec(made(t, direct, fmt.Sprint("tag", p), core.Fields{"n": 1}))
		d.exec(fmt.Sprintf(`ALTER TABLE tag%d ADD COLUMN setting text DEFAULT current_setting('synchronous_commit')`, p))
	}
	dsn := pgtest.Bouncer(t, direct)
	var wg sync.WaitGroup
	for p := range programs {
		rec := record(t, open(t, dsn, postgres.Config{}))
		for range 3 {
			wg.Go(func() {
				for n := range audits / 3 {
					if err := rec.Audit(t.Context(), fmt.Sprint("tag", p), core.Fields{"n": n}, core.As(fmt.Sprint(p))); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	other := connect(t, dsn+" default_query_exec_mode=exec")
	for range 100 {
		if got := ask[string](other, `SELECT concat_ws(' ', current_setting('lock_timeout'), current_setting('synchronous_commit'), current_setting('plan_cache_mode'))`); got != "0 off auto" {
			t.Fatalf("another client has the settings %s", got)
		}
	}
	wg.Wait()
	for p := range programs {
		if n := ask[int](d, fmt.Sprintf(`SELECT count(*) FROM tag%d WHERE audit_tag = 'tag%d' AND username = '%d' AND setting = 'on'`, p, p, p)); n != audits {
			t.Errorf("%d events of program %d are durably in its table, want %d", n, p, audits)
		}
	}
	if n := ask[int](d, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'`); n != 0 {
		t.Errorf("%d locks were left behind", n)
	}
}

// TestTakesOverBehindPgBouncer a table of the Python library, under a lock that is let go.
func TestTakesOverBehindPgBouncer(t *testing.T) {
	direct := pgtest.DSN(t)
	dsn := pgtest.Bouncer(t, direct)
	d := connect(t, direct)
	d.exec(pythonTable)
	rec := record(t, open(t, dsn, postgres.Config{}))
	eventually(t, "the table is taken over", func() bool {
		if err := rec.Audit(t.Context(), "mytag", core.Fields{"a": "x"}, core.As("me")); err != nil {
			t.Fatal(err)
		}
		return ask[int](d, `SELECT count(*) FROM pg_attribute WHERE attrelid = 'mytag'::regclass AND attname = 'audit_id'`) == 1 &&
			ask[int](d, `SELECT count(*) FROM mytag WHERE username = 'me'`) > 0
	})
	eventually(t, "the lock is let go", func() bool { return ask[int](d, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'`) == 0 })
}
