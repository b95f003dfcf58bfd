package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// transaction is one of a caller's, in which audits are written under a savepoint.
type transaction struct {
	*backend
	args binaryArgs
	conn *pgx.Conn     // of a transaction of pgx
	sql  gorm.ConnPool // any other
}

const (
	savepoint = "SAVEPOINT auditing"
	release   = "RELEASE SAVEPOINT auditing"
	rollback  = "ROLLBACK TO SAVEPOINT auditing; " + release
)

// run sends the inserts of batches, all of which are stored or none. It returns which had the
// error, -1 when that is none in particular.
func (t *transaction) run(ctx context.Context, batches []sqlstore.Batch, inserts []insert) (failed int, err error) {
	if t.sql == nil {
		if t.conn == nil {
			return -1, errors.New("the transaction has no connection of pgx")
		}
		// The one row that a trigger keeps out leaves nothing to go back from.
		alone := len(batches) == 1 && len(batches[0].Rows) == 1
		if failed, err = t.send(ctx, t.conn, batches, inserts, alone); err == nil && !alone {
			_, err = t.conn.PgConn().Exec(ctx, release).ReadAll()
		}
		return failed, err
	}
	// database/sql does not show the connection of a transaction. pgx does, to what rewrites a
	// statement, just before it sends that.
	ride := &rider{send: func(c *pgx.Conn) error {
		failed, err = t.send(ctx, c, batches, inserts, false)
		return err
	}}
	_, last := t.sql.ExecContext(ctx, release, ride)
	switch {
	case ride.rode && err == nil, !ride.rode && errors.As(last, new(*pgconn.PgError)):
		return -1, last
	case !ride.rode:
		return -1, fmt.Errorf("%w: is its driver pgx?", last)
	}
	return failed, err
}

// rider has pgx send something before a statement.
type rider struct {
	send func(*pgx.Conn) error
	rode bool
}

// RewriteQuery implements [pgx.QueryRewriter].
func (r *rider) RewriteQuery(_ context.Context, c *pgx.Conn, sql string, _ []any) (string, []any, error) {
	r.rode = true
	return sql, nil, r.send(c)
}

// send makes a savepoint and sends inserts in one round trip, with alone also the savepoint's
// release, which is otherwise the caller's. After an error nothing of it is left.
func (t *transaction) send(ctx context.Context, conn *pgx.Conn, batches []sqlstore.Batch, inserts []insert, alone bool) (failed int, err error) {
	c := conn.PgConn()
	switch c.TxStatus() {
	case 'T':
	case 'E':
		return -1, errors.New("a statement of the transaction has failed before, so that it takes no other: roll it back")
	default:
		return -1, errors.New("the transaction is over")
	}
	here, err := t.meet(ctx, conn)
	if err != nil {
		return -1, err
	}
	stored, failed, err := t.pipeline(ctx, c, inserts, alone, here)
	if state := sqlState(err); state == "26000" || state == "42P05" {
		// Somebody discards what is prepared on this session, or a pooler hands out others.
		here.unnamed = true
		if err = undo(ctx, c, nil); err == nil {
			stored, failed, err = t.pipeline(ctx, c, inserts, alone, here)
		}
	}
	if err != nil {
		return failed, undo(ctx, c, err)
	}
	for i, batch := range batches {
		if stored[i] < len(batch.Rows) {
			if !alone {
				err = undo(ctx, c, nil)
			}
			return i, errors.Join(errKeptOut, err)
		}
	}
	return -1, nil
}

// pipeline returns how many rows each insert has stored, and which had the error, -1 when that
// is none in particular.
func (t *transaction) pipeline(ctx context.Context, c *pgconn.PgConn, inserts []insert, alone bool, here *guest) (stored []int, failed int, err error) {
	var keep, unprepared *prepared
	if !here.unnamed {
		keep = &here.prepared
	}
	p := c.StartPipeline(ctx)
	c.Frontend().Send(t.args.room(sizeOf(inserts)))
	unprepared.send(p, savepoint, 0, nil, nil) // one that is not made cannot be gone back to
	for _, in := range inserts {
		keep.send(p, in.sql, len(in.params), in.params, binaryFormat)
	}
	if alone {
		unprepared.send(p, release, 0, nil, nil)
	}
	stored, failed = make([]int, len(inserts)+1), -1 // the release has a place too
	if err = p.Sync(); err == nil {
		failed, err = results(p, stored)
	}
	if failed == len(inserts) {
		failed = -1
	}
	err = cmp.Or(err, p.Close())
	keep.end(ctx, c, err)
	return stored, failed, err
}

