package postgres_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// TestSurvivesLostConnections: audits go on while the server throws everybody out.
func TestSurvivesLostConnections(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	s := open(t, dsn, postgres.Config{})
	rec := record(t, s)
	const rounds = 20
	for n := range rounds {
		if err := rec.Audit(t.Context(), "ev", core.Fields{"n": n}, core.As("me")); err != nil {
			t.Fatalf("audit %d: %v", n, err)
		}
		d.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	}
	want := make([]any, rounds)
	for n := range want {
		want[n] = int64(n)
	}
	wantStored(t, s, "ev", want...)
}

// TestSurvivesARestart: the server stops and comes back while audits are made.
// Each audit is stored once or has an error, and none is stored twice.
func TestSurvivesARestart(t *testing.T) {
	for _, how := range []pgtest.Shutdown{pgtest.Fast, pgtest.Immediate} {
		t.Run(how.String(), func(t *testing.T) {
			server := pgtest.Start(t)
			s := open(t, server.DSN(), postgres.Config{})
			rec := record(t, s)
			const callers, each = 8, 200
			var mu sync.Mutex
			acknowledged := map[string]bool{}
			audit := func(key string) {
				err := rec.Audit(t.Context(), "ev", core.Fields{"key": key}, core.As("me"))
				if err != nil {
					t.Errorf("%s: %v", key, err)
					return
				}
				mu.Lock()
				acknowledged[key] = true
				mu.Unlock()
			}
			audit("first")
			var wg sync.WaitGroup
			half := make(chan struct{}, callers)
			for c := range callers {
				wg.Add(1)
				go func() {
					defer wg.Done()
					for n := range each {
						if n == each/2 {
							half <- struct{}{}
						}
						audit(fmt.Sprint(c, " ", n))
					}
				}()
			}
			<-half
			server.Stop(how)
			server.Restart()
			wg.Wait()

			stored := map[string]int{}
			for q := (core.Query{Tag: "ev", Limit: 10000}); ; {
				page, err := rec.Read(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range page.Events {
					stored[e.Fields["key"].(string)]++
				}
				if q.After = page.Next; q.After == "" {
					break
				}
			}
			for key := range acknowledged {
				if stored[key] != 1 {
					t.Errorf("%q was acknowledged and is stored %d times", key, stored[key])
				}
			}
			if len(stored) != 1+callers*each {
				t.Errorf("%d events are stored, want %d", len(stored), 1+callers*each)
			}
		})
	}
}

// TestAReaderHoldsNobodyUp: somebody keeps a transaction open that has read one
// table; new fields of its tag and all other tags are stored all the same.
func TestAReaderHoldsNobodyUp(t *testing.T) {
	dsn := pgtest.DSN(t)
	s := open(t, dsn, postgres.Config{})
	rec := record(t, s)
	audit := func(tag string, fields core.Fields) {
		t.Helper()
		if err := rec.Audit(t.Context(), tag, fields, core.As("me")); err != nil {
			t.Fatal(err)
		}
	}
	audit("held", core.Fields{"n": 0})
	d := connect(t, dsn)
	d.exec(`BEGIN; SELECT * FROM held`)
	for n := 1; n <= 3; n++ {
		audit("held", core.Fields{"n": n, fmt.Sprint("new", n): n})
		audit(fmt.Sprint("other", n), core.Fields{"n": n})
	}
	wantStored(t, s, "held", int64(0), int64(1), int64(2), int64(3))
	d.exec(`COMMIT`)
	eventually(t, "the columns come once the reader is gone", func() bool {
		audit("held", core.Fields{"n": 4, "new1": 1, "new2": 2, "new3": 3})
		return ask[int](d, `SELECT count(*) FROM pg_attribute WHERE attrelid = 'held'::regclass AND attname LIKE 'new%'`) == 3
	})
}

// TestALockedTableHoldsOthersUpOnlyShortly: somebody has locked a table.
func TestALockedTableHoldsOthersUpOnlyShortly(t *testing.T) {
	dsn := pgtest.DSN(t)
	s := open(t, dsn, postgres.Config{})
	rec := record(t, s)
	for _, tag := range []string{"locked", "free"} {
		if err := rec.Audit(t.Context(), tag, core.Fields{"n": 0}, core.As("me")); err != nil {
			t.Fatal(err)
		}
	}
	d := connect(t, dsn)
	d.exec(`BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE`)
	held := make(chan error, 1)
	go func() { held <- rec.Audit(t.Context(), "locked", core.Fields{"n": 1}, core.As("me")) }()
	for n := 1; n <= 5; n++ {
		if err := rec.Audit(t.Context(), "free", core.Fields{"n": n}, core.As("me"), core.Within(2*time.Second)); err != nil {
			t.Errorf("an audit of another tag: %v", err)
		}
	}
	d.exec(`COMMIT`)
	if err := <-held; err != nil {
		t.Errorf("the audit that had to wait: %v", err)
	}
	wantStored(t, s, "locked", int64(0), int64(1))
}

// TestDurableWhateverTheServersDefault: a commit waits for the disk also where the
// database says synchronous_commit = off.
func TestDurableWhateverTheServersDefault(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	d.exec(`DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END$$`)
	s := open(t, dsn, postgres.Config{})
	rec := record(t, s)
	if err := rec.Audit(t.Context(), "ev", nil, core.As("me")); err != nil {
		t.Fatal(err)
	}
	d.exec(`ALTER TABLE ev ADD COLUMN setting text DEFAULT current_setting('synchronous_commit')`)
	if err := rec.Audit(t.Context(), "ev", nil, core.As("you")); err != nil {
		t.Fatal(err)
	}
	if setting := ask[string](d, `SELECT setting FROM ev WHERE username = 'you'`); setting != "on" {
		t.Errorf("the row was committed with synchronous_commit = %s", setting)
	}
}

// TestAnIdleConnectionThatDiedLeavesNoDoubt: an audit after a while of silence, and
// after the server has gone, is certainly not stored.
func TestAnIdleConnectionThatDiedLeavesNoDoubt(t *testing.T) {
	postgres.IdleAtOnce(t)
	server := pgtest.Start(t)
	s := open(t, server.DSN(), postgres.Config{})
	rec := record(t, s)
	if err := rec.Audit(t.Context(), "ev", nil, core.As("me")); err != nil {
		t.Fatal(err)
	}
	server.Stop(pgtest.Fast)
	err := rec.Audit(t.Context(), "ev", nil, core.As("me"), core.Within(300*time.Millisecond))
	if !errors.Is(err, core.ErrTimeout) {
		t.Errorf("the error is %v, want %v", err, core.ErrTimeout)
	}
}
