package stores

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/auditing-go/auditing/core"
)

// All returns a store that keeps each event in all of these, and reads from the first.
//
// An event is given to the others once the first has it, to all of them at the same time. It is
// acknowledged when every one has it. One that the first certainly does not have fails as
// there; one that the first has and another has not fails as unknown, never as failed, and is
// tried again until the audit's time is over, which is harmless as each of them keeps an ID once.
//
// A program that is killed between two of them leaves an event in one only, and a [spool] in
// front of another changes nothing of that: it is about what the other takes later, not about
// when it was asked. Where both have to agree for good put the event into the first one's
// database with package [outbox], which passes it on for as long as that takes.
//
// In a transaction of the caller's, see [core.In], it can write only when the first is a
// [core.Joiner] and each other one is an outbox of the same database.
//
// [spool]: https://pkg.go.dev/github.com/auditing-go/auditing/stores/spool
// [outbox]: https://pkg.go.dev/github.com/auditing-go/auditing/stores/outbox
func All(first core.Store, others ...core.Store) core.Store {
	return &all{first: first, others: others}
}

type all struct {
	first  core.Store
	others []core.Store
}

var (
	_ core.Reader    = (*all)(nil)
	_ core.TagLister = (*all)(nil)
	_ core.Flusher   = (*all)(nil)
	_ core.Closer    = (*all)(nil)
	_ core.Joiner    = (*all)(nil)
)

// Save implements [core.Store].
func (a *all) Save(ctx context.Context, events []core.Event) error {
	if len(events) == 0 {
		return nil
	}
	failures := make([]*core.Failure, len(events))
	left := note(failures, nil, a.first, save(ctx, a.first, events))
	if len(left) > 0 {
		rest := events
		if len(left) < len(events) {
			rest = make([]core.Event, len(left))
			for i, at := range left {
				rest[i] = events[at]
			}
		}
		errs := make([]error, len(a.others))
		var saving sync.WaitGroup
		for i, s := range a.others {
			saving.Go(func() { errs[i] = save(ctx, s, rest) })
		}
		saving.Wait()
		for i, err := range errs {
			note(failures, left, a.others[i], err)
		}
	}
	var batch core.BatchError
	for i, f := range failures {
		if f != nil {
			f.Index = i
			batch.Failures = append(batch.Failures, *f)
		}
	}
	if len(batch.Failures) == 0 {
		return nil
	}
	return &batch
}

// save is Save, with a panic turned into an error: in a goroutine of ours it would end the program.
func save(ctx context.Context, s core.Store, events []core.Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("Save panicked: %v", p)
		}
	}()
	return s.Save(ctx, events)
}

// note notes which events a store does not have, and returns those that it has. It was given
// those at the places left, all of them and as the first when that is nil.
func note(failures []*core.Failure, left []int, s core.Store, err error) (has []int) {
	first := left == nil
	if first {
		left = make([]int, len(failures))
		for i := range left {
			left[i] = i
		}
	}
	if err == nil {
		return left
	}
	answers := make([]*core.Failure, len(left))
	var batch *core.BatchError
	sound := errors.As(err, &batch) && batch != nil
	for i := 0; sound && i < len(batch.Failures); i++ {
		f := batch.Failures[i]
		if sound = f.Index >= 0 && f.Index < len(answers); sound {
			answers[f.Index] = &f
		}
	}
	for i, at := range left {
		f := answers[i]
		switch {
		case !sound:
			f = &core.Failure{Err: err, Retry: true, Unknown: true}
		case f == nil:
			has = append(has, at)
			continue
		}
		if !first {
			f.Err, f.Unknown = fmt.Errorf("another store has it, but not %T: %w", s, f.Err), true
		}
		if earlier := failures[at]; earlier != nil {
			f.Err = errors.Join(earlier.Err, f.Err)
			f.Retry = f.Retry && earlier.Retry
		}
		failures[at] = f
	}
	return has
}

// Read implements [core.Reader].
func (a *all) Read(ctx context.Context, q core.Query) (core.Page, error) {
	r, ok := a.first.(core.Reader)
	if !ok {
		return core.Page{}, fmt.Errorf("stores.All: %T, which is the first, cannot be read: %w", a.first, errors.ErrUnsupported)
	}
	return r.Read(ctx, q)
}

// Tags implements [core.TagLister].
func (a *all) Tags(ctx context.Context) ([]string, error) {
	l, ok := a.first.(core.TagLister)
	if !ok {
		return nil, fmt.Errorf("stores.All: %T, which is the first, does not list tags: %w", a.first, errors.ErrUnsupported)
	}
	return l.Tags(ctx)
}

// Flush implements [core.Flusher].
func (a *all) Flush(ctx context.Context) error {
	return a.each(func(s core.Store) error {
		if f, ok := s.(core.Flusher); ok {
			return f.Flush(ctx)
		}
		return nil
	})
}

// Close implements [core.Closer].
func (a *all) Close(ctx context.Context) error {
	return a.each(func(s core.Store) error {
		if c, ok := s.(core.Closer); ok {
			return c.Close(ctx)
		}
		return nil
	})
}

// each does something with all of them at the same time.
func (a *all) each(do func(core.Store) error) error {
	errs := make([]error, 1+len(a.others))
	var doing sync.WaitGroup
	for i, s := range a.others {
		doing.Go(func() { errs[1+i] = do(s) })
	}
	errs[0] = do(a.first)
	doing.Wait()
	return errors.Join(errs...)
}

// outbox is a store that writes in its target's stead into a database.
type outbox interface {
	core.Joiner
	// Savepoint runs f, of which nothing is left in tx when it fails.
	Savepoint(ctx context.Context, tx any, f func() error) error
}

// Join implements [core.Joiner].
func (a *all) Join(ctx context.Context, tx any, events ...core.Event) error {
	first, ok := a.first.(core.Joiner)
	if !ok {
		return fmt.Errorf("stores.All: %T, which is the first, cannot write in a transaction of the caller's: audit after the commit without core.In: %w", a.first, errors.ErrUnsupported)
	}
	join := func() error { return first.Join(ctx, tx, events...) }
	for _, s := range a.others {
		o, ok := s.(outbox)
		if !ok {
			return fmt.Errorf("stores.All: %T cannot write in a transaction of another database: put an outbox (package stores/outbox) of that database in front of it, or audit after the commit without core.In: %w", s, errors.ErrUnsupported)
		}
		inner := join
		join = func() error {
			return o.Savepoint(ctx, tx, func() error {
				if err := inner(); err != nil {
					return err
				}
				return o.Join(ctx, tx, events...)
			})
		}
	}
	return join()
}
