package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	gormsqlite "gorm.io/driver/sqlite"
	"gorm.io/gorm"

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
			Begin: map[string]func(t *testing.T) sqltest.Tx{
				"database/sql": func(t *testing.T) sqltest.Tx {
					tx, err := openDB(t, file).Begin()
					if err != nil {
						t.Fatal(err)
					}
					return sqltest.Tx{Tx: tx, Commit: tx.Commit, Rollback: tx.Rollback, Exec: func(query string) error {
						_, err := tx.Exec(query)
						return err
					}}
				},
				"GORM":                  func(t *testing.T) sqltest.Tx { return beginGORM(t, file, &gorm.Config{}) },
				"GORM with PrepareStmt": func(t *testing.T) sqltest.Tx { return beginGORM(t, file, &gorm.Config{PrepareStmt: true}) },
			},
			Another: func(t *testing.T) sqltest.Tx {
				return beginGORM(t, filepath.Join(t.TempDir(), "another.db"), &gorm.Config{})
			},
		}
	})
}

func beginGORM(t *testing.T, file string, cfg *gorm.Config) sqltest.Tx {
	db, err := gorm.Open(gormsqlite.New(gormsqlite.Config{Conn: openDB(t, file)}), cfg)
	if err != nil {
		t.Fatal(err)
	}
	tx := db.Begin()
	if tx.Error != nil {
		t.Fatal(tx.Error)
	}
	return sqltest.Tx{Tx: tx,
		Commit:   func() error { return tx.Commit().Error },
		Rollback: func() error { return tx.Rollback().Error },
		Exec:     func(query string) error { return tx.Exec(query).Error }}
}
