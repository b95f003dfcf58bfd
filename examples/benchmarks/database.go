package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	gormpostgres "gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
	_ "github.com/auditing-go/auditing/stores/postgres"
)

// poolSize is how many connections each peer may use.
const poolSize = 20

// database is a new database with the table that the library made in it.
type database struct {
	dsn  string
	pool *pgxpool.Pool
	rec  *core.Recorder
}

// server starts a server, unless one is named and no environment is asked for, and
// returns its DSN.
func (l *lab) server(ctx context.Context, environment ...string) (dsn string, err error) {
	if dsn = os.Getenv("AUDITING_POSTGRES_DSN"); dsn != "" && len(environment) == 0 {
		return dsn, nil
	}
	dir := filepath.Join(l.dir, "postgres")
	if dsn, err = script(ctx, environment, "postgres", "start", dir); err != nil {
		return "", missing(err.Error())
	}
	l.atEnd(func() error {
		_, err := script(context.WithoutCancel(ctx), nil, "postgres", "stop", dir)
		return err
	})
	return dsn, nil
}

// postgres makes a database on a server of its own.
func (l *lab) postgres(ctx context.Context, environment ...string) (*database, error) {
	admin, err := l.server(ctx, environment...)
	if err != nil {
		return nil, err
	}
	return l.database(ctx, admin)
}

// database makes a database, and in it the table of the audits.
func (l *lab) database(ctx context.Context, admin string) (*database, error) {
	cfg, err := pgxpool.ParseConfig(admin)
	if err != nil {
		return nil, err
	}
	c := cfg.ConnConfig
	name := fmt.Sprintf("benchmarks_%d", time.Now().UnixNano())
	db := &database{dsn: fmt.Sprintf("host='%s' port=%d user='%s' dbname=%s", c.Host, c.Port, c.User, name)}
	if c.Password != "" {
		db.dsn += " password='" + c.Password + "'"
	}
	l.atEnd(func() error { return dropDatabase(context.WithoutCancel(ctx), admin, name) })

	// The first audit makes the database and the table.
	store, err := stores.Open(ctx, "postgres_auto", db.dsn)
	if err != nil {
		return nil, err
	}
	if db.rec, err = core.New(store, core.Config{Timeout: time.Minute}); err != nil {
		return nil, err
	}
	l.atEnd(func() error { return db.rec.Close(context.WithoutCancel(ctx)) })
	if err := db.rec.Audit(ctx, tag, fields(0), core.As(user)); err != nil {
		return nil, err
	}
	if cfg, err = pgxpool.ParseConfig(db.dsn); err != nil {
		return nil, err
	}
	cfg.MaxConns = poolSize
	if db.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return nil, err
	}
	l.atEnd(func() error { db.pool.Close(); return nil })
	return db, nil
}

func dropDatabase(ctx context.Context, admin, name string) error {
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	return err
}

// exec runs statements one after the other.
func (db *database) exec(ctx context.Context, statements ...string) error {
	for _, s := range statements {
		if _, err := db.pool.Exec(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// like makes an empty table with the columns and the indexes of ours.
func (db *database) like(ctx context.Context, name string) error {
	return db.exec(ctx, "DROP TABLE IF EXISTS "+name, "CREATE TABLE "+name+" (LIKE "+tag+" INCLUDING ALL)")
}

// gorm opens the database with GORM, as its documentation does.
func (db *database) gorm(l *lab) (*gorm.DB, error) {
	g, err := gorm.Open(gormpostgres.Open(db.dsn), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, err
	}
	pool, err := g.DB()
	if err != nil {
		return nil, err
	}
	l.atEnd(pool.Close)
	pool.SetMaxOpenConns(poolSize)
	pool.SetMaxIdleConns(poolSize)
	return g, nil
}

func dollar(n int) string { return "$" + strconv.Itoa(n) }

// oursCalling is audits of so many callers.
func (db *database) oursCalling(callers int) Side {
	return Side{Name: "auditing", Measure: func(ctx context.Context, d time.Duration) (Sample, error) {
		if err := db.exec(ctx, "TRUNCATE "+tag); err != nil {
			return nil, err
		}
		return drive(ctx, callers, d, func(ctx context.Context, n int) error {
			return db.rec.Audit(ctx, tag, fields(n), core.As(user))
		})
	}}
}

// calling is a peer that writes one row a call into a table of its own.
func (db *database) calling(name, table string, callers int, write func(ctx context.Context, r row) error) Side {
	return Side{Name: name, Measure: func(ctx context.Context, d time.Duration) (Sample, error) {
		if err := db.exec(ctx, "TRUNCATE "+table); err != nil {
			return nil, err
		}
		return drive(ctx, callers, d, func(ctx context.Context, n int) error { return write(ctx, newRow(n)) })
	}}
}

// writers are the ways to write a row that a program would use instead, each into a
// table of its own.
type writers struct {
	pgx, gorm, sql func(ctx context.Context, r row) error
}

func (db *database) writers(ctx context.Context, l *lab) (w writers, err error) {
	for _, table := range []string{"pgx_rows", "gorm_rows", "sql_rows"} {
		if err := db.like(ctx, table); err != nil {
			return w, err
		}
	}
	w.pgx = func(ctx context.Context, r row) error {
		_, err := db.pool.Exec(ctx, insertInto("pgx_rows", dollar), r.values()...)
		return err
	}
	g, err := db.gorm(l)
	if err != nil {
		return w, err
	}
	w.gorm = func(ctx context.Context, r row) error { return g.WithContext(ctx).Table("gorm_rows").Create(&r).Error }
	pool := stdlib.OpenDB(*db.pool.Config().ConnConfig)
	l.atEnd(pool.Close)
	pool.SetMaxOpenConns(poolSize)
	pool.SetMaxIdleConns(poolSize)
	insert, err := pool.PrepareContext(ctx, insertInto("sql_rows", dollar))
	if err != nil {
		return w, err
	}
	w.sql = func(ctx context.Context, r row) error {
		_, err := insert.ExecContext(ctx, r.values()...)
		return err
	}
	return w, nil
}

// arrays are several rows, one array a column.
type arrays []any

// columnsOf turns rows into an array a column.
func columnsOf(rows []row) arrays {
	all := make(arrays, len(columns))
	for i := range columns {
		values := make([]any, len(rows))
		for at, r := range rows {
			values[at] = r.values()[i]
		}
		all[i] = values
	}
	return all
}

// unnest is the INSERT of several rows, of which each column is an array.
func unnest(table string) string {
	types := []string{"text", "timestamptz", "uuid", "text", "bigint", "double precision", "text", "boolean"}
	params := make([]string, len(types))
	for i, t := range types {
		params[i] = dollar(i+1) + "::" + t + "[]"
	}
	return "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") SELECT * FROM unnest(" + strings.Join(params, ", ") + ")"
}
