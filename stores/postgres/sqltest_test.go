package postgres_test

import (
	"database/sql"
	"testing"

	"github.com/auditing-go/auditing/stores/internal/sqlstore"
	"github.com/auditing-go/auditing/stores/internal/sqlstore/sqltest"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

func TestTables(t *testing.T) {
	sqltest.Run(t, func(t *testing.T) sqltest.Database {
		dsn := pgtest.DSN(t)
		_, limited := newRole(t, connect(t, dsn), dsn)
		as := func(dsn string) func(sqlstore.Config) sqltest.Store {
			return func(cfg sqlstore.Config) sqltest.Store {
				s, err := postgres.Open(t.Context(), dsn, postgres.Config{
					Fixed: cfg.Fixed, Prefix: cfg.Prefix, MaxTables: cfg.MaxTables, MaxColumns: cfg.MaxColumns, Logger: cfg.Logger,
				})
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
		}
		return sqltest.Database{Open: as(dsn), Limited: as(limited), SQL: func() *sql.DB {
			db, err := sql.Open("pgx", dsn)
			if err != nil {
				t.Fatal(err)
			}
			return db
		}}
	})
}
