package postgres

import (
	"cmp"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// writeConn is a connection that is kept for writing. Nothing is set on its session, which
// may be lent to others by a pooler between two transactions.
type writeConn struct {
	*connection
	connect func(context.Context) (*connection, error)
	used    time.Time  // when it was last seen to work
	args    binaryArgs // of the write under way
	// lost are the locks of connections that were lost while they worked, and when.
	lost map[int64]time.Time
}

// Times of a connection; tests change them.
var (
	// idleLong is after how long without use a connection is asked whether it still
	// works: a write that is sent into a dead one leaves nobody knowing how it ended.
	idleLong = time.Second
	// probeWait is how long it may take to answer: a network that has forgotten the
	// connection never does, and a new one is soon made.
	probeWait = 250 * time.Millisecond
	// maxAge is how old a connection becomes, give or take a tenth: one that goes on for
	// ever never notices that names, rights and settings have changed.
	maxAge = 30 * time.Minute
	// young is how old a connection is at least for an error of its session to be put
	// down to it: a server that refuses all new ones is not asked for more of them.
	young = time.Second
)

// use runs f on its connection, a new one if the last was lost, is old or does
// not answer. What its session does not let f do is tried once more on a new one.
func (l *writeConn) use(ctx context.Context, f func(*pgx.Conn) error) error {
	if l.connection != nil {
		switch {
		case time.Now().After(l.expires):
			_ = l.renew(ctx)
		case time.Since(l.used) > idleLong && l.raw(func(c *pgx.Conn) error { return probe(ctx, c) }) != nil:
			l.discard()
		}
	}
	if l.connection == nil {
		if err := l.renew(ctx); err != nil {
			return err
		}
	}
	err := l.raw(f)
	if isSession(err) && time.Since(l.born) >= young && l.renew(ctx) == nil {
		err = l.raw(f)
	}
	if err != nil {
		l.examine(err)
	}
	l.used = time.Now()
	return err
}

// renew takes a new connection in place of the old one, which stays where there is none.
func (l *writeConn) renew(ctx context.Context) error {
	c, err := l.connect(ctx)
	if err != nil {
		return notSent{err}
	}
	l.discard()
	l.connection, l.args.out = c, nil
	return nil
}

// probe asks whether a connection still works.
func probe(ctx context.Context, c *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	return c.Ping(ctx)
}

// settings begins every transaction. A commit is durable when it returns, also where the
// server's default is otherwise; what waits for more than the own disk goes on doing so.
// A table that somebody has locked is not waited for long, because all others would wait
// with it. The lock is for those who have to know that the transaction is over, see
// [writeConn.settle].
const settings = durably + `,
	set_config('lock_timeout', $1::text, true), pg_advisory_xact_lock_shared($2::bigint)`

// durably makes the commit of a transaction durable.
const durably = `SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit')
	WHEN 'off' THEN 'on' WHEN 'local' THEN 'on' ELSE current_setting('synchronous_commit') END, true)`

// settingsParams are the arguments of settings, in the binary format.
func (c *connection) settingsParams(wait time.Duration) [][]byte {
	return [][]byte{strconv.AppendInt(nil, wait.Milliseconds(), 10), binary.BigEndian.AppendUint64(nil, uint64(c.key))}
}

// run sends inserts in one round trip; the server runs them as one transaction, in which
// each waits for somebody's lock at most so long. It returns how many rows each has
// stored, and which had the error, -1 when that is none in particular.
func (l *writeConn) run(ctx context.Context, inserts []insert, wait time.Duration) (stored []int, failed int, err error) {
	stored, failed = make([]int, len(inserts)), -1
	err = l.use(ctx, func(c *pgx.Conn) (err error) {
		failed, err = l.send(ctx, c.PgConn(), inserts, wait, stored)
		if state := sqlState(err); !l.unnamed && (state == "26000" || state == "42P05") {
			// Somebody else prepares on this session or discards what is prepared, as
			// behind a pooler that did not show itself.
			l.unnamed = true
			failed, err = l.send(ctx, c.PgConn(), inserts, wait, stored)
		}
		return err
	})
	return stored, failed, err
}

// results reads what a pipeline of settings and inserts answers.
func results(p *pgconn.Pipeline, stored []int) (failed int, err error) {
	for at := -1; ; {
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

// send returns which of the inserts failed, -1 when that is none in particular.
func (l *writeConn) send(ctx context.Context, c *pgconn.PgConn, inserts []insert, wait time.Duration, stored []int) (failed int, err error) {
	var keep *prepared
	if !l.unnamed {
		keep = preparedOn(c, maxWriteColumns)
	}
	p := c.StartPipeline(ctx)
	c.Frontend().Send(l.args.room(sizeOf(inserts)))
	params := l.settingsParams(wait)
	keep.send(p, settings, len(params), params, binaryFormat)
	for _, in := range inserts {
		keep.send(p, in.sql, len(in.params), in.params, binaryFormat)
	}
	failed = -1
	if err = p.Sync(); err == nil {
		failed, err = results(p, stored)
	}
	err = cmp.Or(err, p.Close())
	keep.end(ctx, c, err)
	return failed, err
}

var binaryFormat = []int16{pgx.BinaryFormatCode}

// examine drops a connection that was lost, and remembers what may still be at work
// behind it.
func (l *writeConn) examine(err error) {
	closed := true
	_ = l.raw(func(c *pgx.Conn) error {
		closed = c.IsClosed()
		return nil
	})
	if closed {
		key := l.key
		l.discard()
		if isUnknown(err) {
			l.lost[key] = time.Now()
		}
	}
}

func (l *writeConn) discard() {
	if l.connection != nil {
		l.connection.close()
		l.connection = nil
	}
}

// lifetime is how old a new connection may become: not all end at the same time.
func lifetime() time.Duration { return time.Duration((0.9 + 0.2*rand.Float64()) * float64(maxAge)) }
