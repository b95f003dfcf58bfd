package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Names of peers that wants refer to.
const (
	pgxName   = "pgx, one row a transaction"
	gormName  = "GORM Create"
	sqlName   = "database/sql, prepared"
	py1Name   = "the Python original, 1 thread"
	py16Name  = "the Python original, 16 threads"
	limitName = "limit: ready rows on two connections"
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
	python, why := newPython(ctx, l, db)
	var cases []Case
	for _, callers := range []int{1, 16, 64, 256} {
		c := db.callersCase(callers, db.calling(pgxName, "pgx_rows", callers, w.pgx),
			db.calling(gormName, "gorm_rows", callers, w.gorm), db.calling(sqlName, "sql_rows", callers, w.sql))
		if callers == 1 {
			c.Sides = append(c.Sides, python.side(py1Name, 1, why))
			c.Wants = []Want{{Figure: Rate, Beside: pgxName, AtLeast: 0.95, Reason: reasonLone}}
		} else {
			limit, err := db.limit(ctx, limitName, callers, callers/2)
			if err != nil {
				return nil, err
			}
			c.Sides = append(c.Sides, python.side(py16Name, 16, why), limit)
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
			{Figure: P99, Beside: pgxName, AtMost: 1. / 4, LimitedBy: limitName, Reason: reasonWaits},
			{Figure: Rate, Beside: py16Name, AtLeast: 20, LimitedBy: limitName, Reason: reasonShared},
		}
	case 256:
		return []Want{
			{Figure: Rate, Beside: pgxName, AtLeast: 10, LimitedBy: limitName, Reason: reasonShared},
			{Figure: P99, Beside: pgxName, AtMost: 1. / 6, LimitedBy: limitName, Reason: reasonWaits},
			{Figure: Rate, Beside: py16Name, AtLeast: 20, LimitedBy: limitName, Reason: reasonShared},
		}
	}
	return nil
}

const (
	reasonLone   = "Both are one statement and one commit; what is left is the audit's own bookkeeping."
	reasonShared = "The limit is as many rows at a time as there are callers, made beforehand, half of them on each of two connections, and with nobody to tell."
	reasonWaits  = "An audit that comes while a write is under way waits for that one and for its own, so that the slowest wait for two; the limit is that of the writes of ready rows in the line above, for which nobody waited before."
)

// limit makes a table for ready rows and is their side.
func (db *database) limit(ctx context.Context, name string, callers, each int) (Side, error) {
	const table = "limit_rows"
	return db.ready(name, table, callers, each, func(int) string { return user }, "TRUNCATE "+table), db.like(ctx, table)
}

// ready is what the server takes when nobody has to be told: all callers' rows at a
// time, made beforehand, so many a statement: all of them on one connection, or half of
// them on each of two.
func (db *database) ready(name, table string, callers, each int, userOf func(n int) string, before ...string) Side {
	return Side{Name: name, Aside: true, Measure: func(ctx context.Context, d time.Duration) (Sample, error) {
		if err := db.exec(ctx, before...); err != nil {
			return nil, err
		}
		statements := make([]arrays, 2+int(d.Seconds()*200_000)/callers*2)
		for i := range statements {
			rows := newRows(each)
			for at := range rows {
				rows[at].Username = userOf(i*len(rows) + at)
			}
			statements[i] = columnsOf(rows)
		}
		var mu sync.Mutex
		var took []time.Duration
		start := time.Now()
		write := func(from, to int) error {
			for i, s := range statements[from:to] {
				begin := time.Now()
				if i > 0 && begin.Sub(start) >= d { // one at least, however busy the machine is
					break
				}
				if _, err := db.pool.Exec(ctx, unnest(table), s...); err != nil {
					return err
				}
				mu.Lock()
				took = append(took, time.Since(begin))
				mu.Unlock()
			}
			return nil
		}
		var err error
		if each == callers {
			err = write(0, len(statements))
		} else {
			err = split(len(statements), write)
		}
		if err != nil {
			return nil, err
		}
		return sampleOf(took, each, time.Since(start)), nil
	}}
}
