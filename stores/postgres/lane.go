package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// lane is a connection that is kept for writing.
type lane struct {
	pool *sql.DB
	conn *sql.Conn
	used time.Time // when it was last seen to work
	// statements are the names of those that the server has prepared; named is how
	// many it may have.
	statements map[string]string
	named      int
	wire       wire // of the write under way
	// lost is told of a server's process whose connection was lost while it worked.
	lost func(pid uint32)
}

// idleLong is after how long without use a connection is asked whether it still
// works: a write that is sent into a dead one leaves nobody knowing how it ended.
var idleLong = time.Second

// use runs f on the lane's connection, a new one if the last was lost.
func (l *lane) use(ctx context.Context, f func(*pgx.Conn) error) error {
	if l.conn != nil && time.Since(l.used) > idleLong {
		if err := l.raw(func(c *pgx.Conn) error { return c.Ping(ctx) }); err != nil {
			l.discard()
		}
	}
	if l.conn == nil {
		conn, err := l.pool.Conn(ctx)
		if err != nil {
			return notConnected{err}
		}
		l.conn, l.statements, l.named, l.wire.out = conn, map[string]string{}, 0, nil
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
	l.used = time.Now()
	return err
}

// maxNamed bounds the statements that a connection prepares. Two for each of a
// thousand tables have room, for one row and for several; they cost the server some
// sixty and eighty kilobytes each.
const maxNamed = 2200

// run is what became of inserts that were sent together.
type run struct {
	stored []int // how many rows by each of them
	failed int   // the one that had the error, -1 when that is none in particular
	err    error
	took   time.Duration
}

// run sends inserts in one round trip; the server runs them as one transaction, in which
// each waits for somebody's lock at most so long.
func (l *lane) run(ctx context.Context, inserts []insert, wait time.Duration) run {
	r, began := run{stored: make([]int, len(inserts)), failed: -1}, time.Now()
	r.err = l.use(ctx, func(c *pgx.Conn) error {
		if l.named+len(inserts) > maxNamed {
			if err := c.DeallocateAll(ctx); err != nil {
				return notSent{err}
			}
			l.named = 0
			clear(l.statements)
		}
		// Any other mode is for a proxy that does not know of prepared statements.
		prepare := c.Config().DefaultQueryExecMode == pgx.QueryExecModeCacheStatement && len(inserts) <= maxNamed
		p := c.PgConn().StartPipeline(ctx)
		c.PgConn().Frontend().Send(l.wire.room(sizeOf(inserts)))
		if wait != maxLockWait {
			p.SendQueryParams("SELECT set_config('lock_timeout', $1, true)", [][]byte{strconv.AppendInt(nil, wait.Milliseconds(), 10)}, nil, nil, nil)
		}
		var fresh []string
		for _, in := range inserts {
			if !prepare {
				p.SendQueryParams(in.sql, in.params, nil, binaryFormat, nil)
				continue
			}
			name, ok := l.statements[in.sql]
			if !ok {
				l.named++
				name = "auditing_" + strconv.Itoa(l.named)
				p.SendPrepare(name, in.sql, nil)
				l.statements[in.sql] = name
				fresh = append(fresh, in.sql)
			}
			p.SendQueryPrepared(name, in.params, binaryFormat, nil)
		}
		err := p.Sync()
		if err == nil {
			r.failed, err = results(p, r.stored, wait != maxLockWait)
		}
		err = cmp.Or(err, p.Close())
		if err != nil {
			for _, sql := range fresh {
				delete(l.statements, sql)
			}
			var pgErr *pgconn.PgError
			if errors.As(err, &pgErr) && pgErr.Code == "26000" {
				clear(l.statements) // somebody has discarded them
			}
		}
		return err
	})
	r.took = time.Since(began)
	return r
}

// results reads what a pipeline of inserts answers, behind that of a setting if there
// is one.
func results(p *pgconn.Pipeline, stored []int, setting bool) (failed int, err error) {
	at := 0
	if setting {
		at = -1
	}
	for {
		answer, err := p.GetResults()
		result, ok := answer.(*pgconn.ResultReader)
		var tag pgconn.CommandTag
		if err == nil && ok {
			tag, err = result.Close()
		}
		switch {
		case err != nil && at < len(stored):
			return at, err
		case err != nil || answer == nil:
			return -1, err
		case ok && at >= 0:
			stored[at] = int(tag.RowsAffected())
		}
		if ok {
			at++
		}
	}
}

var binaryFormat = []int16{pgx.BinaryFormatCode}

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
			l.lost(pid)
		}
	}
}

// A lane does not wait long for a table that somebody has locked, because all
// other tables would wait with it; it does not plan the same insert again and
// again; and a commit is durable when it returns, also where the server's default
// is otherwise.
const laneSettings = `SET lock_timeout = '100ms';
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
