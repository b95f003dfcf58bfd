package sqlite_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	gormsqlite "gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
	"github.com/auditing-go/auditing/stores/sqlite"
)

func openDB(t testing.TB, file string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
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

// TestChangedBehindOurBack changes a table between two audits of a process that
// knows it. Nothing is lost, nothing doubled, nobody sees an error.
func TestChangedBehindOurBack(t *testing.T) {
	for name, c := range map[string]struct {
		change string
		events int    // how many can be read afterwards
		check  string // is true afterwards
	}{
		"table dropped":      {`DROP TABLE ev`, 1, `SELECT count(*) = 1 FROM ev WHERE n = 2`},
		"column dropped":     {`ALTER TABLE ev DROP COLUMN n`, 2, `SELECT count(*) = 1 FROM ev WHERE n = 2`},
		"our column dropped": {`ALTER TABLE ev DROP COLUMN audit_tag`, 2, `SELECT count(*) = 1 FROM audit_overflow`},
		"key dropped":        {`CREATE TABLE keyless AS SELECT * FROM ev; DROP TABLE ev; ALTER TABLE keyless RENAME TO ev`, 2, `SELECT count(*) = 1 FROM audit_overflow`},
		"column added":       {`ALTER TABLE ev ADD COLUMN later text DEFAULT 'x'`, 2, `SELECT count(*) = 2 FROM ev WHERE later = 'x'`},
		"table renamed":      {`ALTER TABLE ev RENAME TO old`, 1, `SELECT count(*) = 1 FROM old`},
		"a trigger refuses":  {`CREATE TRIGGER no BEFORE INSERT ON ev BEGIN SELECT RAISE(ABORT, 'no'); END`, 2, `SELECT count(*) = 1 FROM audit_overflow WHERE audit_tag = 'ev'`},
		"overflow dropped":   {`DROP TABLE audit_overflow`, 2, `SELECT count(*) = 2 FROM ev`},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "audits.db")
			db := openDB(t, file)
			rec := record(t, openFile(t, file, sqlite.Config{}))
			for i := 1; i <= 2; i++ {
				if err := rec.Audit(t.Context(), "ev", core.Fields{"n": i}, core.As("me")); err != nil {
					t.Fatalf("audit %d: %v", i, err)
				}
				if i == 1 {
					if _, err := db.Exec(c.change); err != nil {
						t.Fatal(err)
					}
				}
			}
			var ok bool
			if err := db.QueryRow(c.check).Scan(&ok); err != nil || !ok {
				t.Errorf("not so: %s (%v)", c.check, err)
			}
			page, err := rec.Read(t.Context(), core.Query{Tag: "ev"})
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Events) != c.events {
				t.Errorf("%d events can be read, want %d: %v", len(page.Events), c.events, page.Events)
			}
		})
	}
}

// TestReadableBySQL: the table is what a person with the sqlite3 shell expects.
func TestReadableBySQL(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audits.db")
	store, err := stores.Open(t.Context(), "sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	rec := record(t, store)
	if err := rec.Audit(t.Context(), "mytag", core.Fields{"a": "some data", "c": "some other data", "b": 0}, core.As("me")); err != nil {
		t.Fatal(err)
	}
	var row string
	err = openDB(t, file).QueryRow(`SELECT username || ' | ' || a || ' | ' || c || ' | ' || b || ' | ' ||
		(abs(julianday('now') - julianday(datetime)) < 1) FROM mytag`).Scan(&row)
	if want := "me | some data | some other data | 0 | 1"; err != nil || row != want {
		t.Errorf("the row is %q (%v), want %q", row, err, want)
	}
}

// TestOnTheApplicationsPool: audits share the application's database, are durable
// whatever its own setting, and leave that as it was and the pool open.
func TestOnTheApplicationsPool(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.db")
	pool := openDB(t, file)
	pool.SetMaxOpenConns(1)
	if _, err := pool.Exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; CREATE TABLE users (id integer)`); err != nil {
		t.Fatal(err)
	}
	db, err := gorm.Open(gormsqlite.New(gormsqlite.Config{Conn: pool}), &gorm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.New(t.Context(), db, sqlite.Config{Prefix: "trail_"})
	if err != nil {
		t.Fatal(err)
	}
	rec := record(t, store)
	if err := rec.Audit(t.Context(), "users", core.Fields{"n": 1}, core.As("me")); err != nil {
		t.Fatal(err)
	}
	if err := rec.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var n, level int
	if err := pool.QueryRow(`SELECT count(*) FROM trail_users`).Scan(&n); err != nil || n != 1 {
		t.Errorf("trail_users has %d rows (%v), want 1", n, err)
	}
	if err := pool.QueryRow(`PRAGMA synchronous`).Scan(&level); err != nil || level != 1 {
		t.Errorf("synchronous is %d (%v) afterwards, want the application's 1", level, err)
	}
}

func TestDDLRunsTwice(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audits.db")
	store := openFile(t, file, sqlite.Config{Fixed: true})
	defer store.Close(context.Background())
	ddl := store.DDL("ev", core.Fields{"n": 1})
	db := openDB(t, file)
	for range 2 {
		if _, err := db.Exec(ddl); err != nil {
			t.Fatalf("%s\n%v", ddl, err)
		}
	}
}

func TestOpenRefusesWhatCannotWork(t *testing.T) {
	for name, dsn := range map[string]string{
		"empty":           "",
		"a bad parameter": "x.db?%zz",
		"no such folder":  filepath.Join(t.TempDir(), "missing", "audits.db"),
	} {
		if _, err := sqlite.Open(t.Context(), dsn, sqlite.Config{}); err == nil || !strings.Contains(err.Error(), "auditing") {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	if _, err := sqlite.New(t.Context(), nil, sqlite.Config{}); err == nil {
		t.Error("a nil *gorm.DB: no error")
	}
}

func TestInMemory(t *testing.T) {
	rec := record(t, openFile(t, ":memory:", sqlite.Config{}))
	if err := rec.Audit(t.Context(), "ev", core.Fields{"n": 1}, core.As("me")); err != nil {
		t.Fatal(err)
	}
	page, err := rec.Read(t.Context(), core.Query{})
	if err != nil || len(page.Events) != 1 {
		t.Errorf("read %d events (%v), want 1", len(page.Events), err)
	}
}
