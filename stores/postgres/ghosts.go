package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// ghosts are processes of the server that may still be at work for connections
// that were lost. Until they are through they could commit, unseen by a next
// attempt that takes another table.
type ghosts struct {
	mu   sync.Mutex
	pids map[uint32]time.Time
}

const (
	ghostPause = 5 * time.Millisecond // between two looks
	// ghostLife is when a process is taken to be somebody else's, who got its number.
	ghostLife = time.Minute
)

func (g *ghosts) add(pid uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pids == nil {
		g.pids = map[uint32]time.Time{}
	}
	g.pids[pid] = time.Now()
}

// list returns the processes to wait for.
func (g *ghosts) list() []uint32 {
	g.mu.Lock()
	defer g.mu.Unlock()
	var pids []uint32
	for pid, since := range g.pids {
		if time.Since(since) > ghostLife {
			delete(g.pids, pid)
			continue
		}
		pids = append(pids, pid)
	}
	return pids
}

func (g *ghosts) remove(pids []uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, pid := range pids {
		delete(g.pids, pid)
	}
}

// settle waits, by asking the server on l, until all of them are through.
func (g *ghosts) settle(ctx context.Context, l *lane) error {
	for {
		pids := g.list()
		if len(pids) == 0 {
			return nil
		}
		var busy bool
		err := l.use(ctx, func(c *pgx.Conn) error {
			return c.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_stat_activity
				WHERE pid = ANY ($1) AND pid <> pg_backend_pid() AND state <> 'idle')`, pids).Scan(&busy)
		})
		if err != nil {
			return notSent{err}
		}
		if !busy {
			g.remove(pids)
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
