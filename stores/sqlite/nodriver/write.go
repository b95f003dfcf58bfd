package nodriver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/stores/internal/fileid"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// Write implements [sqlstore.Backend]: everything in one transaction. Each time that a
// table refuses a row, the transaction starts over and is more careful with that table.
func (b *backend) Write(ctx context.Context, batches []sqlstore.Batch) []sqlstore.RowFailure {
	w := &writing{backend: b, tables: make([]tableWriting, len(batches))}
	err := errAgain
	for errors.Is(err, errAgain) {
		err = b.immediate(ctx, func(conn *sql.Conn) error { return w.insertAll(ctx, conn, batches) })
	}
	var failures []sqlstore.RowFailure
	for i, batch := range batches {
		for _, r := range batch.Rows {
			if refused := w.tables[i].refused[r.Index]; refused != nil {
				failures = append(failures, sqlstore.RowFailure{Index: r.Index, Err: refused, Why: reasonOf(refused)})
			} else if err != nil {
				failures = append(failures, sqlstore.RowFailure{Index: r.Index, Err: err, Unknown: errors.As(err, new(commitError))})
			}
		}
	}
	return failures
}

// Apply implements [sqlstore.Backend].
func (b *backend) Apply(ctx context.Context, _ string, changes []sqlstore.Change) (changed []int64, err error) {
	err = b.immediate(ctx, func(conn *sql.Conn) error {
		changed = make([]int64, len(changes))
		for i, c := range changes {
			result, err := conn.ExecContext(ctx, c.SQL, c.Args...)
			if err != nil {
				return err
			}
			if changed[i], err = result.RowsAffected(); err != nil {
				return err
			}
		}
		return nil
	})
	return changed, err
}

// executor is a connection or a transaction.
type executor interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// errAgain is answered by a transaction that has to start over.
var errAgain = errors.New("a table refuses a row")

// writing is one Write.
type writing struct {
	*backend
	tables []tableWriting // of each batch
}

// tableWriting is what earlier transactions have shown of a table.
type tableWriting struct {
	refused map[int]error // rows, by their Index
	careful bool          // each row has a savepoint, as a trigger may leave half of one behind
}

func (w *writing) insertAll(ctx context.Context, conn executor, batches []sqlstore.Batch) error {
	for i, batch := range batches {
		if err := w.insert(ctx, conn, batch, &w.tables[i]); err != nil {
			return err
		}
	}
	return nil
}

