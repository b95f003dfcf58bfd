package postgres_test

import (
	"database/sql"
	"testing"

	"github.com/auditing-go/auditing/stores/internal/sqlstore/sqltest"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

func TestTables(t *testing.T) {
	sqltest.Run(t, func(t *testing.T) sqltest.Database {
		dsn := pgtest.DSN(t)
		with := func(cfg postgres.Config) func() sqltest.Store {
			return func() sqltest.Store {
				s, err := postgres.Open(t.Context(), dsn, cfg)
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
		}
		return sqltest.Database{Open: with(postgres.Config{}), Fixed: with(postgres.Config{Fixed: true}), SQL: func() *sql.DB {
			db, err := sql.Open("pgx", dsn)
			if err != nil {
				t.Fatal(err)
			}
			return db
		}}
	})
}
