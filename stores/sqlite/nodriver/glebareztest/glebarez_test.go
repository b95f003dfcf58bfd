package glebareztest

import (
	"path/filepath"
	"testing"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/sqlite/nodriver"
	"github.com/auditing-go/auditing/stores/storetest"
)

// TestNew keeps the contract on the pool of an application, which did not set
// how long SQLite waits for a lock.
func TestNew(t *testing.T) {
	files := map[core.Store]string{}
	on := func(t *testing.T, file string) core.Store {
		db, err := gorm.Open(sqlite.Open(file), &gorm.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if pool, err := db.DB(); err == nil {
			t.Cleanup(func() { pool.Close() })
		}
		s, err := nodriver.New(t.Context(), db, nodriver.Config{})
		if err != nil {
			t.Fatal(err)
		}
		files[s] = file
		return s
	}
	open := func(t *testing.T) core.Store { return on(t, filepath.Join(t.TempDir(), "app.db")) }
	storetest.Run(t, open, storetest.Reopen(func(t *testing.T, first core.Store) core.Store { return on(t, files[first]) }))
}

// TestOpen keeps the contract on that driver and a file of its own.
func TestOpen(t *testing.T) {
	files := map[core.Store]string{}
	on := func(t *testing.T, file string) core.Store {
		s, err := nodriver.Open(t.Context(), file, nodriver.Config{})
		if err != nil {
			t.Fatal(err)
		}
		files[s] = file
		return s
	}
	open := func(t *testing.T) core.Store { return on(t, filepath.Join(t.TempDir(), "audits.db")) }
	storetest.Run(t, open, storetest.Reopen(func(t *testing.T, first core.Store) core.Store { return on(t, files[first]) }))
}
