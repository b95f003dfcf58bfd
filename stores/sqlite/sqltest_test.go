package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/auditing-go/auditing/stores/internal/sqlstore"
	"github.com/auditing-go/auditing/stores/internal/sqlstore/sqltest"
	"github.com/auditing-go/auditing/stores/sqlite"
)

func TestTables(t *testing.T) {
	sqltest.Run(t, func(t *testing.T) sqltest.Database {
		file := filepath.Join(t.TempDir(), "audits.db")
		return sqltest.Database{
			Open: func(cfg sqlstore.Config) sqltest.Store { return openFile(t, file, sqlite.Config(cfg)) },
			SQL:  func() *sql.DB { return openDB(t, file) },
		}
	})
}
