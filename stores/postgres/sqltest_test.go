package postgres_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/jackc/pgx/v5"
	gormpostgres "gorm.io/driver/postgres"
	"gorm.io/gorm"

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
		}, Begin: transactionsOn(dsn), Another: func(t *testing.T) sqltest.Tx { return beginPgx(t, pgtest.DSN(t)) }}
	})
}

// transactionsOn are the ways in which applications begin a transaction.
func transactionsOn(dsn string) map[string]func(t *testing.T) sqltest.Tx {
	return map[string]func(t *testing.T) sqltest.Tx{
		"pgx": func(t *testing.T) sqltest.Tx { return beginPgx(t, dsn) },
		"database/sql": func(t *testing.T) sqltest.Tx {
			pool, err := sql.Open("pgx", dsn)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { pool.Close() })
			tx, err := pool.Begin()
			if err != nil {
				t.Fatal(err)
			}
			return sqltest.Tx{Tx: tx, Commit: tx.Commit, Rollback: tx.Rollback, Exec: func(query string) error {
				_, err := tx.Exec(query)
				return err
			}}
		},
		"GORM":                  func(t *testing.T) sqltest.Tx { return beginGORM(t, dsn, &gorm.Config{}) },
		"GORM with PrepareStmt": func(t *testing.T) sqltest.Tx { return beginGORM(t, dsn, &gorm.Config{PrepareStmt: true}) },
		"the simple protocol":   func(t *testing.T) sqltest.Tx { return beginPgx(t, dsn+" default_query_exec_mode=simple_protocol") },
		"a nested one of pgx": func(t *testing.T) sqltest.Tx {
			outer := beginPgx(t, dsn)
			tx, err := outer.Tx.(pgx.Tx).Begin(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			inner := txOfPgx(tx)
			commit := inner.Commit
			inner.Commit = func() error {
				if err := commit(); err != nil {
					return err
				}
				return outer.Commit()
			}
			return inner
		},
	}
}

func beginPgx(t *testing.T, dsn string) sqltest.Tx {
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return txOfPgx(tx)
}

func txOfPgx(tx pgx.Tx) sqltest.Tx {
	ctx := context.Background()
	return sqltest.Tx{Tx: tx,
		Commit:   func() error { return tx.Commit(ctx) },
		Rollback: func() error { return tx.Rollback(ctx) },
		Exec: func(query string) error {
			_, err := tx.Exec(ctx, query)
			return err
		}}
}

func beginGORM(t *testing.T, dsn string, cfg *gorm.Config) sqltest.Tx {
	db, err := gorm.Open(gormpostgres.Open(dsn), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pool, _ := db.DB()
		pool.Close()
	})
	tx := db.Begin()
	if tx.Error != nil {
		t.Fatal(tx.Error)
	}
	return sqltest.Tx{Tx: tx,
		Commit:   func() error { return tx.Commit().Error },
		Rollback: func() error { return tx.Rollback().Error },
		Exec:     func(query string) error { return tx.Exec(query).Error }}
}
