package sqlite_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/sqlite"
	"github.com/auditing-go/auditing/stores/storetest"
)

// GORM never ends the goroutine of its cache of statements.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"))
}

func openFile(t *testing.T, file string, cfg sqlite.Config) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), file, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) {
	files := map[core.Store]string{}
	open := func(t *testing.T) core.Store {
		file := filepath.Join(t.TempDir(), "audits.db")
		s := openFile(t, file, sqlite.Config{})
		files[s] = file
		return s
	}
	reopen := func(t *testing.T, first core.Store) core.Store { return openFile(t, files[first], sqlite.Config{}) }
	storetest.Run(t, open, storetest.Reopen(reopen),
		storetest.Outage("locked by another", func(t *testing.T, s core.Store) (end func()) {
			db := openDB(t, files[s])
			db.SetMaxOpenConns(1)
			run(t, db, "BEGIN IMMEDIATE")
			return func() { run(t, db, "ROLLBACK") }
		}),
		storetest.Outage("the folder moved", func(t *testing.T, s core.Store) (end func()) {
			dir := filepath.Dir(files[s])
			rename(t, dir, dir+".away")
			return func() { rename(t, dir+".away", dir) }
		}))
}

func run(t testing.TB, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
