package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

const (
	// lease is for how long an event belongs to the process that passes it on.
	lease = 30 * time.Second
	// attempt is how long the target may take; what is settled after the lease is passed on twice.
	attempt = 20 * time.Second
	// batchEvents is how many events the target is given at a time.
	batchEvents = 1000
)

// leased is events that this process passes on.
type leased struct {
	ids    []string
	events []core.Event
	spoilt map[string]error // that cannot be read, by id
}

// relay passes events on until the store is closed, and then what waits while the target takes it.
func (s *Store) relay() {
	defer close(s.stopped)
	var counted time.Time
	size, failures := batchEvents, 0
	for {
		n, why := s.pass(s.base, size)
		if now := time.Now(); now.After(counted) {
			if err := s.count(s.base); err == nil {
				counted = time.Now().Add(time.Second + 20*time.Since(now))
			}
		}
		pause := s.cfg.Interval
		switch {
		case why != nil:
			size = 1 // as one event may be why none of its batch is taken
			failures++
			pause = backoff(failures)
		case n > 0:
			size, failures, pause = min(2*size, batchEvents), 0, 0
		case failures > 0: // those that were not taken are not due yet
			pause = min(pause, backoff(failures))
		}
		if s.isClosed() && (n == 0 || why != nil) || s.base.Err() != nil {
			return
		}
		if pause == 0 {
			continue
		}
		timer := time.NewTimer(pause)
		select {
		case <-s.stop:
		case <-timer.C:
		case <-s.wakeUnless(why):
		}
		timer.Stop()
	}
}

func backoff(failures int) time.Duration {
	return core.Backoff(failures, 50*time.Millisecond, 5*time.Second)
}

// wakeUnless returns what ends a pause early, which is nothing while the target takes nothing.
func (s *Store) wakeUnless(why error) <-chan struct{} {
	if why != nil {
		return nil
	}
	return s.wake
}

// pass leases up to size events and gives them to the target. It returns how many there were,
// and why the target took none of them.
func (s *Store) pass(ctx context.Context, size int) (n int, why error) {
	l, err := s.lease(ctx, size)
	if err != nil {
		s.outageIs(fmt.Errorf("reading the outbox: %w", err))
		return 0, err
	}
	n = len(l.ids) + len(l.spoilt)
	if n == 0 {
		return 0, nil
	}
	stored, refused, waiting, why := s.give(ctx, l)
	for id, err := range l.spoilt {
		refused[id] = err
	}
	// What is acknowledged is settled also when the store is being closed.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attempt)
	defer cancel()
	err = errors.Join(s.remove(ctx, stored), s.refuse(ctx, refused), s.postpone(ctx, waiting))
	if err != nil {
		err = fmt.Errorf("settling what was passed on: %w", err)
	}
	s.size.Add(-int64(len(stored)))
	s.outageIs(errors.Join(why, err))
	if len(stored)+len(refused) > 0 {
		return n, err
	}
	return n, errors.Join(why, err)
}

// lease takes what is due.
func (s *Store) lease(ctx context.Context, size int) (l leased, err error) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	if s.dialect.isSQLite() {
		// An UPDATE waits for the one writer, and holds up others, even when it finds nothing.
		var due bool
		query := s.statement("SELECT EXISTS (SELECT 1 FROM {table} WHERE reason IS NULL AND due <= {now})")
		if err := s.db.QueryRowContext(ctx, query).Scan(&due); err != nil || !due {
			return l, err
		}
	}
	rows, err := s.db.QueryContext(ctx, s.statement(s.dialect.lease), size)
	if err != nil {
		return l, err
	}
	defer rows.Close()
	l.spoilt = map[string]error{}
	for rows.Next() {
		var id string
		var text []byte
		if err := rows.Scan(&id, &text); err != nil {
			return l, err
		}
		var e core.Event
		if err := e.UnmarshalJSON(text); err != nil {
			l.spoilt[id] = fmt.Errorf("the outbox's own row cannot be read: %w", err)
			continue
		}
		l.ids, l.events = append(l.ids, id), append(l.events, e)
	}
	return l, rows.Err()
}