// insert stores the rows of one batch that are not refused yet, with one statement.
func (w *writing) insert(ctx context.Context, conn executor, batch sqlstore.Batch, t *tableWriting) error {
	columns := append(sqlstore.BaseColumns(), batch.Fields...)
	query := w.insertSQL(batch, columns)
	exec := func(args []any) (sql.Result, error) { return conn.ExecContext(ctx, query, args...) }
	if len(batch.Rows) > 1 {
		stmt, err := conn.PrepareContext(ctx, query) //nolint:sqlclosecheck // it is closed, by the next defer
		if err != nil {
			return t.refuse(err, batch.Rows...)
		}
		defer stmt.Close()
		exec = func(args []any) (sql.Result, error) { return stmt.ExecContext(ctx, args...) }
	}
	args := make([]any, len(columns))
	for i := range batch.Rows {
		row := &batch.Rows[i]
		if t.refused[row.Index] != nil {
			continue
		}
		w.arguments(args, columns, row)
		err := savepoint(ctx, conn, t.careful, func() error {
			return w.insertRow(ctx, conn, func() (sql.Result, error) { return exec(args) }, batch, row)
		})
		switch {
		case err == nil:
			continue
		case !t.careful && !isOutage(err):
			t.careful = true
			return errAgain
		case batch.Enough(len(t.refused)):
			err = t.refuse(err, batch.Rows[i:]...)
		default:
			err = t.refuse(err, *row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// refuse notes that the table does not take these rows. It returns what ends the transaction.
func (t *tableWriting) refuse(err error, rows ...sqlstore.Row) error {
	if isOutage(err) {
		return err
	}
	if t.refused == nil {
		t.refused = map[int]error{}
	}
	for _, r := range rows {
		t.refused[r.Index] = err
	}
	if errors.Is(err, errAgain) {
		return errAgain
	}
	return nil
}

// insertRow runs the statement and makes certain that the row is there afterwards.
func (w *writing) insertRow(ctx context.Context, conn executor, exec func() (sql.Result, error), batch sqlstore.Batch, row *sqlstore.Row) error {
	result, err := exec()
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n > 0 {
		return err
	}
	// It was there before, or a trigger answered RAISE(IGNORE).
	there := false
	for _, table := range []string{batch.Table.Name, batch.Twin} {
		if table != "" && !there {
			query := "SELECT EXISTS (SELECT 1 FROM " + w.Table(table) + ` WHERE "audit_id" = ?)`
			if err := conn.QueryRowContext(ctx, query, w.Arg(row.Event.ID, sqlstore.UUID)).Scan(&there); err != nil {
				return err
			}
		}
	}
	if !there {
		return errLeftOut
	}
	return nil
}

// savepoint runs f; with on, nothing of an f that fails is left. When f's failure has
// ended the whole transaction, the error is also errAgain.
func savepoint(ctx context.Context, conn executor, on bool, f func() error) error {
	if !on {
		return f()
	}
	if _, err := conn.ExecContext(ctx, "SAVEPOINT audit_row"); err != nil {
		return err
	}
	err := f()
	if err != nil && !isOutage(err) {
		if _, gone := conn.ExecContext(ctx, "ROLLBACK TO audit_row"); gone != nil {
			return errors.Join(err, errAgain)
		}
	}
	if _, released := conn.ExecContext(ctx, "RELEASE audit_row"); err == nil {
		err = released
	}
	return err
}

func (b *backend) arguments(args []any, columns []sqlstore.Column, row *sqlstore.Row) {
	base := len(columns) - len(row.Values)
	for n, c := range columns {
		var v any
		if n < base {
			v = baseValue(row.Base(n))
		} else {
			v = row.Values[n-base]
		}
		args[n] = b.Arg(v, c.Kind)
	}
}

// baseValue is what [sqlstore.Row.Base] points to, JSON as text.
func baseValue(p any) any {
	switch p := p.(type) {
	case *string:
		return *p
	case *time.Time:
		return *p
	case *uuid.UUID:
		return *p
	case *[]byte:
		return string(*p)
	}
	return nil
}

func (b *backend) insertSQL(batch sqlstore.Batch, columns []sqlstore.Column) string {
	names := make([]string, len(columns))
	params := make([]string, len(columns))
	id := ""
	for i, c := range columns {
		names[i] = sqlstore.Quote(c.Name)
		params[i] = b.Param(i+1, c.Kind)
		if c.Name == "audit_id" {
			id = params[i]
		}
	}
	where := "true" // without it ON CONFLICT would be read as part of a join
	if batch.Twin != "" {
		where = "NOT EXISTS (SELECT 1 FROM " + b.Table(batch.Twin) + ` WHERE "audit_id" = ` + id + ")"
	}
	return "INSERT INTO " + b.Table(batch.Table.Name) + " (" + strings.Join(names, ", ") + ") SELECT " +
		strings.Join(params, ", ") + " WHERE " + where + ` ON CONFLICT ("audit_id") DO NOTHING`
}

// commitError is a commit of which nobody knows how it ended.
type commitError struct{ error }

func (e commitError) Unwrap() error { return e.error }

// rolledBack are the answers to a COMMIT that say that it did not happen.
var rolledBack = []string{"is locked", "database or disk is full", "constraint failed"}

// immediate runs f in a transaction that is a writer from its start, so that it
// never has to give up half-way because another one wrote.
func (b *backend) immediate(ctx context.Context, f func(*sql.Conn) error) error {
	if err := b.take(ctx); err != nil {
		return err
	}
	defer b.give()
	d, err := b.database(ctx)
	if err != nil {
		return err
	}
	conn, release, err := d.conn(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := b.transact(ctx, conn, f); err != nil {
		if textOf(err, lockedTexts) == "" && !errors.Is(err, errAgain) && ctx.Err() == nil && d.path != "" {
			// It may be the connection's fault: a new one may write where this one may not.
			b.broken = d.keeper != nil
			if !b.broken {
				_ = conn.Raw(func(any) error { return driver.ErrBadConn })
			}
		}
		return d.explain(err)
	}
	if _, err := d.check(); err != nil {
		return commitError{err}
	}
	if !b.own {
		return d.hasLog(ctx, conn)
	}
	return nil
}

// hasLog reports that the log to which an application's connection commits was removed.
// It may come and go while the application has no connection.
func (d *database) hasLog(ctx context.Context, conn *sql.Conn) error {
	if d.file == none {
		return nil
	}
	_, missing := fileid.At(d.path + "-wal")
	if missing == nil {
		return nil
	}
	var mode string
	if err := conn.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil || mode == "wal" {
		return commitError{fmt.Errorf("the log of the SQLite file was removed while it was open: open the *gorm.DB anew: %w", errors.Join(missing, err))}
	}
	return nil
}

func (b *backend) transact(ctx context.Context, conn *sql.Conn, f func(*sql.Conn) error) error {
	if !b.own {
		restore, err := durable(ctx, conn)
		if err != nil {
			return err
		}
		defer restore()
	}
	_, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE")
	if err != nil {
		return err
	}
	if err = f(conn); err == nil {
		if _, err = conn.ExecContext(ctx, "COMMIT"); err != nil && textOf(err, rolledBack) == "" {
			err = commitError{err}
		}
	}
	if err != nil {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	}
	return err
}

// durable makes commits on the application's connection durable for a while: the
// usual setting synchronous=NORMAL may lose the last ones in WAL mode, and FULL in
// every other, where the deletion of a journal is what commits.
func durable(ctx context.Context, conn *sql.Conn) (restore func(), err error) {
	var level int
	if err := conn.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&level); err != nil {
		return nil, err
	}
	const extra = 3
	if level >= extra {
		return func() {}, nil
	}
	if _, err := conn.ExecContext(ctx, "PRAGMA synchronous = EXTRA"); err != nil {
		return nil, err
	}
	return func() {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "PRAGMA synchronous = "+strconv.Itoa(level))
	}, nil
}
