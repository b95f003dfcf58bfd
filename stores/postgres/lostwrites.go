package postgres

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	lostPause = 5 * time.Millisecond // between two looks at what was lost
	// lostLife is for how long a lost connection that does not end holds up others.
	lostLife = time.Minute
)

// settle waits until the connections that were lost while they wrote are through. As long
// as the lock of one is held its transaction could still commit, unseen by a next attempt
// that takes another table. This works behind a pooler too, where the number of the
// server's process tells nothing.
func (l *writeConn) settle(ctx context.Context) error {
	for {
		maps.DeleteFunc(l.lost, func(_ int64, since time.Time) bool { return time.Since(since) > lostLife })
		if len(l.lost) == 0 {
			return nil
		}
		keys := slices.Collect(maps.Keys(l.lost))
		var free bool
		err := l.use(ctx, func(c *pgx.Conn) error {
			return c.QueryRow(ctx, "SELECT bool_and(pg_try_advisory_xact_lock(k)) FROM unnest($1::bigint[]) k",
				pgx.QueryExecModeExec, keys).Scan(&free)
		})
		if err != nil {
			return notSent{err}
		}
		if free {
			for _, key := range keys {
				delete(l.lost, key)
			}
			continue
		}
		select {
		case <-time.After(lostPause):
		case <-ctx.Done():
			return notSent{context.Cause(ctx)}
		}
	}
}
