package outbox

import (
	"cmp"
	"context"
	"iter"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// Stats is one snapshot of an outbox.
type Stats struct {
	// Waiting is how many events the target has not acknowledged yet.
	Waiting uint64
	// SetAside is how many events the target refused for their own content.
	SetAside uint64
	// Outage is why the target takes nothing of what this process gives it, or not all, since
	// OutageSince; nil while it takes everything that it does not refuse.
	Outage      error
	OutageSince time.Time
}

// Stats counts what is in the table.
func (s *Store) Stats(ctx context.Context) (Stats, error) {
	if s.isClosed() {
		return Stats{}, core.ErrClosed
	}
	var stats Stats
	err := s.db.QueryRowContext(ctx, "SELECT count(*) - count(reason), count(reason) FROM "+s.table).Scan(&stats.Waiting, &stats.SetAside)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outage != nil {
		stats.Outage, stats.OutageSince = s.outage, s.since
	}
	return stats, err
}

// Refused is an event that is set aside because the target refused it for its own content.
type Refused struct {
	// Reason is what the target said, at most 4 KiB of it.
	Reason string `json:"reason"`
	// At is when it was set aside.
	At    time.Time  `json:"refused"`
	Event core.Event `json:"event"`
}

// SetAside yields the events that are set aside, oldest first. An error ends it.
func (s *Store) SetAside(ctx context.Context) iter.Seq2[Refused, error] {
	return func(yield func(Refused, error) bool) {
		if s.isClosed() {
			yield(Refused{}, core.ErrClosed)
			return
		}
		after := uuid.Nil.String()
		for {
			var found []Refused
			n, err := s.rows(ctx, "reason IS NOT NULL AND audit_id > $1", after, func(r row) error {
				after = r.id
				found = append(found, Refused{Reason: r.reason, At: time.UnixMilli(r.refused).UTC(), Event: r.event})
				return nil
			})
			for _, r := range found {
				if !yield(r, nil) {
					return
				}
			}
			if err != nil {
				yield(Refused{}, err)
			}
			if err != nil || n < readEvents {
				return
			}
		}
	}
}

// Retry gives the events with these ids, or all when none is named, to the target once more. It
// returns how many of them were set aside. What is refused again is set aside again.
func (s *Store) Retry(ctx context.Context, ids ...uuid.UUID) (n int, err error) {
	if s.isClosed() {
		return 0, core.ErrClosed
	}
	again := func(more string, args ...any) error {
		r, err := s.db.ExecContext(ctx, s.statement("UPDATE {table} SET reason = NULL, refused = NULL, due = 0, attempts = 0 WHERE reason IS NOT NULL")+more, args...)
		if err != nil {
			return err
		}
		rows, err := r.RowsAffected()
		n += int(rows)
		return err
	}
	if len(ids) == 0 {
		err = again("")
	}
	texts := idsOf(ids)
	err = cmp.Or(err, chunked(len(texts), most, func(from, to int) error {
		args := make([]any, to-from)
		for i, id := range texts[from:to] {
			args[i] = id
		}
		return again(" AND audit_id IN ("+s.dialect.list(len(args), 1)+")", args...)
	}))
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return n, err
}
