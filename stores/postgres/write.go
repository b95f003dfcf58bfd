package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// Write implements [sqlstore.Backend]: first everything in one transaction. After a failure
// the table that had it is written to alone, and its neighbours are sent without it. Tables
// that are known to be locked come last.
func (b *backend) Write(ctx context.Context, batches []sqlstore.Batch) []sqlstore.RowFailure {
	l, err := b.take(ctx)
	w := &writing{backend: b, conn: l}
	if err != nil {
		for _, batch := range batches {
			w.fail(batch, err)
		}
		return w.failures
	}
	defer b.give(l)
	batches, due := w.withoutLocked(batches)
	if len(batches) > 0 {
		if failed, err := w.send(ctx, false, nil, batches...); err != nil {
			w.apart(ctx, batches, failed, err)
		}
	}
	for _, batch := range due {
		w.look(ctx, batch)
	}
	return w.failures
}

// writing is one Write.
type writing struct {
	*backend
	conn     *writeConn
	unknown  map[int]bool // rows that an attempt may have stored
	refused  int          // rows refused one after the other
	failures []sqlstore.RowFailure
	down     error // the server is away: nothing more is tried
}

// send sends batches at once, behind what is before them; the server runs all that as one
// transaction. With once it passes over ids that are stored already. It returns which batch
// had the error, -1 when that is none in particular.
func (w *writing) send(ctx context.Context, once bool, before []insert, batches ...sqlstore.Batch) (failed int, err error) {
	if err := w.conn.settle(ctx); err != nil {
		return -1, err
	}
	rows := 0
	for _, batch := range batches {
		rows += len(batch.Rows)
	}
	w.conn.args.reset(rows)
	inserts := before
	for _, batch := range batches {
		inserts = append(inserts, w.insertOf(batch, statementKey{once: once}, &w.conn.args))
	}
	began := time.Now()
	stored, failed, err := w.conn.run(ctx, inserts, w.locks.wait())
	w.note(err, batches)
	if isLock(err) {
		w.locks.spend(time.Since(began))
	}
	switch {
	case err == nil:
	case isConnection(err), failed < 0:
		return -1, err
	default:
		return max(0, failed-len(before)), err
	}
	for i, batch := range batches {
		if stored[len(before)+i] < len(batch.Rows) {
			w.checkStored(ctx, batch)
		}
	}
	return -1, nil
}

// note remembers what an attempt that ended so may have stored.
func (w *writing) note(err error, batches []sqlstore.Batch) {
	if !isUnknown(err) {
		return
	}
	if w.unknown == nil {
		w.unknown = map[int]bool{}
	}
	for _, batch := range batches {
		for _, r := range batch.Rows {
			w.unknown[r.Index] = true
		}
	}
}

// checkStored fails the rows of a batch that are in neither of its tables: fewer were
// stored than were sent, and not all of the others had been stored before.
func (w *writing) checkStored(ctx context.Context, batch sqlstore.Batch) {
	query := `SELECT "audit_id"::text FROM ` + w.Table(batch.Table.Name) + ` WHERE "audit_id" = ANY ($1::text[]::uuid[])`
	if batch.Twin != "" {
		query += ` UNION ALL SELECT "audit_id"::text FROM ` + w.Table(batch.Twin) + ` WHERE "audit_id" = ANY ($1::text[]::uuid[])`
	}
	ids := make([]string, len(batch.Rows))
	for i, r := range batch.Rows {
		ids[i] = r.Event.ID.String()
	}
	there := map[string]bool{}
	if err := w.conn.use(ctx, func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, query, w.args(ids)...)
		if err != nil {
			return err
		}
		var id string
		_, err = pgx.ForEachRow(rows, []any{&id}, func() error {
			there[id] = true
			return nil
		})
		return err
	}); err != nil {
		w.fail(batch, fmt.Errorf("looking for what was stored: %v", err)) //nolint:errorlint // whatever the error is, the rows may be there
		return
	}
	for i, r := range batch.Rows {
		if !there[ids[i]] {
			w.failures = append(w.failures, sqlstore.RowFailure{Index: r.Index, Err: errKeptOut, Why: sqlstore.Refused, Unknown: w.unknown[r.Index]})
		}
	}
}

