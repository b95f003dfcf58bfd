package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gormsqlite "gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/sqlite"
)

func events(tag string, n int) []core.Event {
	all := make([]core.Event, n)
	for i := range all {
		all[i] = core.Event{Tag: tag, User: "me", Fields: core.Fields{"n": i}}.Normalize(0)
	}
	return all
}

func count(t *testing.T, db *sql.DB, where string) (n int) {
	t.Helper()
	if err := db.QueryRow("SELECT count(*) FROM " + where).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestOneTableRefuses rows, in every way that SQLite has. The rows of other tables, and
// the other rows of that table, are where they belong; those that it refuses are in
// audit_overflow, once, and the warning says why.
func TestOneTableRefuses(t *testing.T) {
	const all, one = 20, 1
	for name, c := range map[string]struct {
		setUp   string
		refused int
		reason  string
	}{
		"check":                    {`DROP TABLE ev; CREATE TABLE ev (username text NOT NULL, datetime timestamptz NOT NULL, ip text, host text, path text, n bigint CHECK (n <> 3), audit_id uuid NOT NULL PRIMARY KEY, audit_tag text NOT NULL, audit_request jsonb, audit_extra jsonb)`, one, "CHECK constraint failed"},
		"unique":                   {`CREATE UNIQUE INDEX u ON ev (n / 2) WHERE n / 2 = 1`, one, "UNIQUE constraint failed"},
		"abort one":                {`CREATE TRIGGER no BEFORE INSERT ON ev WHEN new.n = 3 BEGIN SELECT RAISE(ABORT, 'me'); END`, one, "a trigger of the table raises"},
		"fail one, half-way":       {`CREATE TRIGGER no AFTER INSERT ON ev WHEN new.n = 3 BEGIN SELECT RAISE(FAIL, 'me'); END`, one, "a trigger of the table raises"},
		"roll back one":            {`CREATE TRIGGER no BEFORE INSERT ON ev WHEN new.n = 3 BEGIN SELECT RAISE(ROLLBACK, 'me'); END`, one, "a trigger of the table raises"},
		"ignore one":               {`CREATE TRIGGER no BEFORE INSERT ON ev WHEN new.n = 3 BEGIN SELECT RAISE(IGNORE); END`, one, "leaves the row out"},
		"abort":                    {`CREATE TRIGGER no BEFORE INSERT ON ev BEGIN SELECT RAISE(ABORT, 'me'); END`, all, "a trigger of the table raises"},
		"roll back":                {`CREATE TRIGGER no AFTER INSERT ON ev BEGIN SELECT RAISE(ROLLBACK, 'me'); END`, all, "a trigger of the table raises"},
		"ignore":                   {`CREATE TRIGGER no BEFORE INSERT ON ev BEGIN SELECT RAISE(IGNORE); END`, all, "leaves the row out"},
		"into a table that is not": {`CREATE TRIGGER no AFTER INSERT ON ev BEGIN INSERT INTO gone VALUES (1); END`, all, "no such table: main.gone"},
		"with a function unknown":  {`CREATE TRIGGER no AFTER INSERT ON ev BEGIN SELECT unheard_of(1); END`, all, "no such function: unheard_of"},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			file := filepath.Join(t.TempDir(), "audits.db")
			store := openFile(t, file, sqlite.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			t.Cleanup(func() { store.Close(context.Background()) })
			if err := store.Save(t.Context(), append(events("ev", 1), events("other", 1)...)); err != nil {
				t.Fatal(err)
			}
			db := openDB(t, file)
			run(t, db, `DELETE FROM ev; DELETE FROM other; `+c.setUp)
			batch := append(append(events("other", 5), events("ev", all)...), events("third", 5)...)
			for range 2 { // the second time everything is stored already
				if err := store.Save(t.Context(), batch); err != nil {
					t.Fatal(err)
				}
			}
			for where, want := range map[string]int{
				"other": 5, "third": 5, "ev": all - c.refused, "audit_overflow WHERE audit_tag = 'ev'": c.refused, "audit_overflow": c.refused,
			} {
				if got := count(t, db, where); got != want {
					t.Errorf("%d rows in %s, want %d", got, where, want)
				}
			}
			if !strings.Contains(log.String(), c.reason) {
				t.Errorf("the log does not say %q: %s", c.reason, &log)
			}
		})
	}
}

