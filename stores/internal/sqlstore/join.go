package sqlstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/auditing-go/auditing/core"
)

// Joiner is a [Backend] that can write in a transaction of the caller's.
type Joiner interface {
	// Join returns the transaction, once it is known to be one of the database that the tables
	// are in.
	Join(ctx context.Context, tx any) (Transaction, error)
}

// Transaction is one of the caller's. It is used by one goroutine.
type Transaction interface {
	// Lookup is [Backend.Lookup] without waiting for a connection that the caller may hold.
	Lookup(ctx context.Context, names []string) ([]Relation, error)
	// Write stores all rows, or nothing and returns those that are why: then the transaction
	// is as it was before, unless they are Unavailable.
	Write(ctx context.Context, batches []Batch) []RowFailure
}

// wanted is a table that is to grow.
type wanted struct {
	table  string
	fields []Column
}

var errJoined = errors.New("nothing is made inside a transaction, but behind it")

// notYet is why a table that could grow has not.
func (sv *saving) notYet() error {
	if sv.tx != nil {
		return errJoined
	}
	return errSlow
}

// refresh reads the named relations again, in the transaction if there is one.
func (sv *saving) refresh(ctx context.Context, names ...string) error {
	if sv.tx == nil || len(names) == 0 {
		return sv.store.refresh(ctx, names...)
	}
	return sv.store.lookUp(ctx, names, sv.tx.Lookup)
}

// Join implements [core.Joiner].
func (s *Store) Join(ctx context.Context, tx any, events ...core.Event) error {
	if s.closed.Load() {
		return core.ErrClosed
	}
	j, ok := s.backend.(Joiner)
	if !ok {
		return fmt.Errorf("this store cannot write in a transaction of the caller's: audit after the commit without core.In: %w", errors.ErrUnsupported)
	}
	joined, err := j.Join(ctx, tx)
	if err != nil || len(events) == 0 {
		return err
	}
	sv := saving{store: s, tx: joined, events: events, fates: make([]fate, len(events)), arena: s.arenas.Get().(*arena)}
	defer s.arenas.Put(sv.arena)
	defer sv.arena.reset()
	all := make([]int, len(events))
	for i := range all {
		all[i] = i
	}
	for round := 1; ; round++ {
		sv.forget(all)
		sv.wanted = sv.wanted[:0]
		batches := sv.plan(ctx, all)
		if len(sv.failures) > 0 {
			break
		}
		failures := joined.Write(ctx, batches)
		if len(failures) == 0 {
			break
		}
		if sv.sort(ctx, failures, round); len(sv.failures) > 0 {
			break
		}
	}
	if len(sv.failures) > 0 {
		return sv.failures[0].Err
	}
	for _, w := range sv.wanted {
		s.grower.want(w.table, w.fields)
	}
	sv.tell()
	return nil
}
