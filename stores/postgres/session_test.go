package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// TestDurableWhateverIsSetMeanwhile: the server's setting changes while the store holds its
// connections. What waits for less than the own disk is raised, what waits for more is not lowered.
func TestDurableWhateverIsSetMeanwhile(t *testing.T) {
	server := pgtest.Start(t)
	d := connect(t, server.DSN())
	s := open(t, server.DSN(), postgres.Config{})
	rec := record(t, s)
	audit := func(user string) {
		t.Helper()
		if err := rec.Audit(t.Context(), "ev", core.Fields{"n": 1}, core.As(user)); err != nil {
			t.Fatal(err)
		}
	}
	audit("first")
	d.exec(`ALTER TABLE ev ADD COLUMN setting text DEFAULT current_setting('synchronous_commit')`)
	for setting, want := range map[string]string{"off": "on", "local": "on", "on": "on", "remote_write": "remote_write", "remote_apply": "remote_apply"} {
		d.exec(`ALTER SYSTEM SET synchronous_commit = ` + setting)
		d.exec(`SELECT pg_reload_conf()`)
		eventually(t, "all sessions have read it", func() bool {
			audit("while " + setting)
			// A session that this one began later than the reload has it from the start.
			fresh := connect(t, server.DSN())
			defer fresh.conn.Close(t.Context())
			return ask[string](fresh, `SHOW synchronous_commit`) == setting
		})
		for range 5 {
			audit(setting)
		}
		if n := ask[int](d, `SELECT count(*) FROM ev WHERE username = $1 AND setting = $2`, setting, want); n != 5 {
			t.Errorf("with synchronous_commit = %s %d of 5 rows were committed with %s", setting, n, want)
		}
	}
}

// TestTextIsUTF8 for everybody who reads it, whatever the role's client_encoding.
func TestTextIsUTF8(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	role, roleDSN := newRole(t, d, dsn)
	d.exec(`ALTER ROLE ` + role + ` SET client_encoding = 'LATIN1'; GRANT ALL ON SCHEMA public TO ` + role)
	s := open(t, roleDSN, postgres.Config{})
	save(t, s, fresh("ev", core.Fields{"city": "Zürich"}))
	if city := ask[string](d, `SELECT city FROM ev`); city != "Zürich" {
		t.Errorf("another reader has %q", city)
	}
	wantCity, err := s.Read(t.Context(), core.Query{Tag: "ev"})
	if err != nil || wantCity.Events[0].Fields["city"] != "Zürich" {
		t.Errorf("Read gives %v, %v", wantCity.Events, err)
	}
	db, _ := appPool(t, roleDSN, 5)
	if _, err := postgres.New(t.Context(), db, postgres.Config{}); err == nil || !strings.Contains(err.Error(), "client_encoding=UTF8") {
		t.Errorf("a pool with another encoding: %v, want what to add to its DSN", err)
	}

	name := ask[string](d, `SELECT current_database()`) + "_latin"
	d.exec(`CREATE DATABASE ` + name + ` ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`)
	t.Cleanup(func() { _, _ = d.conn.Exec(context.Background(), `DROP DATABASE `+name+` WITH (FORCE)`) })
	_, err = postgres.Open(t.Context(), withParams(dsn, "dbname="+name), postgres.Config{})
	if err == nil || !strings.Contains(err.Error(), "LATIN1") || !strings.Contains(err.Error(), "ENCODING 'UTF8'") {
		t.Errorf("a database that cannot hold every text: %v", err)
	}
}

