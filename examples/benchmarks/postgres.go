package main

import (
	"context"
	"fmt"
	"time"
)

// Names of peers that wants refer to.
const (
	pgxName   = "pgx, one row a transaction"
	gormName  = "GORM Create"
	sqlName   = "database/sql, prepared"
	py1Name   = "the Python original, 1 thread"
	py16Name  = "the Python original, 16 threads"
	limitName = "limit: as many ready rows a statement"
)

func postgresCases(ctx context.Context, l *lab) ([]Case, error) {
	db, err := l.postgres(ctx)
	if err != nil {
		return nil, err
	}
	w, err := db.writers(ctx, l)
	if err != nil {
		return nil, err
	}
	if err := db.like(ctx, "limit_rows"); err != nil {
		return nil, err
	}
	python, why := newPython(ctx, l, db)
	var cases []Case
	for _, callers := range []int{1, 16, 64, 256} {
		c := db.callersCase(callers, db.calling(pgxName, "pgx_rows", callers, w.pgx),
			db.calling(gormName, "gorm_rows", callers, w.gorm), db.calling(sqlName, "sql_rows", callers, w.sql))
		if callers == 1 {
			c.Sides = append(c.Sides, python.side(py1Name, 1, why))
			c.Wants = []Want{{Figure: Rate, Beside: pgxName, AtLeast: 0.95, Reason: reasonLone}}
		} else {
			c.Sides = append(c.Sides, python.side(py16Name, 16, why), db.limit(callers))
			c.Wants = wantsOf(callers)
		}
		cases = append(cases, c)
	}
	return cases, nil
}

func (db *database) callersCase(callers int, peers ...Side) Case {
	return Case{Name: callersName(callers), Figures: []string{Rate, P50, P99}, Sides: append([]Side{db.oursCalling(callers)}, peers...)}
}

func callersName(callers int) string {
	if callers == 1 {
		return "1 caller"
	}
	return fmt.Sprintf("%d callers", callers)
}

func wantsOf(callers int) []Want {
	switch callers {
	case 64:
		return []Want{
			{Figure: Rate, Beside: pgxName, AtLeast: 5, LimitedBy: limitName, Reason: reasonShared},
			{Figure: P99, Beside: pgxName, AtMost: 1. / 4, Reason: reasonWaits},
			{Figure: Rate, Beside: py16Name, AtLeast: 20, LimitedBy: limitName, Reason: reasonShared},
		}
	case 256:
		return []Want{
			{Figure: Rate, Beside: pgxName, AtLeast: 10, LimitedBy: limitName, Reason: reasonShared},
			{Figure: P99, Beside: pgxName, AtMost: 1. / 6, Reason: reasonWaits},
			{Figure: Rate, Beside: py16Name, AtLeast: 20, LimitedBy: limitName, Reason: reasonShared},
		}
	}
	return nil
}

const (
	reasonLone   = "Both are one statement and one commit; what is left is the audit's own bookkeeping."
	reasonShared = "The limit is rows that are ready, as many a statement as there are callers, on one connection and with nobody to tell. " +
		"What is between it and the audits is to wake the callers, to build their events, and that a batch rarely holds all of them."
	reasonWaits = "An audit that comes while a write is under way waits for that one and for its own, so that the slowest wait for two."
)

// limit is what the server takes from one connection when nobody has to be told:
// as many rows a statement as there are callers, all made beforehand.
func (db *database) limit(callers int) Side {
	return Side{Name: limitName, Aside: true, Measure: func(ctx context.Context, d time.Duration) (Sample, error) {
		if err := db.exec(ctx, "TRUNCATE limit_rows"); err != nil {
			return nil, err
		}
		conn, err := db.pool.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		defer conn.Release()
		ready := make([]arrays, 1+int(d.Seconds()*200_000)/callers)
		for i := range ready {
			ready[i] = columnsOf(newRows(callers))
		}
		start, rows := time.Now(), 0
		for len(ready) > 0 && time.Since(start) < d {
			if _, err := conn.Exec(ctx, unnest("limit_rows"), ready[0]...); err != nil {
				return nil, err
			}
			ready = ready[1:]
			rows += callers
		}
		return Sample{Rate: float64(rows) / time.Since(start).Seconds()}, nil
	}}
}