// withoutLocked takes the tables out that are known to be locked. It returns those of
// them that it is time to look at again; the others fail.
func (w *writing) withoutLocked(batches []sqlstore.Batch) (free, due []sqlstore.Batch) {
	now := time.Now()
	for _, batch := range batches {
		switch h := w.locks.of(batch); {
		case h == nil:
			free = append(free, batch)
		case h.next.After(now):
			w.fail(batch, h.err)
		default:
			due = append(due, batch)
		}
	}
	slices.SortFunc(due, func(a, b sqlstore.Batch) int { return w.locks.of(a).next.Compare(w.locks.of(b).next) })
	return free, due
}

// look writes a batch if its table is not locked any more, without waiting for that.
func (w *writing) look(ctx context.Context, batch sqlstore.Batch) {
	if w.locks.budget() <= 0 {
		w.fail(batch, w.locks.of(batch).err)
		return
	}
	before := []insert{{sql: w.lockTable(batch.Table.Name, "ROW EXCLUSIVE MODE NOWAIT")}}
	if batch.Twin != "" {
		before = append(before, insert{sql: w.lockTable(batch.Twin, "ACCESS SHARE MODE NOWAIT")})
	}
	_, err := w.send(ctx, true, before, batch)
	if isLock(err) {
		w.fail(batch, w.locks.met(batch, err))
		return
	}
	delete(w.locks.held, needs(batch))
	if err != nil {
		w.careful(ctx, batch)
	}
}

// apart goes on after batches that failed.
func (w *writing) apart(ctx context.Context, batches []sqlstore.Batch, failed int, err error) {
	if failed < 0 {
		for _, batch := range batches {
			w.careful(ctx, batch)
		}
		return
	}
	w.together(ctx, batches[:failed])
	if batch := batches[failed]; isLock(err) {
		w.fail(batch, w.locks.met(batch, err))
	} else {
		w.careful(ctx, batch)
	}
	w.together(ctx, batches[failed+1:])
}

func (w *writing) together(ctx context.Context, batches []sqlstore.Batch) {
	failed, err := -1, w.down
	if len(batches) > 1 && err == nil {
		if failed, err = w.send(ctx, true, nil, batches...); err == nil {
			return
		}
	}
	w.apart(ctx, batches, failed, err)
}

// careful writes a batch alone and, where its table refuses rows, in halves until those
// stand alone.
func (w *writing) careful(ctx context.Context, batch sqlstore.Batch) {
	if w.down != nil {
		w.fail(batch, w.down)
		return
	}
	_, err := w.send(ctx, true, nil, batch)
	if err != nil && isConnection(err) && ctx.Err() == nil {
		// The kept connection was lost, or this one just now: a new one shows
		// whether the server is away.
		if _, err = w.send(ctx, true, nil, batch); err != nil && isConnection(err) {
			w.down = err
		}
	}
	switch {
	case err == nil:
		w.refused = 0
	case isLock(err):
		w.fail(batch, w.locks.met(batch, err))
	case reasonOf(err, batch.Looked) != sqlstore.Refused:
		w.fail(batch, err)
	case len(batch.Rows) == 1:
		w.refused++
		w.fail(batch, err)
	default:
		half := len(batch.Rows) / 2
		for _, rows := range [][]sqlstore.Row{batch.Rows[:half], batch.Rows[half:]} {
			part := batch
			part.Rows = rows
			if batch.Enough(w.refused) {
				w.fail(part, err)
				continue
			}
			w.careful(ctx, part)
		}
	}
}

func (w *writing) fail(batch sqlstore.Batch, err error) {
	for _, r := range batch.Rows {
		w.failures = append(w.failures, sqlstore.RowFailure{
			Index: r.Index, Err: err, Why: reasonOf(err, batch.Looked), Unknown: w.unknown[r.Index] || isUnknown(err),
		})
	}
}
