package postgres

import (
	"context"
	"time"

	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// worthTwo is how many tables a Write must go to for two connections to be worth
// their two commits: each table is a statement of its own, and a process of the
// server runs one after the other.
const worthTwo = 16

// briskTable is how long a Write may take for each of its tables to be brisk. Where
// the sync to the disk weighs more than the statements do, one commit gets more done
// than two.
var briskTable = 50 * time.Microsecond

// first is the first attempt at batches, in one transaction or two. It returns those
// attempts that failed.
func (w *writing) first(ctx context.Context, batches []sqlstore.Batch) []attempt {
	if len(batches) == 0 {
		return nil
	}
	if len(batches) >= worthTwo {
		began := time.Now()
		defer func() { w.brisk.Store(time.Since(began) < time.Duration(len(batches))*briskTable) }()
		if w.brisk.Load() && independent(batches) {
			if second := w.takeIdle(); second != nil {
				defer w.writers.give(second)
				return w.sendSplit(ctx, second, batches)
			}
		}
	}
	if a := w.send(ctx, false, batches...); a.err != nil {
		return []attempt{a}
	}
	return nil
}

// independent reports whether no batch looks into a table that another may write to.
func independent(batches []sqlstore.Batch) bool {
	for _, b := range batches {
		if b.Twin != "" {
			return false
		}
	}
	return true
}

// sendSplit sends half of the batches on either connection, as two transactions at once.
func (w *writing) sendSplit(ctx context.Context, second *writeConn, batches []sqlstore.Batch) (failed []attempt) {
	if err := w.lost.settle(ctx, w.conn); err != nil {
		return []attempt{{batches, -1, err}}
	}
	left, right := batches[:len(batches)/2], batches[len(batches)/2:]
	// What encodes values stays on the goroutine of the caller, who may recover.
	leftInserts, rightInserts := w.inserts(w.conn, false, left), w.inserts(second, false, right)
	wait := w.locks.wait()
	done := make(chan run, 1)
	go func() { done <- second.run(ctx, rightInserts, wait) }()
	first := w.conn.run(ctx, leftInserts, wait)
	for _, a := range []attempt{w.outcome(ctx, w.conn, left, first), w.outcome(ctx, second, right, <-done)} {
		if a.err != nil {
			failed = append(failed, a)
		}
	}
	return failed
}
