package main

import (
	"context"
	"database/sql"
	"path/filepath"
	"slices"
	"time"

	gormsqlite "gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
	"github.com/auditing-go/auditing/stores/sqlite"
)

const (
	oneTransaction  = "prepared inserts in one transaction"
	insertName      = "prepared insert, one a transaction"
	thousandsName   = "limit: the same, 1,000 a transaction"
	reasonThousands = "Each batch of 1,000 is synced before it counts as stored; the limit is the same inserts, 1,000 a transaction."
)

func sqliteCases(ctx context.Context, l *lab) ([]Case, error) {
	file := func(name string) string { return filepath.Join(l.dir, name+".db") }
	store, err := stores.Open(ctx, "sqlite", file("ours"))
	if err != nil {
		return nil, err
	}
	rec, err := core.New(store, core.Config{Timeout: time.Minute})
	if err != nil {
		return nil, err
	}
	l.atEnd(func() error { return rec.Close(context.WithoutCancel(ctx)) })
	prepared, err := l.peer(ctx, file("prepared"))
	if err != nil {
		return nil, err
	}
	beside, err := l.peer(ctx, file("gorm"))
	if err != nil {
		return nil, err
	}
	insert, err := prepared.PrepareContext(ctx, insertInto(tag, func(int) string { return "?" }))
	if err != nil {
		return nil, err
	}
	l.atEnd(insert.Close)
	g, err := gorm.Open(gormsqlite.New(gormsqlite.Config{Conn: beside}), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, err
	}
	g = g.Table(tag).Session(&gorm.Session{})

	// The first audit makes the table.
	if err := rec.Audit(ctx, tag, fields(0), core.As(user)); err != nil {
		return nil, err
	}
	ours, err := l.connect(file("ours"))
	if err != nil {
		return nil, err
	}
	// empty leaves nothing of the measurement before, so that all begin alike.
	empty := func(ctx context.Context) error {
		for _, pool := range []*sql.DB{ours, prepared, beside} {
			for _, statement := range []string{"DELETE FROM " + tag, "PRAGMA wal_checkpoint(TRUNCATE)"} {
				if _, err := pool.ExecContext(ctx, statement); err != nil {
					return err
				}
			}
		}
		return nil
	}

	var cases []Case
	for _, callers := range []int{1, 64} {
		calling := func(name string, write func(ctx context.Context, n int) error) Side {
			return Side{Name: name, Measure: func(ctx context.Context, d time.Duration) (Sample, error) {
				if err := empty(ctx); err != nil {
					return nil, err
				}
				return drive(ctx, callers, d, write)
			}}
		}
		cases = append(cases, Case{
			Name: callersName(callers), Figures: []string{Rate, P50, P99},
			Sides: []Side{
				calling("auditing", func(ctx context.Context, n int) error { return rec.Audit(ctx, tag, fields(n), core.As(user)) }),
				calling(insertName, func(ctx context.Context, n int) error {
					_, err := insert.ExecContext(ctx, sqliteValues(newRow(n))...)
					return err
				}),
				calling(gormName, func(ctx context.Context, n int) error {
					r := newRow(n)
					return g.WithContext(ctx).Create(&r).Error
				}),
			},
		})
	}
	n := l.choose(4_000, 100_000, 1_000_000)
	return append(cases, Case{
		Name: "drain of " + number(float64(n)) + " events", Figures: []string{Rate},
		Sides: []Side{
			{Name: "auditing", Measure: func(ctx context.Context, _ time.Duration) (Sample, error) {
				batches := newBatches(n)
				if err := empty(ctx); err != nil {
					return nil, err
				}
				return timed(n, func() error {
					for _, batch := range batches {
						if err := store.Save(ctx, batch); err != nil {
							return err
						}
					}
					return nil
				})
			}},
			{Name: oneTransaction, Measure: func(ctx context.Context, _ time.Duration) (Sample, error) {
				rows := newRows(n)
				if err := empty(ctx); err != nil {
					return nil, err
				}
				return timed(n, func() error { return inOneTransaction(ctx, prepared, insert, rows) })
			}},
			{Name: thousandsName, Aside: true, Measure: func(ctx context.Context, _ time.Duration) (Sample, error) {
				rows := newRows(n)
				if err := empty(ctx); err != nil {
					return nil, err
				}
				return timed(n, func() error {
					for batch := range slices.Chunk(rows, batchSize) {
						if err := inOneTransaction(ctx, prepared, insert, batch); err != nil {
							return err
						}
					}
					return nil
				})
			}},
			{Name: batchesName, Measure: func(ctx context.Context, _ time.Duration) (Sample, error) {
				rows := newRows(n)
				if err := empty(ctx); err != nil {
					return nil, err
				}
				return timed(n, func() error { return g.CreateInBatches(rows, batchSize).Error })
			}},
		},
		Wants: []Want{{Figure: Rate, Beside: oneTransaction, AtLeast: 0.8, LimitedBy: thousandsName, Reason: reasonThousands}},
	}), nil
}

// peer makes a database file with the table and the settings of ours.
func (l *lab) peer(ctx context.Context, file string) (*sql.DB, error) {
	store, err := sqlite.Open(ctx, file, sqlite.Config{})
	if err != nil {
		return nil, err
	}
	ddl := store.DDL(tag, fields(0))
	if err := store.Close(ctx); err != nil {
		return nil, err
	}
	pool, err := l.connect(file)
	if err == nil {
		_, err = pool.ExecContext(ctx, ddl)
	}
	return pool, err
}

// connect opens a file with the settings of ours.
func (l *lab) connect(file string) (*sql.DB, error) {
	pool, err := sql.Open("sqlite", file+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, err
	}
	l.atEnd(pool.Close)
	// SQLite has one writer; without this the others would poll for it.
	pool.SetMaxOpenConns(1)
	return pool, nil
}

// sqliteValues are those of the row in the kinds that the columns keep.
func sqliteValues(r row) []any {
	values := r.values()
	values[1] = r.Datetime.Format("2006-01-02 15:04:05.000000+00:00")
	values[2] = r.AuditID.String()
	return values
}

func inOneTransaction(ctx context.Context, db *sql.DB, insert *sql.Stmt, rows []row) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	stmt := tx.StmtContext(ctx, insert)
	for _, r := range rows {
		if _, err := stmt.ExecContext(ctx, sqliteValues(r)...); err != nil {
			return err
		}
	}
	return tx.Commit()
}
