package postgres

import (
	"context"
	"time"

	"github.com/auditing-go/auditing/stores/gormstore"
)

// worthTwo is how many tables a Write must go to for two connections to be worth
// their two commits: each table is a statement of its own, and a process of the
// server runs one after the other.
const worthTwo = 16

// briskTable is how long a Write may take for each of its tables to be brisk. Where
// the sync to the disk weighs more than the statements do, one commit gets more done
// than two.
var briskTable = 50 * time.Microsecond

// first is the first attempt at batches. It returns those that are not known to be stored.
func (w *writing) first(ctx context.Context, batches []gormstore.Batch) []gormstore.Batch {
	if len(batches) >= worthTwo {
		began := time.Now()
		defer func() { w.brisk.Store(time.Since(began) < time.Duration(len(batches))*briskTable) }()
		if w.brisk.Load() && independent(batches) {
			if second := w.takeIdle(); second != nil {
				defer w.lanes.give(second)
				return w.sendHalves(ctx, second, batches)
			}
		}
	}
	if w.send(ctx, false, batches...) != nil {
		return batches
	}
	return nil
}

// independent reports whether no batch looks into a table that another may write to.
func independent(batches []gormstore.Batch) bool {
	for _, b := range batches {
		if b.Twin != "" {
			return false
		}
	}
	return true
}

// sendHalves sends half of the batches on either lane, as two transactions at once.
func (w *writing) sendHalves(ctx context.Context, second *lane, batches []gormstore.Batch) (failed []gormstore.Batch) {
	if w.ghosts.settle(ctx, w.lane) != nil {
		return batches
	}
	left, right := batches[:len(batches)/2], batches[len(batches)/2:]
	// What encodes values stays on the goroutine of the caller, who may recover.
	leftInserts, rightInserts := w.inserts(w.lane, false, left), w.inserts(second, false, right)
	done := make(chan error, 1)
	go func() { done <- second.run(ctx, rightInserts) }()
	err := w.lane.run(ctx, leftInserts)
	for _, half := range []struct {
		err     error
		batches []gormstore.Batch
	}{{err, left}, {<-done, right}} {
		w.note(half.err, half.batches)
		if half.err != nil {
			failed = append(failed, half.batches...)
		}
	}
	return failed
}
