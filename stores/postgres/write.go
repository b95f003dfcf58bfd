package postgres

import (
	"context"
	"strings"

	"github.com/auditing-go/auditing/stores/gormstore"
)

// Write implements [gormstore.Backend]: first everything in one transaction, or two
// at once; after any failure table by table and, where a table refuses, in halves
// until the rows that it refuses stand alone.
func (b *backend) Write(ctx context.Context, batches []gormstore.Batch) []gormstore.RowFailure {
	l, err := b.take(ctx)
	if err != nil {
		return failAll(nil, batches, err, nil)
	}
	defer b.lanes.give(l)
	w := &writing{backend: b, lane: l}
	for _, batch := range w.first(ctx, batches) {
		w.careful(ctx, batch)
	}
	return w.failures
}

// writing is one Write.
type writing struct {
	*backend
	lane     *lane
	unknown  map[int]bool // rows that an attempt may have stored
	refused  int          // rows refused one after the other
	failures []gormstore.RowFailure
	down     error // the server is away: nothing more is tried
}

// send sends batches at once; the server runs them as one transaction. With once
// it passes over ids that are stored already.
func (w *writing) send(ctx context.Context, once bool, batches ...gormstore.Batch) error {
	if err := w.ghosts.settle(ctx, w.lane); err != nil {
		return err
	}
	err := w.lane.run(ctx, w.inserts(w.lane, once, batches))
	w.note(err, batches)
	return err
}

// inserts returns the inserts of batches, until the next of that lane.
func (b *backend) inserts(l *lane, once bool, batches []gormstore.Batch) []insert {
	rows := 0
	for _, batch := range batches {
		rows += len(batch.Rows)
	}
	l.wire.reset(rows)
	inserts := make([]insert, len(batches))
	for i, batch := range batches {
		inserts[i] = b.insertOf(batch, once, &l.wire)
	}
	return inserts
}

// note remembers what an attempt that ended so may have stored.
func (w *writing) note(err error, batches []gormstore.Batch) {
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

// maxRefused is how many rows a table may refuse one by one before the rest of
// the batch is not tried on it any more: there is another place for them.
const maxRefused = 16

func (w *writing) careful(ctx context.Context, batch gormstore.Batch) {
	if w.down != nil {
		w.fail(batch, w.down)
		return
	}
	err := w.send(ctx, true, batch)
	if err != nil && isConnection(err) && ctx.Err() == nil {
		// The kept connection was lost, or this one just now: a new one shows
		// whether the server is away.
		if err = w.send(ctx, true, batch); err != nil && isConnection(err) {
			w.down = err
		}
	}
	switch {
	case err == nil:
		w.refused = 0
	case reasonOf(err, batch.Looked) != gormstore.Refused:
		w.fail(batch, err)
	case len(batch.Rows) == 1:
		w.refused++
		w.fail(batch, err)
	default:
		half := len(batch.Rows) / 2
		for _, rows := range [][]gormstore.Row{batch.Rows[:half], batch.Rows[half:]} {
			part := batch
			part.Rows = rows
			if w.refused >= maxRefused && !strings.HasSuffix(batch.Table.Name, gormstore.Overflow) {
				w.fail(part, err)
				continue
			}
			w.careful(ctx, part)
		}
	}
}

func (w *writing) fail(batch gormstore.Batch, err error) {
	w.failures = failAll(w.failures, []gormstore.Batch{batch}, err, w.unknown)
}

func failAll(failures []gormstore.RowFailure, batches []gormstore.Batch, err error, unknown map[int]bool) []gormstore.RowFailure {
	for _, batch := range batches {
		for _, r := range batch.Rows {
			failures = append(failures, gormstore.RowFailure{
				Index: r.Index, Err: err, Why: reasonOf(err, batch.Looked), Unknown: unknown[r.Index] || isUnknown(err),
			})
		}
	}
	return failures
}
