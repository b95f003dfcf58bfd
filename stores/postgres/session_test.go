package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"

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

// nat forgets connections: what is sent on them goes nowhere and nothing says so.
type nat struct {
	net.Listener
	mu    sync.Mutex
	conns []chan struct{}
}

func behindNAT(t *testing.T, dsn string) (*nat, string) {
	t.Helper()
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &nat{Listener: l}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", fmt.Sprint(cfg.Host, ":", cfg.Port))
			if err != nil {
				client.Close()
				continue
			}
			forgotten := make(chan struct{})
			n.mu.Lock()
			n.conns = append(n.conns, forgotten)
			n.mu.Unlock()
			for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
				wg.Go(func() {
					buf := make([]byte, 1<<16)
					for {
						size, err := way[0].Read(buf)
						if err != nil {
							way[1].Close()
							return
						}
						select {
						case <-forgotten:
						default:
							_, _ = way[1].Write(buf[:size])
						}
					}
				})
			}
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return n, withParams(dsn, "host=127.0.0.1 port="+strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
}

func (n *nat) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		close(c)
	}
	n.conns = nil
}

// TestAConnectionThatTheNetworkForgot costs an audit or a reader the time of a probe.
func TestAConnectionThatTheNetworkForgot(t *testing.T) {
	postgres.IdleAtOnce(t)
	n, dsn := behindNAT(t, pgtest.DSN(t))
	rec := record(t, open(t, dsn, postgres.Config{}))
	for i := range 3 {
		if err := rec.Audit(t.Context(), "ev", core.Fields{"n": i}, core.As("me"), core.Within(3*time.Second)); err != nil {
			t.Fatalf("audit %d: %v", i, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		page, err := rec.Read(ctx, core.Query{Tag: "ev"})
		cancel()
		if err != nil || len(page.Events) != i+1 {
			t.Fatalf("reading %d: %d events, %v", i, len(page.Events), err)
		}
		if i < 2 { // closing one that was forgotten takes its time
			n.forget()
		}
	}
}

// TestALostConnectionOfAFullPool: the application's handlers hold all others, and more
// wait for one, when the connection of the audits is lost.
func TestALostConnectionOfAFullPool(t *testing.T) {
	const size, handlers = 5, 20
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	d.exec(made(t, dsn, "ev", core.Fields{"n": 1}))
	db, pool := appPool(t, dsn, size)
	s, err := postgres.New(t.Context(), db, postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	rec := record(t, s)
	if err := rec.Audit(t.Context(), "ev", core.Fields{"n": 0}, core.As("me")); err != nil {
		t.Fatal(err)
	}
	d.exec(`ALTER TABLE ev ADD COLUMN server int DEFAULT pg_backend_pid()`)
	if err := rec.Audit(t.Context(), "ev", core.Fields{"n": 0}, core.As("who")); err != nil {
		t.Fatal(err)
	}
	kept := ask[int](d, `SELECT server FROM ev WHERE username = 'who'`)
	ready := make(chan struct{})
	var wg sync.WaitGroup
	for n := range handlers {
		wg.Go(func() {
			tx, err := pool.BeginTx(t.Context(), nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer tx.Rollback()
			<-ready
			if err := rec.Audit(t.Context(), "ev", core.Fields{"n": n}, core.As("handler")); err != nil {
				t.Errorf("handler %d: %v", n, err)
			}
		})
	}
	eventually(t, "the pool is full and more wait", func() bool {
		return pool.Stats().InUse == size && pool.Stats().WaitCount >= handlers-size
	})
	d.exec(`SELECT pg_terminate_backend($1)`, kept)
	eventually(t, "the connection is gone", func() bool {
		return ask[int](d, `SELECT count(*) FROM pg_stat_activity WHERE pid = $1`, kept) == 0
	})
	close(ready)
	wg.Wait()
	if n := ask[int](d, `SELECT count(*) FROM ev WHERE username = 'handler'`); n != handlers {
		t.Errorf("%d of %d audits are stored", n, handlers)
	}
}

// TestPreparedStatementsAreBoundedByWhatTheyHold: a thousand sets of ninety fields.
func TestPreparedStatementsAreBoundedByWhatTheyHold(t *testing.T) {
	const sets, width, columns = 1000, 90, 200
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	fields := core.Fields{}
	for i := range columns {
		fields[fmt.Sprint("f", i)] = i
	}
	d.exec(made(t, dsn, "ev", fields))
	s := open(t, withParams(dsn, "application_name=bounded"), postgres.Config{})
	for n := range sets {
		f := core.Fields{}
		for i := range width {
			f[fmt.Sprint("f", (n*7+i*(n%9+1)*2+i)%columns)] = i
		}
		save(t, s, fresh("ev", f))
	}
	wantSmallProcesses(t, d, "bounded")
}

// TestRandomSetsOfFieldsTakeBoundedMemory: nearly no two of a thousand audits have the
// statement in common.
func TestRandomSetsOfFieldsTakeBoundedMemory(t *testing.T) {
	if os.Getenv("AUDITING_LONG") == "" {
		t.Skip("AUDITING_LONG is not set")
	}
	const sets, width, names = 1000, 90, 250
	dsn := pgtest.DSN(t)
	d := connect(t, dsn)
	s := open(t, withParams(dsn, "application_name=random"), postgres.Config{})
	rec := record(t, s)
	random := rand.New(rand.NewPCG(1, 2))
	for range sets {
		f := core.Fields{}
		for _, i := range random.Perm(names)[:width] {
			f[fmt.Sprint("f", i)] = i
		}
		if err := rec.Audit(t.Context(), "ev", f, core.As("me")); err != nil {
			t.Fatal(err)
		}
	}
	if n := ask[int](d, `SELECT count(*) FROM ev`); n != sets {
		t.Errorf("%d of %d audits are stored", n, sets)
	}
	for range 20 {
		if _, err := s.Read(t.Context(), core.Query{Tag: "ev"}); err != nil {
			t.Fatal(err)
		}
	}
	wantSmallProcesses(t, d, "random")
}

// wantSmallProcesses fails where a process of the server that serves the application has
// much memory of its own.
func wantSmallProcesses(t *testing.T, d db, application string) {
	t.Helper()
	const most = 150 // MB
	rows, err := d.conn.Query(t.Context(), `SELECT pid FROM pg_stat_activity WHERE application_name = $1`, application)
	if err != nil {
		t.Fatal(err)
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil || len(pids) == 0 {
		t.Fatal("processes of the server: ", pids, err)
	}
	for _, pid := range pids {
		maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			t.Skip("the server's processes cannot be seen: ", err)
		}
		private := 0
		for line := range strings.Lines(string(maps)) {
			if words := strings.Fields(line); words[0] == "Private_Clean:" || words[0] == "Private_Dirty:" {
				kB, err := strconv.Atoi(words[1])
				if err != nil {
					t.Fatal(err)
				}
				private += kB
			}
		}
		t.Logf("process %d: %d MB", pid, private/1024)
		if private > most*1024 {
			t.Errorf("a process of the server has %d MB, want at most %d", private/1024, most)
		}
	}
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

// TestATransactionIsRefused, as what is audited would be no part of it.
func TestATransactionIsRefused(t *testing.T) {
	db, _ := appPool(t, pgtest.DSN(t), 5)
	want := func(what string, tx *gorm.DB) {
		t.Helper()
		if _, err := postgres.New(t.Context(), tx, postgres.Config{}); err == nil || !strings.Contains(err.Error(), "gorm.Open") {
			t.Errorf("%s: %v, want what to pass", what, err)
		}
	}
	tx := db.Begin()
	defer tx.Rollback()
	want("a transaction", tx)
	want("a session of a transaction", tx.Session(&gorm.Session{PrepareStmt: true}))
	if err := db.Connection(func(one *gorm.DB) error {
		want("one connection", one)
		return nil
	}); err != nil {
		t.Fatal(err)
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
