package postgres_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
	"github.com/auditing-go/auditing/stores/storetest"
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv(childEnv); dsn != "" {
		if err := child(dsn); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	pgtest.Main(m)
}

func open(t testing.TB, dsn string, cfg postgres.Config) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), dsn, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

func record(t testing.TB, store core.Store) *core.Recorder {
	t.Helper()
	rec, err := core.New(store, core.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rec.Close(context.Background()) })
	return rec
}

// db is a plain connection to look at the tables as a user of psql would.
type db struct {
	testing.TB
	conn *pgx.Conn
}

func connect(t testing.TB, dsn string) db {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return db{t, conn}
}

func (d db) exec(statement string, args ...any) {
	d.Helper()
	if _, err := d.conn.Exec(d.Context(), statement, args...); err != nil {
		d.Fatalf("%s: %v", statement, err)
	}
}

func ask[T any](d db, query string, args ...any) (answer T) {
	d.Helper()
	if err := d.conn.QueryRow(d.Context(), query, args...).Scan(&answer); err != nil {
		d.Fatalf("%s: %v", query, err)
	}
	return answer
}

// logs collects what is logged.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// eventually waits for what happens in the background.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(30 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("still not: " + what)
		}
	}
}

func TestContract(t *testing.T) {
	for name, params := range map[string]string{
		"prepared statements":                       "",
		"behind a proxy that does not know of them": "default_query_exec_mode=exec",
	} {
		t.Run(name, func(t *testing.T) {
			places := map[core.Store]string{}
			first := func(t *testing.T) core.Store {
				dsn := withParams(pgtest.DSN(t), params)
				s := open(t, dsn, postgres.Config{})
				places[s] = dsn
				return s
			}
			reopen := func(t *testing.T, first core.Store) core.Store { return open(t, places[first], postgres.Config{}) }
			outage := func(begin, end string) func(*testing.T, core.Store) func() {
				return func(t *testing.T, s core.Store) func() {
					d := connect(t, places[s])
					d.exec(begin)
					return func() { d.exec(end) }
				}
			}
			const others = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`
			storetest.Run(t, first, storetest.Reopen(reopen),
				storetest.Outage("locked tables", outage(`BEGIN; LOCK TABLE known, audit_overflow IN ACCESS EXCLUSIVE MODE`, `COMMIT`)),
				storetest.Outage("no schema", outage(`ALTER SCHEMA public RENAME TO away`, `ALTER SCHEMA away RENAME TO public`)),
				storetest.Outage("read-only", outage(
					`DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END$$; `+others,
					`SET default_transaction_read_only = off; DO $$BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database()); END$$; `+others)))
		})
	}
}

func TestDSN(t *testing.T) {
	t.Run("the password is in no error", func(t *testing.T) {
		for _, dsn := range []string{
			"host=127.0.0.1 port=1 user=me password=s3cret dbname=x connect_timeout=1",
			"postgres://me:s3cret@127.0.0.1:1/x?connect_timeout=1",
			"postgres://me:s3cret@127.0.0.1:port/x",
			"host=127.0.0.1 password='s3cret",
			"host=127.0.0.1 password=s3cret sslmode=nonsense",
		} {
			_, err := postgres.Open(t.Context(), dsn, postgres.Config{})
			if err == nil {
				t.Errorf("%q: no error", dsn)
			} else if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error shows the password: %v", err)
			}
		}
	})
	t.Run("schema and prefix", func(t *testing.T) {
		dsn := pgtest.DSN(t)
		s := open(t, withParams(dsn, "audit_schema=trail audit_prefix=a_"), postgres.Config{})
		if err := record(t, s).Audit(t.Context(), "refund", core.Fields{"x": 1}, core.As("me")); err != nil {
			t.Fatal(err)
		}
		if n := ask[int](connect(t, dsn), `SELECT x FROM trail.a_refund`); n != 1 {
			t.Errorf("trail.a_refund has x = %d, want 1", n)
		}
	})
	t.Run("bad settings", func(t *testing.T) {
		dsn := pgtest.DSN(t)
		for params, says := range map[string]string{
			"audit_prefix=Audit-": "a-z", "audit_zone=Nowhere/City": "Nowhere/City", "audit_zone=CET-1CEST": "IANA", "audit_zone=UTC+3": "IANA",
			"search_path=missing": "GRANT USAGE",
		} {
			_, err := postgres.Open(t.Context(), withParams(dsn, params), postgres.Config{})
			if err == nil || !strings.Contains(err.Error(), says) || strings.Count(err.Error(), "auditing:") != 1 {
				t.Errorf("%s: %v; want one that says %q", params, err, says)
			}
		}
	})
	t.Run("no database is the user's", func(t *testing.T) {
		d := connect(t, pgtest.DSN(t))
		name := "me_" + strings.ToLower(rand.Text())
		d.exec(`CREATE ROLE ` + name + ` LOGIN CREATEDB PASSWORD 'x'`)
		cfg := d.conn.Config()
		dsn := fmt.Sprintf("host=%s port=%d user=%s password=x sslmode=disable", cfg.Host, cfg.Port, name)
		defer func() {
			d.exec(`DROP DATABASE IF EXISTS ` + name + ` WITH (FORCE)`)
			d.exec(`DROP ROLE ` + name)
		}()
		s := open(t, dsn, postgres.Config{})
		if err := record(t, s).Audit(t.Context(), "refund", nil, core.As("me")); err != nil {
			t.Fatal(err)
		}
		if n := ask[int](d, `SELECT count(*)::int FROM pg_database WHERE datname = '`+name+`'`); n != 1 {
			t.Errorf("there is no database %s", name)
		}
		s.Close(context.Background())
	})
}

// withParams adds keyword parameters to a DSN of pgtest, which may be a URL.
func withParams(dsn, params string) string {
	if !strings.Contains(dsn, "://") {
		return dsn + " " + params
	}
	sep := "?"
	if strings.Contains(dsn, "?") {
		sep = "&"
	}
	return dsn + sep + strings.ReplaceAll(params, " ", "&")
}
