package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// ghosts are the locks of connections that were lost while they wrote. As long as one is
// held its transaction could still commit, unseen by a next attempt that takes another
// table. Unlike the number of the server's process this works behind a pooler too.
type ghosts struct {
	mu   sync.Mutex
	keys map[int64]time.Time
}

const (
	ghostPause = 5 * time.Millisecond // between two looks
	// ghostLife is for how long one that does not end holds others up.
	ghostLife = time.Minute
)

func (g *ghosts) add(key int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.keys == nil {
		g.keys = map[int64]time.Time{}
	}
	g.keys[key] = time.Now()
}

// list returns the locks to wait for.
func (g *ghosts) list() []int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	var keys []int64
	for key, since := range g.keys {
		if time.Since(since) > ghostLife {
			delete(g.keys, key)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

func (g *ghosts) remove(keys []int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, key := range keys {
		delete(g.keys, key)
	}
}

// settle waits, by asking the server on l, until all of them are through.
func (g *ghosts) settle(ctx context.Context, l *lane) error {
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
		t := time.NewTimer(ghostPause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return notSent{context.Cause(ctx)}
		}
	}
}