var errNoReason = errors.New("the store gave no reason")

// give saves events in the target, and says what became of each. Whether one was passed on
// before is not known, so none says First.
func (s *Store) give(ctx context.Context, l leased) (stored []string, refused map[string]error, waiting []string, why error) {
	refused = map[string]error{}
	if len(l.events) == 0 {
		return nil, refused, nil, nil
	}
	err := s.callTarget(ctx, l.events)
	if err == nil {
		return l.ids, refused, nil, nil
	}
	var batch *core.BatchError
	if !errors.As(err, &batch) || batch == nil {
		return nil, refused, l.ids, err
	}
	answers := make([]*core.Failure, len(l.ids))
	for i := range batch.Failures {
		f := &batch.Failures[i]
		if f.Index < 0 || f.Index >= len(answers) { // so nothing it says can be relied on
			return nil, refused, l.ids, err
		}
		if f.Err == nil {
			f.Err = errNoReason
		}
		answers[f.Index] = f
	}
	for i, f := range answers {
		switch id := l.ids[i]; {
		case f == nil:
			stored = append(stored, id)
		case f.Refused():
			refused[id] = f.Err
		default:
			waiting = append(waiting, id)
			why = f.Err
		}
	}
	return stored, refused, waiting, why
}

// callTarget is one Save of the target, bounded in time, with a panic turned into an error.
func (s *Store) callTarget(ctx context.Context, events []core.Event) (err error) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the target's Save panicked: %v", p)
		}
	}()
	return s.target.Save(ctx, events)
}

// remove deletes events that the target has.
func (s *Store) remove(ctx context.Context, ids []string) error {
	return s.each(ctx, ids, "DELETE FROM {table} WHERE audit_id IN ")
}

// postpone gives events back, each for the longer the more often it was tried, so that those
// which are not taken hold up no others.
func (s *Store) postpone(ctx context.Context, ids []string) error {
	return s.each(ctx, ids, "UPDATE {table} SET due = {now} + 100 * (1 << CAST({min}(attempts, 5) AS INTEGER)) WHERE audit_id IN ")
}

func (s *Store) each(ctx context.Context, ids []string, template string) error {
	return chunked(len(ids), most, func(from, to int) error {
		args := make([]any, to-from)
		for i, id := range ids[from:to] {
			args[i] = id
		}
		_, err := s.db.ExecContext(ctx, s.statement(template)+"("+s.dialect.list(len(args), 1)+")", args...)
		return err
	})
}

// maxReason bounds what is kept of the reason why an event was refused.
const maxReason = 4096

// refuse sets events aside.
func (s *Store) refuse(ctx context.Context, refused map[string]error) error {
	var text string
	for id, err := range refused {
		text = err.Error()
		text = strings.ReplaceAll(strings.ToValidUTF8(text[:min(len(text), maxReason)], ""), "\x00", "")
		if _, err := s.db.ExecContext(ctx, s.statement("UPDATE {table} SET reason = $1, refused = {now} WHERE audit_id = $2"), text, id); err != nil {
			return err
		}
	}
	if len(refused) > 0 {
		s.logger().Warn("auditing: outbox: set aside: the target refuses them for their content; see SetAside and Retry", "table", s.table, "events", len(refused), "reason", text)
	}
	return nil
}

// outageIs notes why events wait, or that none does, and logs when that changes.
func (s *Store) outageIs(err error) {
	if err != nil && s.base.Err() != nil {
		return // Close has cancelled it
	}
	s.mu.Lock()
	was, since := s.outage, s.since
	if s.outage = err; was == nil {
		s.since = time.Now()
	}
	s.mu.Unlock()
	switch {
	case err != nil && was == nil:
		s.logger().Warn("auditing: outbox: events wait: they cannot be passed on, or not all", "table", s.table, "error", err)
	case err == nil && was != nil:
		s.logger().Info("auditing: outbox: events are passed on again", "table", s.table, "outage", time.Since(since).Round(time.Millisecond))
	}
}

// idsOf are texts of ids.
func idsOf(ids []uuid.UUID) []string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = id.String()
	}
	return texts
}