// TestTableGrowsOn, whatever a field is called, whatever else has the name of one, and
// after its table was renamed.
func TestTableGrowsOn(t *testing.T) {
	for name, c := range map[string]struct {
		change string
		field  string
	}{
		"rowid":              {"", "rowid"},
		"_ROWID_":            {"", "_ROWID_"},
		"oid":                {"", "oid"},
		"a generated column": {`ALTER TABLE ev ADD COLUMN twice int GENERATED ALWAYS AS (n + n)`, "twice"},
		"renamed":            {`ALTER TABLE ev RENAME TO ev_old`, "x"},
		"index of that name": {`CREATE INDEX audit_time_ev ON audit_overflow (username); ALTER TABLE ev RENAME TO ev_old`, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			file := filepath.Join(t.TempDir(), "audits.db")
			rec := record(t, openFile(t, file, sqlite.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}))
			save := func(fields core.Fields) {
				t.Helper()
				if err := rec.Audit(t.Context(), "ev", fields, core.As("me")); err != nil {
					t.Fatal(err)
				}
			}
			save(core.Fields{"n": 1})
			db := openDB(t, file)
			run(t, db, c.change)
			save(core.Fields{c.field: int64(7), "later": 1})
			save(core.Fields{"last": 1})
			if count(t, db, "ev WHERE later = 1 AND audit_id IS NOT NULL") != 1 || count(t, db, "ev WHERE last = 1") != 1 {
				t.Error("the table has not got its columns")
			}
			if n := strings.Count(log.String(), "WARN"); n != strings.Count(log.String(), "field="+c.field) || n > 1 {
				t.Errorf("the log says %s", &log)
			}
			page, err := rec.Read(t.Context(), core.Query{Tag: "ev", Fields: core.Fields{c.field: int64(7)}})
			if err != nil || len(page.Events) != 1 {
				t.Errorf("%d events have the field (%v), want 1", len(page.Events), err)
			}
		})
	}
}

// TestColumnThatCannotBe keeps no other column from being made.
func TestColumnThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audits.db")
	store := openFile(t, file, sqlite.Config{MaxColumns: 5000})
	t.Cleanup(func() { store.Close(context.Background()) })
	fields := core.Fields{}
	for i := range 1990 { // with the base columns one less than SQLite takes
		fields[fmt.Sprintf("f%d", i)] = true
	}
	for _, f := range []core.Fields{fields, {"last": true, "more": true}} {
		if err := store.Save(t.Context(), []core.Event{core.Event{Tag: "ev", User: "me", Fields: f}.Normalize(0)}); err != nil {
			t.Fatal(err)
		}
	}
	db := openDB(t, file)
	columns := func() int { return count(t, db, "pragma_table_info('ev')") }
	// A Save does not wait for long for a column, and a slow machine is slow to make the last of so many.
	for began := time.Now(); columns() < 2000 && time.Since(began) < time.Minute; {
		if err := store.Save(t.Context(), []core.Event{core.Event{Tag: "ev", User: "me", Fields: core.Fields{"last": true}}.Normalize(0)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := columns(); n != 2000 {
		t.Errorf("the table has %d columns, want all that SQLite takes", n)
	}
}

// TestErrorsNameTheFile and what is wrong with it.
func TestErrorsNameTheFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/letter.txt", []byte(strings.Repeat("Dear Sir or Madam, ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for dsn, want := range map[string]string{
		dir + "/no/audits.db":                 "no such file or directory",
		"file:" + dir + "/no/audits.db":       "no such file or directory",
		dir:                                   "is a folder",
		dir + "/letter.txt/audits.db":         "not a directory",
		dir + "/letter.txt":                   "file is not a database",
		dir + "/new.db?mode=rw":               "no such file or directory",
		dir + "/" + strings.Repeat("x", 1000): "file name too long",
	} {
		path, _, _ := strings.Cut(strings.TrimPrefix(dsn, "file:"), "?")
		_, err := sqlite.Open(t.Context(), dsn, sqlite.Config{})
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want one that names %s and says %q", err, path, want)
		}
	}
}

// TestNoRoom is an outage of which the end can be waited for, and nothing was stored.
func TestNoRoom(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audits.db")
	store := openFile(t, file+"?_pragma=max_page_count(40)", sqlite.Config{})
	t.Cleanup(func() { store.Close(context.Background()) })
	e := core.Event{Tag: "ev", User: "me", Fields: core.Fields{"text": strings.Repeat("x", 200_000)}}.Normalize(0)
	err := store.Save(t.Context(), []core.Event{e})
	var batch *core.BatchError
	if !errors.As(err, &batch) || !batch.Failures[0].Retry || batch.Failures[0].Unknown {
		t.Fatalf("Save answers %#v, want an outage, certainly not stored", err)
	}
	if !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "full") {
		t.Errorf("the error is %v", err)
	}
}

// onPool is a store on an application's pool of one connection.
func onPool(t *testing.T, pool *sql.DB) *sqlite.Store {
	t.Helper()
	pool.SetMaxOpenConns(1)
	db, err := gorm.Open(gormsqlite.New(gormsqlite.Config{Conn: pool}), &gorm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.New(t.Context(), db, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// TestConnectionThatCannotWrite is left for another one, whatever the application did to it.
func TestConnectionThatCannotWrite(t *testing.T) {
	for name, do := range map[string]string{"read-only": "PRAGMA query_only = ON", "in a transaction": "BEGIN"} {
		t.Run(name, func(t *testing.T) {
			pool := openDB(t, filepath.Join(t.TempDir(), "app.db"))
			rec := record(t, onPool(t, pool))
			run(t, pool, do)
			if err := audit(t, rec); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTransactionIsRefused: audits would be written outside it, and wait for it.
func TestTransactionIsRefused(t *testing.T) {
	db, err := gorm.Open(gormsqlite.New(gormsqlite.Config{Conn: openDB(t, filepath.Join(t.TempDir(), "app.db"))}), &gorm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	tx := db.Begin()
	defer tx.Rollback()
	if _, err := sqlite.New(t.Context(), tx, sqlite.Config{}); err == nil || !strings.Contains(err.Error(), "transaction") {
		t.Errorf("the error is %v", err)
	}
}
