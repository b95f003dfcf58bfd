package sqlite_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gormsqlite "gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/sqlite"
)

// application is a store on the pool of an application, of so many connections.
func application(t *testing.T, dsn string, conns int) (*gorm.DB, *core.Recorder) {
	t.Helper()
	pool := openDB(t, dsn)
	pool.SetMaxOpenConns(conns)
	db, err := gorm.Open(gormsqlite.New(gormsqlite.Config{Conn: pool}), &gorm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	run(t, pool, "CREATE TABLE orders (n)")
	store, err := sqlite.New(t.Context(), db, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return db, record(t, store)
}

// TestInAPoolOfOne: the transaction holds the only connection, of a database in memory too.
func TestInAPoolOfOne(t *testing.T) {
	for _, dsn := range []string{":memory:", filepath.Join(t.TempDir(), "app.db")} {
		db, rec := application(t, dsn, 1)
		for n := range 4 {
			rolledBack := errors.New("rolled back")
			err := db.Transaction(func(tx *gorm.DB) error {
				if err := tx.Exec("INSERT INTO orders VALUES (1)").Error; err != nil {
					return err
				}
				if err := rec.Audit(t.Context(), "refund", core.Fields{"n": n}, core.As("me"), sqlite.In(tx)); err != nil {
					return err
				}
				if n == 3 {
					return rolledBack
				}
				return nil
			})
			if err != nil && err != rolledBack {
				t.Fatal(err)
			}
		}
		page, err := rec.Read(t.Context(), core.Query{Tag: "refund"})
		var orders int
		db.Raw("SELECT count(*) FROM orders").Scan(&orders)
		if err != nil || len(page.Events) != 3 || orders != 3 {
			t.Errorf("%d events (%v) of %d orders, want 3 of 3", len(page.Events), err, orders)
		}
	}
}

// TestInAnotherMemory: databases in memory have no name that tells them apart.
func TestInAnotherMemory(t *testing.T) {
	_, rec := application(t, ":memory:", 1)
	other, _ := application(t, ":memory:", 1)
	tx := other.Begin()
	defer tx.Rollback()
	if err := rec.Audit(t.Context(), "refund", nil, core.As("me"), sqlite.In(tx)); err == nil || !strings.Contains(err.Error(), "another database") {
		t.Errorf("a transaction of another database in memory: %v", err)
	}
}

// TestAuditBesideItsOwnTransaction: one that should have been in it ends, says so, and the
// transaction goes on.
func TestAuditBesideItsOwnTransaction(t *testing.T) {
	db, rec := application(t, filepath.Join(t.TempDir(), "app.db"), 0)
	if err := rec.Audit(t.Context(), "refund", nil, core.As("me")); err != nil {
		t.Fatal(err)
	}
	err := db.Transaction(func(tx *gorm.DB) error {
		if err := rec.Audit(t.Context(), "refund", nil, core.As("me"), sqlite.In(tx)); err != nil {
			return err
		}
		if err := rec.Audit(t.Context(), "refund", nil, core.As("me"), core.Within(300*time.Millisecond)); err == nil {
			t.Error("an audit that waits for itself: no error")
		}
		return rec.Audit(t.Context(), "refund", nil, core.As("me"), sqlite.In(tx))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := rec.Audit(t.Context(), "refund", nil, core.As("me")); err != nil {
		t.Error(err)
	}
	if s := rec.Stats(); s.Joined != 2 {
		t.Errorf("counted %+v", s)
	}
}

// TestInATransactionThatSQLiteHasEnded: what is written then would be there whatever the caller does.
func TestInATransactionThatSQLiteHasEnded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.db")
	db, rec := application(t, file, 0)
	if err := rec.Audit(t.Context(), "refund", nil, core.As("me")); err != nil {
		t.Fatal(err)
	}
	run(t, openDB(t, file), "CREATE TRIGGER ends BEFORE INSERT ON orders BEGIN SELECT RAISE(ROLLBACK, 'no'); END")
	run(t, openDB(t, file), "CREATE TRIGGER ends_too BEFORE INSERT ON refund WHEN new.username = 'you' BEGIN SELECT RAISE(ROLLBACK, 'no'); END")
	for name, f := range map[string]func(tx *gorm.DB) error{
		"before": func(tx *gorm.DB) error {
			if tx.Exec("INSERT INTO orders VALUES (1)").Error == nil {
				t.Error("the trigger has not ended the transaction")
			}
			return rec.Audit(t.Context(), "refund", nil, core.As("me"), sqlite.In(tx))
		},
		"with the audit": func(tx *gorm.DB) error {
			return rec.Audit(t.Context(), "refund", nil, core.As("you"), sqlite.In(tx))
		},
	} {
		tx := db.Begin()
		if err := f(tx); err == nil || !strings.Contains(err.Error(), "has ended the transaction") {
			t.Errorf("%s: %v", name, err)
		}
		tx.Rollback()
	}
	if n := count(t, openDB(t, file), "refund"); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
	if n := count(t, openDB(t, file), "audit_overflow"); n != 0 {
		t.Errorf("%d events in the overflow table, want none", n)
	}
}

// TestNewNamesIn: a transaction is no place to keep audits in.
func TestNewNamesIn(t *testing.T) {
	db, _ := application(t, filepath.Join(t.TempDir(), "app.db"), 0)
	tx := db.Begin()
	defer tx.Rollback()
	if _, err := sqlite.New(t.Context(), tx, sqlite.Config{}); err == nil || !strings.Contains(err.Error(), "In(tx)") {
		t.Errorf("New with a transaction: %v", err)
	}
}
