package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// lostWrites are the locks of connections that were lost while they wrote. As long as one is
// held its transaction could still commit, unseen by a next attempt that takes another
// table. Unlike the number of the server's process this works behind a pooler too.
type lostWrites struct {
	mu   sync.Mutex
	keys map[int64]time.Time
}

const (
	lostPause = 5 * time.Millisecond // between two looks
	// lostLife is for how long one that does not end holds others up.
	lostLife = time.Minute
)

func (g *lostWrites) add(key int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.keys == nil {
		g.keys = map[int64]time.Time{}
	}
	g.keys[key] = time.Now()
}

// list returns the locks to wait for.
func (g *lostWrites) list() []int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	var keys []int64
	for key, since := range g.keys {
		if time.Since(since) > lostLife {
			delete(g.keys, key)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

func (g *lostWrites) remove(keys []int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, key := range keys {
		delete(g.keys, key)
	}
}

// settle waits, by asking the server on l, until all of them are through.
func (g *lostWrites) settle(ctx context.Context, l *writeConn) error {
	for {
		keys := g.list()
		if len(keys) == 0 {
			return nil
		}
		var free bool
		err := l.use(ctx, func(c *pgx.Conn) error {
			return c.QueryRow(ctx, "SELECT bool_and(pg_try_advisory_xact_lock(k)) FROM unnest($1::bigint[]) k",
				pgx.QueryExecModeExec, keys).Scan(&free)
		})
		if err != nil {
			return notSent{err}
		}
		if free {
			g.remove(keys)
			continue
		}
		t := time.NewTimer(lostPause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return notSent{context.Cause(ctx)}
		}
	}
}
