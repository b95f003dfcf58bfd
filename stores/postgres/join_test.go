package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/internal/sqlstore/sqltest"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// joining is a store and what begins transactions beside it.
func joining(t *testing.T) (dsn string, s *postgres.Store, join func(tx sqltest.Tx, tag string) error) {
	dsn = pgtest.DSN(t)
	s, err := postgres.Open(t.Context(), dsn, postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	if err := s.Declare(t.Context(), "ev", core.Fields{"n": 1}); err != nil {
		t.Fatal(err)
	}
	return dsn, s, func(tx sqltest.Tx, tag string) error {
		e := core.Event{Tag: tag, User: "me", Fields: core.Fields{"n": 1}}.Normalize(0)
		e.First = true
		return s.Join(t.Context(), tx.Tx, e)
	}
}

func rowsOf(t *testing.T, d db, from string) (n int) {
	t.Helper()
	if err := d.conn.QueryRow(t.Context(), "SELECT count(*) FROM "+from).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestInAFailedTransaction: the reason names it, whichever way it is written in.
func TestInAFailedTransaction(t *testing.T) {
	dsn, _, join := joining(t)
	for name, begin := range transactionsOn(dsn) {
		tx := begin(t)
		if err := tx.Exec("SELECT 1/0"); err == nil {
			t.Fatal("no error")
		}
		if err := join(tx, "ev"); err == nil || !strings.Contains(err.Error(), "failed before") {
			t.Errorf("%s: %v", name, err)
		}
		tx.Rollback()
	}
}

// TestInARowThatATriggerKeepsOut is in the overflow table instead.
func TestInARowThatATriggerKeepsOut(t *testing.T) {
	dsn, _, join := joining(t)
	d := connect(t, dsn)
	d.exec(`CREATE FUNCTION keep_out() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`)
	d.exec(`CREATE TRIGGER keep_out BEFORE INSERT ON ev FOR EACH ROW EXECUTE FUNCTION keep_out()`)
	for name, begin := range transactionsOn(dsn) {
		tx := begin(t)
		if err := join(tx, "ev"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := tx.Commit(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if own, over := rowsOf(t, d, "ev"), rowsOf(t, d, "audit_overflow"); own != 0 || over != len(transactionsOn(dsn)) {
		t.Errorf("%d rows in the table and %d in the overflow table", own, over)
	}
	d.exec(`CREATE TRIGGER keep_out BEFORE INSERT ON audit_overflow FOR EACH ROW EXECUTE FUNCTION keep_out()`)
	tx := beginPgx(t, dsn)
	if err := join(tx, "ev"); err == nil || !strings.Contains(err.Error(), "did not store it") {
		t.Errorf("kept out of both tables: %v", err)
	}
	if err := errors.Join(tx.Exec("SELECT 1"), tx.Commit()); err != nil {
		t.Error(err)
	}
}

// TestInAsAnotherRole: the role of the transaction is the application's.
func TestInAsAnotherRole(t *testing.T) {
	dsn, _, join := joining(t)
	d := connect(t, dsn)
	name, limited := newRole(t, d, dsn)
	tx := beginPgx(t, limited)
	if err := join(tx, "ev"); err == nil || !strings.Contains(err.Error(), "42501") {
		t.Errorf("a role without rights: %v", err)
	}
	if err := errors.Join(tx.Exec("SELECT 1"), tx.Commit()); err != nil {
		t.Errorf("the transaction is not as it was: %v", err)
	}
	d.exec("GRANT INSERT ON ev TO " + name)
	tx = beginPgx(t, limited)
	if err := errors.Join(join(tx, "ev"), tx.Commit()); err != nil {
		t.Error(err)
	}
	if n := rowsOf(t, d, "ev"); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

// TestInOnASessionThatForgets what was prepared on it.
func TestInOnASessionThatForgets(t *testing.T) {
	dsn, _, join := joining(t)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for range 3 {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(join(txOfPgx(tx), "ev"), tx.Commit(t.Context())); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "DEALLOCATE ALL"); err != nil {
			t.Fatal(err)
		}
	}
	if n := rowsOf(t, connect(t, dsn), "ev"); n != 3 {
		t.Errorf("%d rows, want 3", n)
	}
}

// TestInAPoolOfOne: the transaction holds the only connection that the application has.
func TestInAPoolOfOne(t *testing.T) {
	dsn, _, join := joining(t)
	pool, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	for range 3 {
		tx, err := pool.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(join(sqltest.Tx{Tx: tx}, "new"), tx.Commit()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestInAPoolOfPgx: a transaction that is over has given its connection to somebody else.
func TestInAPoolOfPgx(t *testing.T) {
	dsn, _, join := joining(t)
	pool, err := pgxpool.New(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(join(txOfPgx(tx), "ev"), tx.Commit(t.Context())); err != nil {
		t.Fatal(err)
	}
	other, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := join(txOfPgx(tx), "ev"); !errors.Is(err, pgx.ErrTxClosed) {
		t.Errorf("a transaction that is over: %v", err)
	}
	if err := other.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := rowsOf(t, connect(t, dsn), "ev"); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

// TestInKeepsTheError: whoever retries a transaction looks for the server's code.
func TestInKeepsTheError(t *testing.T) {
	dsn, s, _ := joining(t)
	d := connect(t, dsn)
	d.exec(`CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION USING ERRCODE = ''40001''; END'`)
	d.exec(`CREATE TRIGGER conflict BEFORE INSERT ON ev FOR EACH ROW EXECUTE FUNCTION conflict()`)
	rec, err := core.New(s, core.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for name, begin := range transactionsOn(dsn) {
		tx := begin(t)
		err := rec.Audit(t.Context(), "ev", nil, core.As("me"), core.In(tx.Tx))
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || pgErr.Code != "40001" {
			t.Errorf("%s: %v", name, err)
		}
		tx.Rollback()
	}
}

// TestInSetsNothing: what the application has set stays, and is what its commit goes by.
func TestInSetsNothing(t *testing.T) {
	dsn, _, join := joining(t)
	conn, err := pgx.Connect(t.Context(), dsn+" options='-c synchronous_commit=off -c lock_timeout=7s'")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := join(txOfPgx(tx), "ev"); err != nil {
		t.Fatal(err)
	}
	var set string
	if err := tx.QueryRow(t.Context(), "SELECT current_setting('synchronous_commit') || current_setting('lock_timeout')").Scan(&set); err != nil || set != "off7s" {
		t.Errorf("set are %q, %v", set, err)
	}
}

// TestNewNamesIn: a transaction is no place to keep audits in.
func TestNewNamesIn(t *testing.T) {
	dsn := pgtest.DSN(t)
	tx := beginGORM(t, dsn, &gorm.Config{})
	if _, err := postgres.New(t.Context(), tx.Tx.(*gorm.DB), postgres.Config{}); err == nil || !strings.Contains(err.Error(), "In(tx)") {
		t.Errorf("New with a transaction: %v", err)
	}
	tx.Rollback()
}