// undo takes back what is left of the savepoint after err, which it returns.
func undo(ctx context.Context, c *pgconn.PgConn, err error) error {
	if c.IsClosed() {
		return err
	}
	if _, undone := c.Exec(ctx, rollback).ReadAll(); undone != nil {
		return errors.Join(err, fmt.Errorf("the transaction is lost: %w", undone))
	}
	return err
}

// guest is what is known of a connection of somebody else's, and kept with it.
type guest struct {
	prepared prepared
	unnamed  bool // statements are not to be prepared under names
}

// meet makes certain that a connection leads to the database of the store.
func (t *transaction) meet(ctx context.Context, conn *pgx.Conn) (*guest, error) {
	const key = "auditing joins"
	data := conn.PgConn().CustomData()
	if g, ok := data[key].(*guest); ok {
		return g, nil
	}
	if enc := conn.PgConn().ParameterStatus("client_encoding"); enc != "UTF8" && enc != "" {
		return nil, fmt.Errorf("the client_encoding of the transaction's connection is %s, but Go's text is UTF8: add client_encoding=UTF8 to its DSN", enc)
	}
	theirs, err := t.askUnderSavepoint(ctx, conn)
	if err != nil {
		return nil, err
	}
	ours, err := t.identity(ctx, theirs)
	if err != nil {
		return nil, fmt.Errorf("finding out whether the transaction is of the store's database: %w", err)
	}
	if theirs != ours {
		return nil, fmt.Errorf("the transaction is of another database (%q) than the audits: pass one of theirs, or audit without core.In", conn.Config().Database)
	}
	g := &guest{
		prepared: prepared{statements: map[string]statement{}, most: maxWriteColumns},
		unnamed:  t.pooled || conn.Config().DefaultQueryExecMode != pgx.QueryExecModeCacheStatement,
	}
	data[key] = g
	return g, nil
}

// askUnderSavepoint is databaseOf, of which nothing is left in the transaction when it fails.
func (t *transaction) askUnderSavepoint(ctx context.Context, conn *pgx.Conn) (id string, err error) {
	c := conn.PgConn()
	if _, err = c.Exec(ctx, savepoint).ReadAll(); err != nil {
		return "", err
	}
	if id, err = databaseOf(ctx, conn); err == nil {
		_, err = c.Exec(ctx, release).ReadAll()
	}
	if err != nil {
		err = undo(ctx, c, err)
	}
	return id, err
}

// databaseOf tells a database from every other: the one of its name on another server, and
// another one of that name.
func databaseOf(ctx context.Context, c *pgx.Conn) (id string, err error) {
	const query = `SELECT (SELECT system_identifier FROM pg_control_system()) || ' ' || d.oid FROM pg_database d WHERE d.datname = current_database()`
	err = c.QueryRow(ctx, query, pgx.QueryExecModeSimpleProtocol).Scan(&id)
	return id, err
}

// identity returns what [databaseOf] says of the store's connection. It is asked again when
// that is not what is wanted, as a server may have taken the place of another.
func (b *backend) identity(ctx context.Context, want string) (string, error) {
	b.mu.Lock()
	id := b.database
	b.mu.Unlock()
	if id == want {
		return id, nil
	}
	l, err := b.take(ctx)
	if err != nil {
		return "", err
	}
	defer b.give(l)
	err = l.use(ctx, func(c *pgx.Conn) error {
		id, err = databaseOf(ctx, c)
		return err
	})
	b.mu.Lock()
	b.database = id
	b.mu.Unlock()
	return id, err
}

var _ sqlstore.Joiner = (*backend)(nil)
