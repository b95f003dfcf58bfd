package core

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// Joiner is a Store that can write in a transaction of the caller's, see [In].
type Joiner interface {
	// Join writes the events in tx, all of them or none. nil means that they are there if and
	// only if the caller commits. After an error tx is as it was before, unless the
	// connection itself is lost, and the caller may go on with it.
	//
	// A store that fronts another one keeps that promise too, or returns an error that is
	// [errors.ErrUnsupported] and says what to do. So does a store for a tx of a type that it
	// does not know. It refuses a tx of another database, makes no tables or columns in it, and
	// waits for nothing that the caller may hold.
	Join(ctx context.Context, tx any, events ...Event) error
}

// In makes the audit in tx, a transaction of the database that keeps the audits: nil means that
// the event is there if and only if the caller commits. The store's package names what tx may
// be and has an In of that type, such as postgres.In for a *gorm.DB.
//
// The transaction is as it was before after an error. So the caller decides whether it goes on
// without the audit; to roll back is what an audit trail is for. A tag or field that has no
// table or column yet gets it behind the transaction, and the event waits for it where other
// events without one are kept. Durable is what the transaction's own commit makes it, and
// [Config.Durability] is not asked.
//
// An event with the outcome [Denied] or [Failed] is refused, as the rollback that is likely to
// follow would erase it: audit that without In. A store that cannot do it returns
// [errors.ErrUnsupported]. [Stats.Joined] counts these events.
func In(tx any) Option { return Option{says: theTransaction, value: tx} }

// Entry is one of the audits of [Recorder.AuditAll].
type Entry struct {
	Fields  Fields
	Options []Option // such as On; who acts, and in which transaction, is said for all
}

var (
	errNilTransaction  = errors.New("core.In: the transaction is nil: pass the one that Begin or Transaction gave")
	errTwoTransactions = errors.New("core.In: an audit is in one transaction")
	errNoTransaction   = errors.New("Recorder.AuditAll: pass core.In: several audits stand or fall together only in a transaction")
	errErased          = errors.New("what was denied or has failed cannot be audited in a transaction, as a rollback would erase it: audit it without core.In, after the transaction")
)

func (o *auditOptions) setTransaction(tx any) {
	switch {
	case tx == nil || reflect.ValueOf(tx).Kind() == reflect.Pointer && reflect.ValueOf(tx).IsNil():
		o.fail(errNilTransaction)
	case o.in != nil:
		o.fail(errTwoTransactions)
	}
	o.in = tx
}

// AuditAll makes several audits with one tag in one transaction, which [In] has to name among
// opts: all of them are in it, or none is. It is [Recorder.Audit] of each, but asks once who acts.
func (r *Recorder) AuditAll(ctx context.Context, tag string, entries []Entry, opts ...Option) error {
	if len(entries) == 0 {
		return nil
	}
	s, ctx, err := find(ctx)
	if r == nil || r.store == nil {
		return r.fail(tag, ErrNoRecorder)
	}
	now := time.Now()
	o := r.options(opts)
	if o.in == nil {
		o.fail(errNoTransaction)
	}
	o.fail(err)
	request, err := r.identify(ctx, s, &o, now)
	events := make([]Event, len(entries))
	for i := 0; i < len(entries) && err == nil; i++ {
		if o.nobody() {
			if err = r.cancelAudit(tag); err != nil {
				break
			}
			continue
		}
		own := o
		for _, opt := range entries[i].Options {
			own.add(opt)
		}
		if err = own.err; err == nil {
			events[i], err = r.joining(ctx, tag, entries[i].Fields, &own, request, now)
		}
	}
	switch {
	case err != nil:
		for range entries[1:] {
			_ = r.fail(tag, err)
		}
		return r.fail(tag, err)
	case o.nobody():
		return nil
	}
	return r.join(ctx, &o, now, events...)
}

// joining returns an event for a transaction as the store gets it.
func (r *Recorder) joining(ctx context.Context, tag string, fields Fields, o *auditOptions, request *Request, now time.Time) (Event, error) {
	c := call{}
	if err := r.fill(ctx, &c, tag, fields, o, request, now); err != nil {
		return Event{}, err
	}
	if c.event.Outcome == OutcomeDenied || c.event.Outcome == OutcomeFailure {
		return Event{}, errErased
	}
	return c.event, nil
}

// join has the store write the events in the transaction that o names.
func (r *Recorder) join(ctx context.Context, o *auditOptions, now time.Time, events ...Event) error {
	c := &call{state: inWrite}
	r.mu.Lock()
	r.stats.Attempted += uint64(len(events))
	if r.closed {
		r.stats.Failed += uint64(len(events))
		r.mu.Unlock()
		return &AuditError{ID: events[0].ID, Tag: events[0].Tag, Err: ErrClosed}
	}
	r.stats.Pending += uint64(len(events))
	r.joins = append(r.joins, c)
	r.mu.Unlock()

	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), now.Add(o.within))
	defer cancel()
	defer context.AfterFunc(r.base, cancel)() // when Close gives up
	err := r.callJoin(ctx, o.in, events)

	r.mu.Lock()
	defer r.mu.Unlock()
	r.joins = slices.DeleteFunc(r.joins, func(j *call) bool { return j == c })
	r.stats.Pending -= uint64(len(events))
	v := joined
	if err != nil {
		v = failed
	}
	r.count(c, v, len(events))
	for _, f := range c.flushes {
		f.settled()
	}
	if err != nil {
		return &AuditError{ID: events[0].ID, Tag: events[0].Tag, Err: err}
	}
	return nil
}

func (r *Recorder) callJoin(ctx context.Context, tx any, events []Event) (err error) {
	j, ok := r.store.(Joiner)
	if !ok {
		return fmt.Errorf("%T cannot write in a transaction of the caller's: audit after the commit without core.In, or keep these audits in the database of the transaction: %w", r.store, errors.ErrUnsupported)
	}
	defer recovered("the store's Join", &err)
	return j.Join(ctx, tx, events...)
}