// TestASessionThatMayNoLonger write, where new ones may, is replaced within the audit.
func TestASessionThatMayNoLonger(t *testing.T) {
	postgres.OldAtOnce(t)
	for name, c := range map[string]struct{ before, after string }{
		"began read-only": {
			`DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END$$`,
			`SET default_transaction_read_only = off; DO $$BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database()); END$$`,
		},
		"of a role whose rights were revoked": {
			`GRANT INSERT, SELECT ON ev, audit_overflow TO ROLE_old; ALTER ROLE ROLE_ SET role = 'ROLE_old'`,
			`REVOKE ALL ON ev, audit_overflow FROM ROLE_old; ALTER ROLE ROLE_ RESET role; GRANT INSERT, SELECT ON ev, audit_overflow TO ROLE_`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := pgtest.DSN(t)
			d := connect(t, dsn)
			role, roleDSN := newRole(t, d, dsn)
			named := strings.NewReplacer("ROLE_old", role+"_old", "ROLE_", role).Replace
			d.exec(made(t, dsn, "ev", core.Fields{"n": 1}))
			d.exec(`CREATE ROLE ` + role + `_old; GRANT ` + role + `_old TO ` + role + `; GRANT INSERT, SELECT ON ev, audit_overflow TO ` + role)
			t.Cleanup(func() {
				_, _ = d.conn.Exec(context.Background(), `DROP OWNED BY `+role+`_old; DROP ROLE `+role+`_old`)
			})
			d.exec(named(c.before))
			s := open(t, roleDSN, postgres.Config{Fixed: true})
			d.exec(named(c.after))
			save(t, s, fresh("ev", numbered(0, 1)...))
			if n := ask[int](d, `SELECT count(*) FROM ev`); n != 1 {
				t.Errorf("%d events are stored in their table, want 1", n)
			}
		})
	}
}

// TestAConnectionHasAnAge: it is replaced, unless no new one can be had.
func TestAConnectionHasAnAge(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	d.exec(made(t, dsn, "ev", core.Fields{"pid": 1}))
	d.exec(`ALTER TABLE ev ADD COLUMN server int DEFAULT pg_backend_pid()`)
	s := open(t, dsn, postgres.Config{})
	for range 2 {
		save(t, s, fresh("ev", core.Fields{"pid": 1}))
	}
	if n := ask[int](d, `SELECT count(DISTINCT server) FROM ev`); n != 1 {
		t.Fatalf("%d connections have written, want 1", n)
	}
	postgres.AgedAtOnce(t)
	s = open(t, dsn, postgres.Config{})
	d.exec(`DELETE FROM ev`)
	for range 2 {
		save(t, s, fresh("ev", core.Fields{"pid": 1}))
	}
	if n := ask[int](d, `SELECT count(DISTINCT server) FROM ev`); n != 2 {
		t.Errorf("%d connections have written, want 2", n)
	}
	connect(t, withParams(dsn, "dbname=postgres")).exec(`ALTER DATABASE ` + ask[string](d, `SELECT current_database()`) + ` ALLOW_CONNECTIONS false`)
	save(t, s, fresh("ev", core.Fields{"pid": 1}))
}

// TestSerializableByDefault: tables grow and nothing is warned of.
func TestSerializableByDefault(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	d.exec(`DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database()); END$$`)
	var l logs
	var wg sync.WaitGroup
	for p := range 4 {
		rec := record(t, open(t, dsn, postgres.Config{Logger: l.logger()}))
		wg.Go(func() {
			for n := range 5 {
				if err := rec.Audit(t.Context(), "ev", core.Fields{fmt.Sprint("f", p, n): n}, core.As("me")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if strings.Contains(l.String(), "cannot grow") {
		t.Errorf("warned in vain:\n%s", l.String())
	}
}

// TestWordsOfBadSettings name what is wrong and what to do, once.
func TestWordsOfBadSettings(t *testing.T) {
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	role, roleDSN := newRole(t, d, dsn)
	d.exec(`CREATE SCHEMA barred`)
	for open, want := range map[string]string{
		withParams(dsn, "audit_zone=UTC+3"):       "Etc/GMT-3",
		withParams(dsn, "audit_prefix=Audit-"):    "table prefix",
		withParams(roleDSN, "search_path=barred"): "GRANT USAGE ON SCHEMA barred TO \"" + role + `"`,
		withParams(dsn, "search_path=missing"):    "names no schema that exists",
	} {
		_, err := stores.Open(t.Context(), "postgres", open)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), "auditing:") != 1 || strings.Contains(err.Error(), "tzdata") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
