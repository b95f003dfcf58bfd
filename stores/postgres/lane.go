package postgres

import (
	"context"
	"database/sql"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// lane is a connection that is kept for writing.
type lane struct {
	pool *sql.DB
	conn *sql.Conn
	// ghost is the server's process behind a connection that was lost while it
	// worked; 0 when there is none.
	ghost uint32
}

// use runs f on the lane's connection, a new one if the last was lost.
func (l *lane) use(ctx context.Context, f func(*pgx.Conn) error) error {
	if l.conn == nil {
		conn, err := l.pool.Conn(ctx)
		if err != nil {
			return notConnected{err}
		}
		l.conn = conn
		if err := l.raw(func(c *pgx.Conn) error {
			_, err := c.Exec(ctx, laneSettings, pgx.QueryExecModeSimpleProtocol)
			return err
		}); err != nil {
			l.discard()
			return notConnected{err}
		}
	}
	err := l.raw(f)
	if err != nil {
		l.examine(err)
	}
	return err
}

// examine drops a connection that was lost, and remembers who may still be
// working behind it.
func (l *lane) examine(err error) {
	closed := true
	pid := uint32(0)
	_ = l.raw(func(c *pgx.Conn) error {
		closed, pid = c.IsClosed(), c.PgConn().PID()
		return nil
	})
	if closed {
		l.discard()
		if isUnknown(err) {
			l.ghost = pid
		}
	}
}

// ghostPause is how long settle waits between two looks.
const ghostPause = 5 * time.Millisecond

// settle waits until the work that a lost connection left behind has ended. Until
// then it could still be committed, unseen by a next attempt that takes another table.
func (l *lane) settle(ctx context.Context) error {
	for l.ghost != 0 {
		var busy bool
		err := l.use(ctx, func(c *pgx.Conn) error {
			return c.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_stat_activity
				WHERE pid = $1 AND pid <> pg_backend_pid() AND state <> 'idle')`, l.ghost).Scan(&busy)
		})
		if err != nil {
			return notSent{err}
		}
		if !busy {
			l.ghost = 0
			return nil
		}
		t := time.NewTimer(ghostPause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return notSent{context.Cause(ctx)}
		}
	}
	return nil
}

// A lane does not wait long for a table that somebody has locked, because all
// other tables would wait with it; it does not plan the same insert again and
// again; and a commit is durable when it returns, also where the server's default
// is otherwise.
const laneSettings = `SET lock_timeout = '250ms';
SET plan_cache_mode = force_generic_plan;
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`

func (l *lane) raw(f func(*pgx.Conn) error) error {
	err := error(notSent{sql.ErrConnDone})
	_ = l.conn.Raw(func(driverConn any) error {
		c, ok := driverConn.(*stdlib.Conn)
		if !ok {
			err = errForeignDriver
			return nil
		}
		err = f(c.Conn())
		return nil
	})
	return err
}

// discard closes the connection: its settings are not what others expect.
func (l *lane) discard() {
	if l.conn == nil {
		return
	}
	_ = l.raw(func(c *pgx.Conn) error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return c.Close(ctx)
	})
	_ = l.conn.Close()
	l.conn = nil
}
