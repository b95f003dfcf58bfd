package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	copyName    = `two psql \copy (binary) at once`
	batchesName = "GORM CreateInBatches"
)

// drainCases write what is ready, two batches at a time, as a spool does behind which
// the database was away.
func drainCases(ctx context.Context, l *lab) ([]Case, error) {
	db, err := l.postgres(ctx)
	if err != nil {
		return nil, err
	}
	n := l.choose(4_000, 200_000, 1_000_000)
	halves, why, err := db.export(ctx, l, n)
	if err != nil {
		return nil, err
	}
	g, err := db.gorm(l)
	if err != nil {
		return nil, err
	}
	for _, table := range []string{"psql_rows", "pgx_rows", "gorm_rows"} {
		if err := db.like(ctx, table); err != nil {
			return nil, err
		}
	}
	gormBatches := func(rows []row) error { return g.Table("gorm_rows").CreateInBatches(rows, batchSize).Error }
	return []Case{{
		Name: number(float64(n)) + " events", Figures: []string{Rate},
		Sides: []Side{
			{Name: "auditing", Measure: func(ctx context.Context, _ time.Duration) (Sample, error) { return db.save(ctx, n) }},
			{Name: copyName, Missing: why, Measure: func(ctx context.Context, _ time.Duration) (Sample, error) {
				return db.copy(ctx, n, halves)
			}},
			db.draining("two pgx CopyFrom at once", "pgx_rows", n, func(ctx context.Context, rows []row) error {
				return split(n, func(from, to int) error { return db.copyFrom(ctx, rows[from:to]) })
			}),
			db.draining(batchesName, "gorm_rows", n, func(_ context.Context, rows []row) error { return gormBatches(rows) }),
			db.draining("two "+batchesName, "gorm_rows", n, func(_ context.Context, rows []row) error {
				return split(n, func(from, to int) error { return gormBatches(rows[from:to]) })
			}),
		},
		Wants: []Want{
			{Figure: Rate, Beside: copyName, AtLeast: 0.65, Reason: reasonCopy},
			{Figure: Rate, Beside: batchesName, AtLeast: 7, LimitedBy: copyName, Reason: reasonBatches},
		},
	}}, nil
}

const (
	reasonCopy    = "psql sends bytes that are ready, without ids to compare: an event that is written twice is stored once, which COPY cannot say."
	reasonBatches = "The limit is the two psql: they themselves are no further ahead of CreateInBatches, so the bound lies beyond what the server takes."
)

// save gives the store n events, two batches at a time.
func (db *database) save(ctx context.Context, n int) (Sample, error) {
	if err := db.exec(ctx, "TRUNCATE "+tag); err != nil {
		return nil, err
	}
	batches := newBatches(n)
	return timed(n, func() error {
		return split(len(batches), func(from, to int) error {
			for _, batch := range batches[from:to] {
				if err := db.rec.Store().Save(ctx, batch); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// draining is a peer that writes ready rows into a table of its own.
func (db *database) draining(name, table string, n int, write func(ctx context.Context, rows []row) error) Side {
	return Side{Name: name, Measure: func(ctx context.Context, _ time.Duration) (Sample, error) {
		if err := db.exec(ctx, "TRUNCATE "+table); err != nil {
			return nil, err
		}
		rows := newRows(n)
		return timed(n, func() error { return write(ctx, rows) })
	}}
}

// copyFrom writes rows 1,000 at a time.
func (db *database) copyFrom(ctx context.Context, rows []row) error {
	for len(rows) > 0 {
		batch := rows[:min(batchSize, len(rows))]
		rows = rows[len(batch):]
		_, err := db.pool.CopyFrom(ctx, pgx.Identifier{"pgx_rows"}, columns,
			pgx.CopyFromSlice(len(batch), func(i int) ([]any, error) { return batch[i].values(), nil }))
		if err != nil {
			return err
		}
	}
	return nil
}

// psql runs one command of psql.
func (db *database) psql(ctx context.Context, command string) error {
	out, err := exec.CommandContext(ctx, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", command, db.dsn).CombinedOutput()
	if err != nil {
		return fmt.Errorf("psql -c %q: %w: %s", command, err, out)
	}
	return nil
}

// export writes what the store makes of n events into two files for psql; why says
// that there is none.
func (db *database) export(ctx context.Context, l *lab, n int) (halves [2]string, why string, err error) {
	if _, err := exec.LookPath("psql"); err != nil {
		return halves, "no psql", nil
	}
	if _, err := db.save(ctx, n); err != nil {
		return halves, "", err
	}
	for i := range halves {
		halves[i] = filepath.Join(l.dir, fmt.Sprintf("half%d", i))
		part := fmt.Sprintf("SELECT * FROM %s ORDER BY audit_id LIMIT %d OFFSET %d", tag, n/2, i*n/2)
		if err := db.psql(ctx, fmt.Sprintf(`\copy (%s) TO '%s' WITH (FORMAT binary)`, part, halves[i])); err != nil {
			return halves, "", err
		}
	}
	return halves, "", nil
}

// copy writes both files at once.
func (db *database) copy(ctx context.Context, n int, halves [2]string) (Sample, error) {
	if err := db.exec(ctx, "TRUNCATE psql_rows"); err != nil {
		return nil, err
	}
	return timed(n, func() error {
		return split(len(halves), func(i, _ int) error {
			return db.psql(ctx, fmt.Sprintf(`\copy psql_rows FROM '%s' WITH (FORMAT binary)`, halves[i]))
		})
	})
}
